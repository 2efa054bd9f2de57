//! The last result of a node as a sign: by shape and by colour.

use maud::{Markup, html};

use crate::parts::tone_of_result;

/// What dbt last did to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Bad,
    /// It succeeded, but some of its tests did not.
    Tests,
    Warn,
    Skipped,
    Good,
    Nothing,
}

impl Sign {
    pub(super) const ALL: [Self; 6] = [
        Self::Bad,
        Self::Tests,
        Self::Warn,
        Self::Skipped,
        Self::Good,
        Self::Nothing,
    ];

    /// The sign of dbt's word, and of how many tests failed.
    pub(super) fn of(status: Option<&str>, failing_tests: usize) -> Self {
        match status.map(tone_of_result) {
            None | Some("good" | "warn") if failing_tests > 0 => Self::Tests,
            None => Self::Nothing,
            Some("good") => Self::Good,
            Some("bad") => Self::Bad,
            Some("warn") => Self::Warn,
            Some(_) => Self::Skipped,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bad => "failed",
            Self::Tests => "with tests that failed",
            Self::Warn => "with a warning",
            Self::Skipped => "skipped",
            Self::Good => "succeeded",
            Self::Nothing => "without a result",
        }
    }

    /// The class of its colour.
    pub(super) fn tone(self) -> &'static str {
        match self {
            Self::Bad | Self::Tests => "bad",
            Self::Warn => "warn",
            Self::Good => "good",
            Self::Skipped => "idle",
            Self::Nothing => "nothing",
        }
    }

    /// Its outline, around 0, 0.
    pub(super) fn outline(self) -> &'static str {
        match self {
            Self::Bad => "M-5-5h10v10h-10z",
            Self::Tests => "M0-7l7 7l-7 7l-7-7z",
            Self::Warn => "M0-6l6.5 11h-13z",
            Self::Skipped => "M-6-1.5h12v3h-12z",
            Self::Good => "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
            Self::Nothing => "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
        }
    }

    /// A picture of its own.
    pub(super) fn picture(self) -> Markup {
        html! {
            svg.sign viewBox="-8 -8 16 16" width="14" height="14" aria-hidden="true" { path class=(self.tone()) d=(self.outline()) {} }
        }
    }
}
