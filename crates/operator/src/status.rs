//! What an operator wants to know first.

use chrono::{DateTime, TimeDelta, Utc};
use directory::queries::Observed;
use projector::{Silence, Waiting, WaitingAtMost};
use serde::Serialize;

use crate::refused::RefusedOfToken;

/// After this time without an end, something is wrong with a sweep, or with an event that waits. The alerts wait as long.
const LATE: TimeDelta = TimeDelta::minutes(5);

/// A healthy projector sweeps every 30 s, or more often. After this time, it may be missing.
const NOT_SWEPT: TimeDelta = TimeDelta::seconds(45);

/// After this time, an event waits for longer than until the next sweep.
const WAITS: TimeDelta = TimeDelta::seconds(30);

/// After this time without an observation, something is wrong. The alerts wait as long.
const NOT_OBSERVED: TimeDelta = TimeDelta::minutes(15);

/// Something that the service needs, and whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name.
    pub part: String,
    /// Whether it can be used.
    pub is_ok: bool,
    /// `ok`, or why it cannot be used.
    pub result: String,
    /// When it could be used last, as far as this process knows; none if it was never tried before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<DateTime<Utc>>,
}

/// What an operator wants to know first. If the database or the bucket cannot be used, that is among the parts, and the rest is not known.
#[derive(Debug, Serialize)]
pub struct Status {
    /// What the service needs.
    pub parts: Vec<Part>,
    /// What was accepted and is not shown yet.
    pub waiting: Option<Waiting>,
    /// Instead of `waiting`, while PostgreSQL cannot be used.
    pub waiting_at_most: Option<WaitingAtMost>,
    /// When other systems were last observed.
    pub observed: Option<Vec<Observed>>,
    /// What used to come, or will stop soon.
    #[serde(flatten)]
    pub silence: Option<Silence>,
    /// The uploads that were refused. They are not a fault of the service: what is wrong is with a client or its token.
    pub refused: Option<Vec<RefusedOfToken>>,
    /// What is wrong with the service.
    pub problems: Vec<String>,
}

/// Whether another system was not observed for too long, or never.
#[must_use]
pub fn is_late(observed: &Observed, now: DateTime<Utc>) -> bool {
    observed.observed_at.is_none_or(|time| now - time > NOT_OBSERVED)
}

impl Status {
    /// Finds out what is wrong with the service.
    #[must_use]
    pub fn with_problems(mut self, now: DateTime<Utc>) -> Self {
        self.problems = self.find_problems(now);
        self
    }

    fn find_problems(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut problems = Vec::new();
        let is_late = |time: Option<DateTime<Utc>>, limit| time.is_some_and(|time| now - time > limit);
        for part in self.parts.iter().filter(|part| !part.is_ok) {
            problems.push(format!("{} cannot be used", part.part));
        }
        match (&self.waiting, &self.waiting_at_most) {
            // Another problem says why.
            (None, None) if !problems.is_empty() => {}
            (None, None) => problems.push("what waits is not known".to_owned()),
            (None, Some(waiting)) => {
                if is_late(waiting.oldest_waiting, LATE) {
                    problems.push("an event may wait for more than five minutes".to_owned());
                }
            }
            (Some(waiting), _) => {
                if waiting.dead_letters > 0 {
                    let letters = waiting.dead_letters;
                    let events = if letters == 1 { "event" } else { "events" };
                    problems.push(format!(
                        "{letters} {events} could not be applied: `dbt-api dead-letters list` shows why"
                    ));
                }
                let something_waits = is_late(waiting.backlog.oldest_waiting, WAITS);
                match waiting.swept_until {
                    None if something_waits => {
                        problems.push("no projector has swept yet, and events wait: is one running?".to_owned());
                    }
                    Some(swept) if now - swept > LATE || (something_waits && now - swept > NOT_SWEPT) => {
                        let seconds = (now - swept).num_seconds();
                        problems.push(format!("no projector has swept for {seconds} s: is one running?"));
                    }
                    _ if is_late(waiting.backlog.oldest_waiting, LATE) => {
                        problems.push("an event waits for more than five minutes".to_owned());
                    }
                    _ => {}
                }
            }
        }
        for observed in self.observed.iter().flatten() {
            if observed.observed_at.is_none() {
                problems.push(format!("{} was never observed", observed.source));
            } else if self::is_late(observed, now) {
                problems.push(format!(
                    "{} was not observed for more than fifteen minutes",
                    observed.source
                ));
            }
        }
        problems
    }
}
