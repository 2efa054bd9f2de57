//! Applies events of the directory to PostgreSQL.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use schemas::{
    AccountId, AccountRecorded, ConnectionRecorded, EnvironmentRecorded, Event, EventData, EventId,
    OperatorTokenIssued, ProjectRecorded, TokenId, TokenIssued,
};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Takes the lock for changing the directory, until the transaction ends. What is checked before an event is made thus stays true until it
/// is applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn begin_change(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('dbt-api directory'))")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Takes the same lock as [`begin_change`] without waiting. Returns false if another transaction holds it.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn try_begin_change(transaction: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext('dbt-api directory')) AS "begun!""#)
        .fetch_one(transaction)
        .await
}

/// Returns those of the events that were applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn applied(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<HashSet<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.0).collect();
    let applied = sqlx::query_scalar!("SELECT event_id FROM directory.ledger WHERE event_id = ANY($1)", &ids)
        .fetch_all(connection)
        .await?;
    Ok(applied.into_iter().map(EventId).collect())
}

/// Returns how many events of the directory were applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn applied_events(connection: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM directory.ledger"#)
        .fetch_one(connection)
        .await
}

/// Applies an event of the directory in the caller's transaction. Applying it again, or after a later event, changes nothing. Other events
/// are ignored.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn apply(transaction: &mut PgConnection, event: &Event, data: &EventData) -> sqlx::Result<()> {
    begin_change(transaction).await?;
    let (id, time) = (event.id, event.time);
    match data {
        EventData::AccountRecorded(account) => apply_account(transaction, id, time, account).await?,
        EventData::ProjectRecorded(project) => apply_project(transaction, id, time, project).await?,
        EventData::EnvironmentRecorded(environment) => {
            apply_environment(transaction, id, time, environment).await?;
        }
        EventData::ConnectionRecorded(connection) => apply_connection(transaction, id, time, connection).await?,
        EventData::TokenIssued(token) => issue_token(transaction, time, token).await?,
        EventData::TokenRevoked(token) => {
            revoke_token(transaction, time, token.token_id, Some(token.account_id)).await?
        }
        EventData::OperatorTokenIssued(token) => issue_operator_token(transaction, time, token).await?,
        EventData::OperatorTokenRevoked(token) => revoke_token(transaction, time, token.token_id, None).await?,
        EventData::ArtifactsUploaded(_)
        | EventData::FilesStored(_)
        | EventData::FileDeleted(_)
        | EventData::AirflowRunObserved(_)
        | EventData::RetentionPruned(_)
        | EventData::DbtProjectRetired(_)
        | EventData::OperatorActed(_) => return Ok(()),
    }
    sqlx::query!(
        "INSERT INTO directory.ledger (event_id) VALUES ($1) ON CONFLICT DO NOTHING",
        id.0
    )
    .execute(&mut *transaction)
    .await?;
    let accounts: Vec<AccountId> = data.account_id().into_iter().collect();
    note_change(transaction, &accounts).await
}

