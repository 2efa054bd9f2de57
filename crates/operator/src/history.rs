//! The directory as the bucket's journal has it. Unlike the tables, it can be read without PostgreSQL, and has tokens that were deleted.

use anyhow::{Context, ensure};
use bucket::{Bucket, Journal};
use directory::{History, IdOrSlug};
use futures_util::StreamExt;
use schemas::{AccountId, EnvironmentId, Event, EventId};

use crate::{no_account, no_environment};

/// Reads all events of the directory.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub async fn read_history(bucket: &Bucket) -> anyhow::Result<History> {
    let ids = bucket.list_directory_events().await?;
    let mut events = bucket.read_events(Journal::Directory, ids);
    let mut history = History::default();
    while let Some((id, event)) = events.next().await {
        if let Some(event) = readable(id, event)? {
            history.note(&event);
        }
    }
    Ok(history)
}

/// Checks that there is such an account.
///
/// # Errors
/// Fails if there is none.
pub fn require_account(history: &History, account: AccountId) -> anyhow::Result<()> {
    ensure!(history.has_account(account), no_account(account));
    Ok(())
}

/// Returns the environment with this name, of this account if one is given.
///
/// # Errors
/// Fails if there is none.
pub fn environment_named(
    history: &History,
    account: Option<AccountId>,
    name: &IdOrSlug,
) -> anyhow::Result<EnvironmentId> {
    let found = history.environment(account, name).with_context(|| match account {
        Some(account) => no_environment(account, name),
        None => format!(
            "unknown environment `{name}`: `dbt-api environment list --account ID` lists the environments of an account"
        ),
    })?;
    Ok(found.environment_id)
}

/// Returns no event if it is unreadable, so that the other events are still shown.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub fn readable(id: EventId, event: Result<Event, bucket::Error>) -> anyhow::Result<Option<Event>> {
    match event {
        Ok(event) => Ok(Some(event)),
        Err(error) if error.is_unavailable() => Err(error).context("the bucket is unavailable"),
        Err(error) => {
            tracing::warn!(event_id = %id, %error, "skipped an unreadable event in the journal");
            Ok(None)
        }
    }
}
