//! The transaction that changes what answers show.

use std::ops::{Deref, DerefMut};

use directory::note_change;
use read_model::journal::end_attempts;
use schemas::{AccountId, EventId};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::ApplyError;

/// The transaction in which events change the read model. Dropping it reverts the changes when the connection is used again; until then, the
/// locks are held.
///
/// Answers carry a version of their account's data as `ETag`. A change that kept the version would let clients believe that what they have
/// is current. So events change the read model only in this type, and [`Change::commit`] sets new versions.
pub(crate) struct Change<'c> {
    transaction: Transaction<'c, Postgres>,
}

impl<'c> Change<'c> {
    /// Begins the transaction.
    pub(crate) async fn begin(connection: &'c mut PgConnection) -> Result<Self, ApplyError> {
        let transaction = connection.begin().await?;
        Ok(Self { transaction })
    }

    /// Ends the attempts to apply these events, gives their accounts a new version, and commits. The accounts must be sorted.
    pub(crate) async fn commit(mut self, events: &[EventId], accounts: &[AccountId]) -> Result<(), ApplyError> {
        end_attempts(&mut self.transaction, events).await?;
        // Last, because it locks the versions of the accounts until the commit.
        note_change(&mut self.transaction, accounts).await?;
        Ok(self.transaction.commit().await?)
    }

    /// Reverts the changes, and releases the locks.
    pub(crate) async fn revert(self) {
        if let Err(error) = self.transaction.rollback().await {
            // The connection is broken, and so its next use fails.
            tracing::debug!(%error, "cannot revert a change");
        }
    }
}

impl Deref for Change<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
