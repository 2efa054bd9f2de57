//! The transaction that changes what answers show.

use std::ops::{Deref, DerefMut};

use directory::note_change;
use read_model::journal::end_attempts;
use schemas::{AccountId, EventId};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{ApplyError, Projector};

/// The transaction in which events change the read model. Dropping it reverts the changes.
///
/// Answers carry a version of their account's data as `ETag`. A change that kept the version would let clients believe that what they have
/// is current. So events change the read model only in this type, and [`Change::commit`] sets new versions.
pub(crate) struct Change {
    transaction: Transaction<'static, Postgres>,
}

impl Change {
    /// Ends the attempts to apply these events, gives their accounts a new version, and commits. The accounts must be sorted.
    pub(crate) async fn commit(mut self, events: &[EventId], accounts: &[AccountId]) -> Result<(), ApplyError> {
        end_attempts(&mut self.transaction, events).await?;
        // Last, because it locks the versions of the accounts until the commit.
        note_change(&mut self.transaction, accounts).await?;
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Change {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

impl Projector {
    /// Begins the transaction in which events are applied.
    pub(crate) async fn begin_change(&self) -> Result<Change, ApplyError> {
        let transaction = self.pool.begin().await?;
        Ok(Change { transaction })
    }
}
