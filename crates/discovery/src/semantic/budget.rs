//! Limits the work that one request may cause.

use crate::error::QueryError;

/// The steps along joins and inputs that one request may take. Each may leave a name of about 60 bytes in memory.
const MAX_STEPS: usize = 500_000;

/// Counts the steps of a request.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_STEPS)
    }
}

impl Budget {
    /// Takes a step.
    pub(crate) fn step(&mut self) -> Result<(), QueryError> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| {
            QueryError::too_large(format!(
                "the metrics can be grouped by too many dimensions and entities: at most {MAX_STEPS} are looked at; ask for fewer metrics \
                 at once"
            ))
        })?;
        Ok(())
    }
}
