//! The status of runs and steps.

/// The status of a run or a step, with dbt Cloud's numbers and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// 1: it waits in Airflow.
    Queued,
    /// 2: it is about to run.
    Starting,
    /// 3: it runs.
    Running,
    /// 10: it succeeded.
    Success,
    /// 20: it failed.
    Error,
    /// 30: it was cancelled.
    Cancelled,
}

impl RunStatus {
    /// The lowest number of a run that has ended. Those of runs that have not are lower.
    pub const ENDED: i16 = 10;

    /// The status with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Queued),
            2 => Some(Self::Starting),
            3 => Some(Self::Running),
            10 => Some(Self::Success),
            20 => Some(Self::Error),
            30 => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// dbt Cloud's number.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Queued => 1,
            Self::Starting => 2,
            Self::Running => 3,
            Self::Success => Self::ENDED,
            Self::Error => 20,
            Self::Cancelled => 30,
        }
    }

    /// dbt Cloud's word.
    #[must_use]
    pub fn humanized(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Success => "Success",
            Self::Error => "Error",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_those_of_dbt_cloud() {
        for (number, word, is_complete) in [
            (1, "Queued", false),
            (2, "Starting", false),
            (3, "Running", false),
            (10, "Success", true),
            (20, "Error", true),
            (30, "Cancelled", true),
        ] {
            let status = RunStatus::from_number(number).unwrap();
            assert_eq!(
                (status.number(), status.humanized(), status.is_complete()),
                (number, word, is_complete)
            );
        }
        assert_eq!(RunStatus::from_number(4), None);
    }
}
