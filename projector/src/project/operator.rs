//! Does what an operator asked for in the console.

use bucket::Journal;
use futures_util::future::BoxFuture;
use read_model::dead_letters::{dead_letter, mark_dropped};
use read_model::journal::add_to_ledger;
use read_model::operators::record_action;
use schemas::{AccountId, Event, EventId, OperatorActed, OperatorAction};
use sqlx::PgConnection;

use crate::change::Change;
use crate::{ApplyError, Outcome, Projector};

/// The number that the ledger has for events about no account.
const NO_ACCOUNT: AccountId = AccountId(0);

impl Projector {
    pub(super) async fn project_action(
        &self,
        connection: &mut PgConnection,
        event: &Event,
        acted: &OperatorActed,
    ) -> Result<Outcome, ApplyError> {
        if let OperatorAction::DeadLetterRetried(letter) = acted.action {
            self.retry_for_operator(connection, event, letter).await?;
        }
        let mut change = Change::begin(connection).await?;
        let account = acted.account_id.unwrap_or(NO_ACCOUNT);
        if add_to_ledger(&mut change, &[(account, event.id)]).await?.is_empty() {
            change.revert().await;
            return Ok(Outcome::Known);
        }
        record_action(&mut change, event, acted).await?;
        if let OperatorAction::DeadLetterDropped(letter) = acted.action {
            mark_dropped(&mut change, letter, event.time).await?;
        }
        let accounts: Vec<AccountId> = acted.account_id.into_iter().collect();
        change.commit(&[event.id], &accounts).await?;
        Ok(Outcome::Applied)
    }

    /// Applies a dead letter again. It is left alone if it died after the operator asked for it, as in a rebuild, which has just tried it.
    async fn retry_for_operator(
        &self,
        connection: &mut PgConnection,
        asked: &Event,
        letter: EventId,
    ) -> Result<(), ApplyError> {
        let found = dead_letter(connection, letter).await?;
        let Some(found) = found.filter(|found| found.died_at <= asked.time) else {
            return Ok(());
        };
        let event = match self.bucket.get_event(Journal::of_type(&found.event_type), letter).await {
            Ok(event) => event,
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(event_id = %letter, %error, "a dead letter cannot be tried again");
                return Ok(());
            }
        };
        match self.retry_in_event(&event).await {
            Err(error @ ApplyError::Unavailable(_)) => Err(error),
            // It is a dead letter as before.
            Err(error) => {
                tracing::warn!(event_id = %letter, %error, "a dead letter was tried again without success");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// As [`Projector::retry`], in the attempt to apply another event. The letter may be such an event itself, so its type must end somewhere.
    fn retry_in_event<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<Outcome, ApplyError>> {
        Box::pin(self.retry(event))
    }
}
