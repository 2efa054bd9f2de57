//! The results of applying events.

/// The result of applying an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rows of the event are in the read model.
    Applied,
    /// The event was already applied or is a dead letter.
    Known,
    /// The event cannot be applied and became a dead letter.
    DeadLetter,
    /// Another projector is applying the event. Check the event again later, since that projector may die.
    Busy,
}
