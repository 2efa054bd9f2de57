//! The transaction that changes what answers show.

use std::ops::{Deref, DerefMut};

use directory::note_change;
use read_model::end_attempt;
use schemas::{AccountId, EventId};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{ApplyError, Projector};

/// The transaction in which an event changes the read model. Dropping it reverts the changes.
///
/// Answers carry a version of their account's data as `ETag`. A change that kept the version would let clients believe that what they have
/// is current. So events change the read model only in this type, and [`Change::commit`] sets a new version.
pub(crate) struct Change {
    transaction: Transaction<'static, Postgres>,
    event: EventId,
    account: AccountId,
}

impl Change {
    /// Ends the attempt to apply the event, gives the account a new version, and commits.
    pub(crate) async fn commit(mut self) -> Result<(), ApplyError> {
        end_attempt(&mut self.transaction, self.event).await?;
        // Last, because it locks the account's version until the commit.
        note_change(&mut self.transaction, self.account).await?;
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
    /// Begins the transaction in which this event of the account is applied.
    pub(crate) async fn begin_change(&self, event: EventId, account: AccountId) -> Result<Change, ApplyError> {
        let transaction = self.pool.begin().await?;
        Ok(Change {
            transaction,
            event,
            account,
        })
    }
}
