//! Compares a run with the one before.

use std::collections::HashMap;

use super::attempts::Attempt;
use crate::resources::run_overview::{RunComparison, StatusChange, TimeChange};

/// How many nodes each list names.
const MAX_NAMED: usize = 20;

/// How many slower and faster nodes are named.
const MAX_TIMES: usize = 10;

/// A difference below this is noise, in seconds.
const LEAST_SECONDS: f64 = 1.0;

/// A difference below this share of the time before is noise.
const LEAST_SHARE: f64 = 0.2;

/// Compares the last attempts of a run with those of the run before, which has this number.
pub(super) fn compare(run_id: i64, before: &[Attempt], now: &[Attempt]) -> RunComparison {
    let old: HashMap<&str, &Attempt> = before
        .iter()
        .map(|attempt| (attempt.unique_id.as_str(), attempt))
        .collect();
    let new: HashMap<&str, &Attempt> = now
        .iter()
        .map(|attempt| (attempt.unique_id.as_str(), attempt))
        .collect();
    let mut status_changed = Vec::new();
    let mut added = Vec::new();
    let (mut slower, mut faster) = (Vec::new(), Vec::new());
    for attempt in now {
        let Some(earlier) = old.get(attempt.unique_id.as_str()) else {
            added.push(attempt.unique_id.as_str());
            continue;
        };
        if earlier.status != attempt.status {
            status_changed.push((attempt, *earlier));
        }
        if earlier.is_skipped() || attempt.is_skipped() {
            continue;
        }
        let difference = attempt.seconds - earlier.seconds;
        if difference.abs() > LEAST_SECONDS && difference.abs() > earlier.seconds * LEAST_SHARE {
            let list = if difference > 0.0 { &mut slower } else { &mut faster };
            list.push((difference.abs(), attempt, *earlier));
        }
    }
    let mut removed: Vec<&str> = before
        .iter()
        .map(|attempt| attempt.unique_id.as_str())
        .filter(|unique_id| !new.contains_key(unique_id))
        .collect();
    added.sort_unstable();
    removed.sort_unstable();
    status_changed.sort_by_key(|(attempt, earlier)| (!attempt.has_failed, !earlier.has_failed, &attempt.unique_id));
    RunComparison {
        run_id,
        status_changed_total: status_changed.len(),
        status_changed: status_changed
            .into_iter()
            .take(MAX_NAMED)
            .map(|(attempt, earlier)| StatusChange {
                unique_id: attempt.unique_id.clone(),
                before: earlier.status.clone(),
                now: attempt.status.clone(),
            })
            .collect(),
        added_total: added.len(),
        added: named(&added),
        removed_total: removed.len(),
        removed: named(&removed),
        slower_total: slower.len(),
        slower: largest(slower),
        faster_total: faster.len(),
        faster: largest(faster),
    }
}

fn named(unique_ids: &[&str]) -> Vec<String> {
    unique_ids
        .iter()
        .take(MAX_NAMED)
        .map(|unique_id| (*unique_id).to_owned())
        .collect()
}

fn largest(mut changes: Vec<(f64, &Attempt, &Attempt)>) -> Vec<TimeChange> {
    changes.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
    let changes = changes.into_iter().take(MAX_TIMES);
    changes
        .map(|(_, now, before)| TimeChange {
            unique_id: now.unique_id.clone(),
            before: before.seconds,
            now: now.seconds,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use schemas::Sha256;

    use super::*;

    fn attempt(unique_id: &str, status: &str, seconds: f64) -> Attempt {
        Attempt {
            unique_id: unique_id.to_owned(),
            status: status.to_owned(),
            has_failed: status == "error",
            step_id: 1,
            at: chrono::DateTime::UNIX_EPOCH,
            seconds,
            stored: (Sha256([0; 32]), 0),
        }
    }

    #[test]
    fn small_differences_of_time_are_noise() {
        let before = [
            attempt("a", "success", 1.0),
            attempt("b", "success", 100.0),
            attempt("c", "success", 2.0),
            attempt("d", "success", 9.0),
        ];
        let now = [
            attempt("a", "success", 1.9),
            attempt("b", "success", 119.0),
            attempt("c", "success", 3.5),
            attempt("d", "success", 3.0),
        ];
        let found = compare(7, &before, &now);
        let times = |changes: &[TimeChange]| {
            changes
                .iter()
                .map(|change| (change.unique_id.clone(), change.before, change.now))
                .collect::<Vec<_>>()
        };
        assert_eq!(times(&found.slower), [("c".to_owned(), 2.0, 3.5)]);
        assert_eq!(times(&found.faster), [("d".to_owned(), 9.0, 3.0)]);
        assert_eq!(
            (found.status_changed_total, found.added_total, found.removed_total),
            (0, 0, 0)
        );
    }

    #[test]
    fn failures_are_the_first_changes_of_status() {
        let before = [
            attempt("a", "error", 1.0),
            attempt("b", "success", 1.0),
            attempt("gone", "success", 1.0),
            attempt("s", "skipped", 0.0),
        ];
        let now = [
            attempt("a", "success", 1.0),
            attempt("b", "error", 1.0),
            attempt("new", "success", 1.0),
            attempt("s", "success", 90.0),
        ];
        let found = compare(7, &before, &now);
        let changed: Vec<&str> = found
            .status_changed
            .iter()
            .map(|change| change.unique_id.as_str())
            .collect();
        assert_eq!(changed, ["b", "a", "s"]);
        assert_eq!(
            (found.added, found.removed),
            (vec!["new".to_owned()], vec!["gone".to_owned()])
        );
        assert!(found.slower.is_empty(), "what was skipped has no time to compare with");
    }
}
