//! What dbt lists in run results where nothing is selected.

/// The kinds of nodes that a command lists all of, unless it was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Models that are built: not ephemeral ones, nor those of other projects.
    Model,
    /// Seeds.
    Seed,
    /// Snapshots.
    Snapshot,
    /// Data tests.
    Test,
}

impl Listed {
    /// How many kinds there are.
    pub const KINDS: usize = 4;

    /// The kind of a node of this resource type.
    #[must_use]
    pub fn of(resource_type: &str) -> Option<Self> {
        match resource_type {
            "model" => Some(Self::Model),
            "seed" => Some(Self::Seed),
            "snapshot" => Some(Self::Snapshot),
            "test" => Some(Self::Test),
            _ => None,
        }
    }

    /// The kinds that a command lists all of, where nothing is selected.
    pub(super) fn by(which: &str) -> &'static [Self] {
        match which {
            "build" => &[Self::Model, Self::Seed, Self::Snapshot],
            "run" => &[Self::Model],
            "seed" => &[Self::Seed],
            "snapshot" => &[Self::Snapshot],
            "test" => &[Self::Test],
            _ => &[],
        }
    }
}