/// Gives accounts a new version after a change, so that what clients have cached is no longer current. [`apply`] does this by itself. Only one
/// transaction at a time can do it for an account, so it should be the last step of a transaction. The accounts must be sorted, so that two
/// transactions never wait for each other.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn note_change(transaction: &mut PgConnection, accounts: &[AccountId]) -> sqlx::Result<()> {
    let ids: Vec<i64> = accounts.iter().map(|account| account.0).collect();
    sqlx::query!(
        "INSERT INTO directory.account_versions (account_id, version) SELECT a.id, gen_random_uuid() FROM unnest($1::bigint[]) AS a (id)
         ON CONFLICT (account_id) DO UPDATE SET version = excluded.version",
        &ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn apply_account(
    transaction: &mut PgConnection,
    id: EventId,
    time: DateTime<Utc>,
    account: &AccountRecorded,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO accounts AS a (id, name, slug, state, created_at, updated_at, event_id)
         VALUES ($1, $2, $3, $4, $5, $5, $6)
         ON CONFLICT (id) DO UPDATE SET
            (name, slug, state, updated_at, event_id) = (SELECT w.name, w.slug, w.state, w.updated_at, w.event_id
                FROM (VALUES (a.name, a.slug, a.state, a.updated_at, a.event_id),
                    (excluded.name, excluded.slug, excluded.state, excluded.updated_at, excluded.event_id)
                ) AS w (name, slug, state, updated_at, event_id) ORDER BY w.updated_at DESC, w.event_id DESC LIMIT 1),
            created_at = least(a.created_at, excluded.created_at)",
        account.account_id.0,
        account.name,
        account.slug.as_ref().map(|slug| slug.as_str()),
        account.state.as_str(),
        time,
        id.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn apply_project(
    transaction: &mut PgConnection,
    id: EventId,
    time: DateTime<Utc>,
    project: &ProjectRecorded,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO projects AS p (id, account_id, name, slug, state, created_at, updated_at, event_id)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
         ON CONFLICT (id) DO UPDATE SET
            (name, slug, state, updated_at, event_id) = (SELECT w.name, w.slug, w.state, w.updated_at, w.event_id
                FROM (VALUES (p.name, p.slug, p.state, p.updated_at, p.event_id),
                    (excluded.name, excluded.slug, excluded.state, excluded.updated_at, excluded.event_id)
                ) AS w (name, slug, state, updated_at, event_id) ORDER BY w.updated_at DESC, w.event_id DESC LIMIT 1),
            created_at = least(p.created_at, excluded.created_at)",
        project.project_id.0,
        project.account_id.0,
        project.name,
        project.slug.as_str(),
        project.state.as_str(),
        time,
        id.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn apply_environment(
    transaction: &mut PgConnection,
    id: EventId,
    time: DateTime<Utc>,
    environment: &EnvironmentRecorded,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO environments AS e
            (id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at, event_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
         ON CONFLICT (id) DO UPDATE SET
            (name, slug, environment_type, state, updated_at, event_id) =
                (SELECT w.name, w.slug, w.environment_type, w.state, w.updated_at, w.event_id
                FROM (VALUES (e.name, e.slug, e.environment_type, e.state, e.updated_at, e.event_id),
                    (excluded.name, excluded.slug, excluded.environment_type, excluded.state, excluded.updated_at,
                        excluded.event_id)
                ) AS w (name, slug, environment_type, state, updated_at, event_id)
                ORDER BY w.updated_at DESC, w.event_id DESC LIMIT 1),
            created_at = least(e.created_at, excluded.created_at)",
        environment.environment_id.0,
        environment.account_id.0,
        environment.project_id.0,
        environment.name,
        environment.slug.as_str(),
        environment.environment_type.as_str(),
        environment.state.as_str(),
        time,
        id.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn apply_connection(
    transaction: &mut PgConnection,
    id: EventId,
    time: DateTime<Utc>,
    connection: &ConnectionRecorded,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO connections AS c (project_id, account_id, details, updated_at, event_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (project_id) DO UPDATE SET details = excluded.details, updated_at = excluded.updated_at, event_id = excluded.event_id
         WHERE (c.updated_at, c.event_id) < (excluded.updated_at, excluded.event_id)",
        connection.project_id.0,
        connection.account_id.0,
        Json(&connection.details) as _,
        time,
        id.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn issue_token(transaction: &mut PgConnection, time: DateTime<Utc>, token: &TokenIssued) -> sqlx::Result<()> {
    let scopes: Vec<String> = token.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let added = sqlx::query!(
        "INSERT INTO tokens (id, account_id, name, key_sha256, scopes, environment_id, issued_at, expires_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8::timestamptz WHERE NOT EXISTS (SELECT FROM revocations WHERE token_id = $1)
         ON CONFLICT DO NOTHING",
        token.token_id.0,
        token.account_id.0,
        token.name,
        token.key_sha256.0.as_slice(),
        &scopes,
        token.environment_id.map(|id| id.0),
        time,
        token.expires_at
    )
    .execute(&mut *transaction)
    .await?;
    if added.rows_affected() == 0 {
        // An event about the same token was applied before. The earliest end counts, in whatever order they come; `least` ignores nulls.
        sqlx::query!(
            "UPDATE tokens SET expires_at = least(expires_at, $2), issued_at = least(issued_at, $3) WHERE id = $1",
            token.token_id.0,
            token.expires_at,
            time
        )
        .execute(transaction)
        .await?;
    }
    Ok(())
}

async fn issue_operator_token(
    transaction: &mut PgConnection,
    time: DateTime<Utc>,
    token: &OperatorTokenIssued,
) -> sqlx::Result<()> {
    let added = sqlx::query!(
        "INSERT INTO operator_tokens (id, name, key_sha256, issued_at, expires_at)
         SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM revocations WHERE token_id = $1)
         ON CONFLICT DO NOTHING",
        token.token_id.0,
        token.name,
        token.key_sha256.0.as_slice(),
        time,
        token.expires_at
    )
    .execute(&mut *transaction)
    .await?;
    if added.rows_affected() == 0 {
        // As in `issue_token`.
        sqlx::query!(
            "UPDATE operator_tokens SET expires_at = least(expires_at, $2), issued_at = least(issued_at, $3) WHERE id = $1",
            token.token_id.0,
            token.expires_at,
            time
        )
        .execute(transaction)
        .await?;
    }
    Ok(())
}

/// Revokes a token, which has no account if it is for operators.
async fn revoke_token(
    transaction: &mut PgConnection,
    time: DateTime<Utc>,
    token: TokenId,
    account: Option<AccountId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO revocations (token_id, account_id, revoked_at) VALUES ($1, $2, $3)
         ON CONFLICT (token_id) DO UPDATE SET revoked_at = least(revocations.revoked_at, excluded.revoked_at)",
        token.0,
        account.map(|account| account.0),
        time
    )
    .execute(&mut *transaction)
    .await?;
    // When it was last used stays, for `token list --all`.
    sqlx::query!(
        "WITH operators AS (DELETE FROM operator_tokens WHERE id = $1) DELETE FROM tokens WHERE id = $1",
        token.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}
