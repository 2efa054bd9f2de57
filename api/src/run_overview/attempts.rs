//! The results of a run, as one reads them: the last attempt at each node counts.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use read_model::queries::run_overview::{ResultColumns, ResultFile};
use schemas::Sha256;

/// What a run did to a node.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// dbt's id of the node.
    pub unique_id: String,
    /// dbt's word in lower case.
    pub status: String,
    /// Whether it failed.
    pub has_failed: bool,
    /// The step.
    pub step_id: i64,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where the result is stored: the file, and the position in it.
    pub(super) stored: (Sha256, i32),
}

impl Attempt {
    /// Such as `model`.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        self.unique_id
            .split_once('.')
            .map_or(&self.unique_id, |(resource_type, _)| resource_type)
    }

    /// Whether dbt skipped it because something before it failed, or because there was nothing to do.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.status == "skipped"
    }

    pub(super) fn started_at(&self) -> DateTime<Utc> {
        self.at - seconds(self.seconds)
    }
}

/// A duration of at most a century.
pub(super) fn seconds(seconds: f64) -> TimeDelta {
    #[expect(clippy::cast_possible_truncation, reason = "it is limited to what fits")]
    TimeDelta::microseconds((seconds.clamp(0.0, 3.2e9) * 1e6) as i64)
}

/// The attempts in these files of a run. Results of commands that only list a node are left out.
pub(super) fn of_files(files: &[ResultFile], columns: ResultColumns) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let names = columns.unique_ids.into_iter().zip(columns.statuses);
    let times = columns.at.into_iter().zip(columns.seconds);
    let positions = columns.places.into_iter().zip(columns.flags);
    for (((packed, flags), (unique_id, status)), (at, seconds)) in positions.zip(names).zip(times) {
        let file = usize::try_from((packed >> 32) - 1)
            .ok()
            .and_then(|index| files.get(index));
        let position = i32::try_from(packed & 0xffff_ffff).unwrap_or_default();
        let Some(file) = file.filter(|_| flags != 0) else {
            continue;
        };
        attempts.push(Attempt {
            unique_id,
            status,
            has_failed: flags & 2 != 0,
            step_id: file.step_id,
            at,
            seconds,
            stored: (file.sha256, position),
        });
    }
    attempts
}

/// The last attempt at each node, in the order of time. A node that was skipped after an attempt keeps the attempt.
pub(super) fn last_of_each(attempts: Vec<Attempt>) -> Vec<Attempt> {
    let mut sorted = attempts;
    sorted.sort_by(|one, other| {
        let key = |attempt: &Attempt| (!attempt.is_skipped(), attempt.at);
        key(other).cmp(&key(one)).then_with(|| other.stored.cmp(&one.stored))
    });
    let mut seen = HashSet::with_capacity(sorted.len());
    let mut is_last: Vec<bool> = Vec::with_capacity(sorted.len());
    for attempt in &sorted {
        is_last.push(seen.insert(attempt.unique_id.as_str()));
    }
    let mut is_last = is_last.into_iter();
    sorted.retain(|_| is_last.next().unwrap_or(false));
    sorted.sort_by(|one, other| (one.at, &one.unique_id).cmp(&(other.at, &other.unique_id)));
    sorted
}
