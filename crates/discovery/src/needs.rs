//! Which data of a node a query needs.

/// A set of kinds of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs(u8);

impl Needs {
    /// Only what the graph knows.
    pub(crate) const NOTHING: Self = Self(0);
    /// The definition.
    pub(crate) const DEFINITION: Self = Self(1);
    /// The compiled code.
    pub(crate) const CODE: Self = Self(2);
    /// The catalog entry.
    pub(crate) const CATALOG: Self = Self(4);
    /// The last attempt and the last success.
    pub(crate) const RESULTS: Self = Self(8);
    /// The freshness check.
    pub(crate) const FRESHNESS: Self = Self(16);
    /// The attributes of all nodes.
    pub(crate) const ATTRIBUTES: Self = Self(32);
    /// The results of the node's tests.
    pub(crate) const TESTS: Self = Self(64);
    /// The macros that the node calls.
    pub(crate) const MACROS: Self = Self(128);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
