//! Marks answers that say that PostgreSQL could not answer, so that requests can be tried again.

/// Why PostgreSQL could not answer. It is among the extensions of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Others were in the way: a deadlock, or what a standby replays.
    Conflict,
    /// Anything else, such as a server that is gone.
    Other,
}
