//! Progress of long commands on standard error: a bar on a terminal, otherwise a line every ten seconds.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// The time between two lines, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of a command.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    /// When the last line was written.
    last: Mutex<Instant>,
    begun: Instant,
}

impl Progress {
    /// Starts to show the progress of `what`: as a bar if text is printed and standard error is a terminal, otherwise as lines.
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

    /// Shows that `done` of `total` items are done.
    pub(crate) fn update(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let rate = done as f64 / self.begun.elapsed().as_secs_f64();
            let left = total.saturating_sub(done) as f64 / rate.max(0.001);
            // Nobody may be reading standard error any more.
            let _ = writeln!(
                std::io::stderr(),
                "{}: {done} of {total}, {rate:.0} per second, {left:.0} s left",
                self.what
            );
        }
    }

    /// Removes the bar.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
