//! What operators did in the console.

use chrono::{DateTime, Utc};
use schemas::{Event, EventId, OperatorActed, OperatorAction};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// A row of `operator_actions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// The event that says so.
    pub event_id: Uuid,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// The token that was used.
    pub operator: Uuid,
    /// The account that it concerns; 0 if that is not known.
    pub account_id: i64,
    /// `token_issued`, `token_revoked`, `dead_letter_retried` or `dead_letter_dropped`.
    pub action: String,
    /// The token or the event that it was done to.
    pub subject: Uuid,
}

/// Records what an operator did.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn record_action(transaction: &mut PgConnection, event: &Event, acted: &OperatorActed) -> sqlx::Result<()> {
    let (action, subject) = match acted.action {
        OperatorAction::TokenIssued(token) => ("token_issued", token.0),
        OperatorAction::TokenRevoked(token) => ("token_revoked", token.0),
        OperatorAction::DeadLetterRetried(letter) => ("dead_letter_retried", letter.0),
        OperatorAction::DeadLetterDropped(letter) => (DROPPED, letter.0),
    };
    sqlx::query!(
        "INSERT INTO operator_actions (event_id, account_id, at, operator, action, subject) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        event.id.0,
        acted.account_id.map_or(0, |account| account.0),
        event.time,
        acted.operator.0,
        action,
        subject
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The action that drops a dead letter, as `operator_actions` names it.
pub(crate) const DROPPED: &str = "dead_letter_dropped";

/// Returns what operators did last, the newest first.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_actions(connection: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Action>> {
    sqlx::query_as!(
        Action,
        "SELECT event_id, at, operator, account_id, action, subject FROM operator_actions ORDER BY at DESC, event_id DESC LIMIT $1",
        limit
    )
    .fetch_all(connection)
    .await
}

/// Whether the event of an action was applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn is_recorded(connection: &mut PgConnection, event: EventId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operator_actions WHERE event_id = $1) AS "exists!""#,
        event.0
    )
    .fetch_one(connection)
    .await
}
