//! Splits batches.

use std::collections::HashSet;

use schemas::{Event, EventId};

use crate::project::{self, Locks};

/// Returns the locks of events, if all of them need the same.
pub(crate) fn shared_locks(events: &[Event]) -> Option<Locks> {
    let locks = project::locks_of(events.first()?);
    let mut others = events[1..].iter();
    others.all(|event| project::locks_of(event) == locks).then_some(locks)
}

/// Splits events that need different locks, near the middle. Those that need the same stay together.
pub(crate) fn split_by_locks(events: Vec<Event>) -> [Vec<Event>; 2] {
    let mut events: Vec<(Locks, Event)> = events
        .into_iter()
        .map(|event| (project::locks_of(&event), event))
        .collect();
    events.sort_by_key(|(locks, _)| *locks);
    let middle = events.len() / 2;
    let borders = (1..events.len()).filter(|at| events[at - 1].0 != events[*at].0);
    let border = borders.min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle);
    let other = events.split_off(border);
    [events, other].map(|part| part.into_iter().map(|(_, event)| event).collect())
}

/// Splits events before each of these.
pub(crate) fn split_at(events: Vec<Event>, firsts: &HashSet<EventId>) -> Vec<Vec<Event>> {
    let mut parts: Vec<Vec<Event>> = Vec::new();
    for event in events {
        match parts.last_mut() {
            Some(part) if !firsts.contains(&event.id) => part.push(event),
            _ => parts.push(vec![event]),
        }
    }
    parts
}
