//! How long transactions wait for locks.

/// How long a transaction waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockWaits {
    /// Not long, because other events wait for this one.
    Limited,
    Unlimited,
}
