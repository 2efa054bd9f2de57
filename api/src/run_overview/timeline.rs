//! When the nodes of a run ran, and in which thread.

use std::collections::{BTreeMap, HashMap, HashSet};

use artifacts::NodeResult;
use chrono::{DateTime, Utc};

use super::attempts::Attempt;
use crate::resources::run_overview::{Timeline, TimelineNode};

/// The most nodes that are shown, besides those of the critical path.
pub const MAX_NODES: usize = 300;

/// Chooses the nodes to show: those that took longest, and those of the critical path. Returns their positions.
pub(super) fn chosen(attempts: &[Attempt], critical: &HashSet<&str>) -> Vec<usize> {
    let mut ran: Vec<usize> = (0..attempts.len())
        .filter(|index| !attempts[*index].is_skipped())
        .collect();
    ran.sort_by(|one, other| attempts[*other].seconds.total_cmp(&attempts[*one].seconds));
    let is_critical = |index: &usize| critical.contains(attempts[*index].unique_id.as_str());
    let others: Vec<usize> = ran.iter().copied().skip(MAX_NODES).filter(is_critical).collect();
    ran.truncate(MAX_NODES);
    ran.extend(others);
    ran
}

/// Places the chosen nodes on the threads of their steps. `results` has what dbt wrote about each of them, as far as it can be read.
pub(super) fn timeline(
    attempts: &[Attempt],
    chosen: &[usize],
    results: &HashMap<usize, NodeResult>,
    critical: &HashSet<&str>,
    index_of: &HashMap<i64, i64>,
) -> Timeline {
    let thread = |index: &usize| {
        results
            .get(index)
            .and_then(|result| result.thread_id.as_deref())
            .unwrap_or_default()
    };
    let mut threads: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for index in chosen {
        threads.entry(attempts[*index].step_id).or_default().push(thread(index));
    }
    for names in threads.values_mut() {
        // `Thread-10` comes after `Thread-9`.
        names.sort_by_key(|name| (number_in(name), *name));
        names.dedup();
    }
    let mut nodes: Vec<TimelineNode> = chosen
        .iter()
        .map(|index| {
            let attempt = &attempts[*index];
            let names = threads.get(&attempt.step_id).map_or(&[][..], Vec::as_slice);
            TimelineNode {
                unique_id: attempt.unique_id.clone(),
                status: attempt.status.clone(),
                step: index_of.get(&attempt.step_id).copied().unwrap_or_default(),
                thread: names.iter().position(|name| *name == thread(index)).unwrap_or_default() + 1,
                started_at: started_at(attempt, results.get(index)),
                execution_time: attempt.seconds,
                is_critical: critical.contains(attempt.unique_id.as_str()),
            }
        })
        .collect();
    nodes.sort_by(|one, other| {
        (one.step, one.thread, one.started_at, &one.unique_id).cmp(&(
            other.step,
            other.thread,
            other.started_at,
            &other.unique_id,
        ))
    });
    let shown: HashSet<usize> = chosen.iter().copied().collect();
    let left_out = attempts
        .iter()
        .enumerate()
        .filter(|(index, attempt)| !shown.contains(index) && !attempt.is_skipped());
    let (left_out, left_out_seconds) = left_out.fold((0, 0.0), |(count, sum), (_, attempt)| {
        (count + 1, sum + attempt.seconds)
    });
    Timeline {
        nodes,
        left_out,
        left_out_seconds,
    }
}

/// dbt compiles a node before it executes it, in the same thread.
fn started_at(attempt: &Attempt, result: Option<&NodeResult>) -> DateTime<Utc> {
    let known = result.and_then(|result| result.compile.started_at.or(result.execute.started_at));
    known
        .filter(|start| *start <= attempt.at)
        .unwrap_or_else(|| attempt.started_at())
}

fn number_in(name: &str) -> u64 {
    let digits = name.chars().filter(char::is_ascii_digit).take(9);
    digits.collect::<String>().parse().unwrap_or_default()
}
