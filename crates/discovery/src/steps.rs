//! Limits the number of related nodes that one query looks at.

use crate::error::QueryError;

/// The most nodes that are looked at to find what a query needs. Ten relations of each of 100,000 nodes take a fifth of them.
const MAX_STEPS: usize = 5_000_000;

/// Counts the nodes that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Steps(usize);

impl Steps {
    /// Counts some more.
    pub(crate) fn take(&mut self, steps: usize) -> Result<(), QueryError> {
        self.0 += steps;
        if self.0 > MAX_STEPS {
            return Err(QueryError::too_large(format!(
                "the query follows too many relations of nodes: at most {MAX_STEPS} nodes are looked at; ask for pages, or for fewer levels"
            )));
        }
        Ok(())
    }
}
