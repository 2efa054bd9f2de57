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
    /// `of about` if the total is an estimate.
    of: &'static str,
    lines: Mutex<Option<Lines>>,
}

/// What was shown without a terminal.
struct Lines {
    /// When the first update came. Before it, the work is prepared, which says nothing about its rate.
    begun: Instant,
    /// The items that were done by then.
    before: u64,
    /// When the last line was written.
    last: Instant,
}

impl Progress {
    /// Starts to show the progress of `what`: as a bar if text is printed and standard error is a terminal, otherwise as lines.
    pub(crate) fn begin(what: &'static str, output: Output) -> Self {
        Self::show(what, "of", output)
    }

    /// Like [`Progress::begin`], for work whose total is an estimate until it is found.
    pub(crate) fn estimate(what: &'static str, output: Output) -> Self {
        Self::show(what, "of about", output)
    }

    fn show(what: &'static str, of: &'static str, output: Output) -> Self {
        let shown = matches!(output, Output::Text) && std::io::stderr().is_terminal();
        let template = format!("{{msg}} {{bar:30}} {{pos}} {of} {{len}} ({{percent}} %), {{per_sec}}, {{eta}} left");
        let bar = ProgressStyle::with_template(&template).ok().filter(|_| shown);
        let bar = bar.map(|style| {
            let bar = ProgressBar::new(0).with_style(style).with_message(what);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            what,
            bar,
            of,
            lines: Mutex::default(),
        }
    }

    /// Shows that `done` of `total` items are done. The rate is that of the time since the first call.
    pub(crate) fn update(&self, done: u64, total: u64) {
        let Ok(mut lines) = self.lines.lock() else { return };
        let now = Instant::now();
        let is_first = lines.is_none();
        let lines = lines.get_or_insert(Lines {
            begun: now,
            before: done,
            last: now,
        });
        if let Some(bar) = &self.bar {
            if is_first {
                bar.reset();
            }
            bar.set_length(total);
            bar.set_position(done);
        } else if now - lines.last >= LINE_INTERVAL {
            lines.last = now;
            let rate = done.saturating_sub(lines.before) as f64 / (now - lines.begun).as_secs_f64();
            let left = total.saturating_sub(done) as f64 / rate.max(0.001);
            // Nobody may be reading standard error any more.
            let _ = writeln!(
                std::io::stderr(),
                "{}: {done} {} {total}, {rate:.0} per second, {left:.0} s left",
                self.what,
                self.of
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
