//! How far a long command is, on the standard error output: a bar for people, a line every ten seconds for logs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a command is.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    /// When the last line was written.
    last: Mutex<Instant>,
    begun: Instant,
}

impl Progress {
    /// Begins to show how far `what` is. Programs are shown nothing.
    pub(crate) fn begin(what: &'static str, output: Output) -> Self {
        let shown = matches!(output, Output::Text) && std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} ({percent} %), {per_sec}, {eta} left");
        let bar = style.ok().filter(|_| shown).map(|style| {
            let bar = ProgressBar::new(0).with_style(style).with_message(what);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Self {
            what,
            bar,
            last: Mutex::new(now),
            begun: now,
        }
    }

    /// `done` of `total` are done.
    pub(crate) fn tell(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let rate = done as f64 / self.begun.elapsed().as_secs_f64();
            let left = total.saturating_sub(done) as f64 / rate.max(0.001);
            // Nobody may be reading it any more.
            let _ = writeln!(
                std::io::stderr(),
                "{}: {done} of {total}, {rate:.0} a second, {left:.0} s left",
                self.what
            );
        }
    }

    /// It is done.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
