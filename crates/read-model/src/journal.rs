//! Tracks which events were applied, which are being applied, and which are dead letters.

use chrono::{DateTime, Utc};
use schemas::{AccountId, Event, EventId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The number of unfinished attempts after which an event is assumed to kill its projector.
const MAX_STARTS: i32 = 5;

/// Whether an attempt to apply an event may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The attempt may begin.
    Admitted,
    /// The event was already applied or is a dead letter.
    Done,
    /// Too many attempts began without finishing.
    Exhausted,
}

/// Locks an event until the transaction ends in any way. Returns false if another transaction holds the lock, so that nobody applies an
/// event twice at the same time.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_event(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('dbt-api event ' || current_schema() || ' ' || $1::uuid, 0)) AS "is_mine!""#,
        event.0
    )
    .fetch_one(transaction)
    .await
}

/// Records the start of an attempt. Commit it before the attempt, so that it stays recorded even if the attempt kills the process.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn begin_attempt(connection: &mut PgConnection, event: EventId) -> sqlx::Result<Admission> {
    let row = sqlx::query!(
        r#"WITH done AS (
            SELECT FROM ledger WHERE event_id = $1 UNION ALL SELECT FROM dead_letters WHERE event_id = $1
        ), attempt AS (
            INSERT INTO attempts AS a (event_id, starts) SELECT $1, 1 WHERE NOT EXISTS (SELECT FROM done)
            ON CONFLICT (event_id) DO UPDATE SET starts = a.starts + 1
            RETURNING starts
        )
        SELECT (SELECT starts FROM attempt) AS starts"#,
        event.0
    )
    .fetch_one(connection)
    .await?;
    Ok(match row.starts {
        None => Admission::Done,
        Some(starts) if starts >= MAX_STARTS => Admission::Exhausted,
        Some(_) => Admission::Admitted,
    })
}

/// Removes one recorded start. The attempt ended because something else was unavailable, which is not the event's fault.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn forget_attempt<'c>(database: impl PgExecutor<'c>, event: EventId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE attempts SET starts = starts - 1 WHERE event_id = $1", event.0)
        .execute(database)
        .await?;
    Ok(())
}

/// Deletes the recorded starts and the dead letter of an event, because it was applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn end_attempt(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH attempt AS (DELETE FROM attempts WHERE event_id = $1) DELETE FROM dead_letters WHERE event_id = $1",
        event.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Identifies the state of an account's rows. While it stays the same, rows that were found are still there: nothing was removed, and the
/// read model was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    tables: i64,
    removals: i64,
}

/// Returns the current generation of an account's rows.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn generation(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Generation> {
    sqlx::query_as!(
        Generation,
        r#"SELECT 'ledger'::regclass::oid::bigint AS "tables!",
            coalesce((SELECT count FROM removals WHERE account_id = $1), 0) AS "removals!""#,
        account.0
    )
    .fetch_one(connection)
    .await
}

/// Starts a new generation. Call it before removing anything of an account, under [`lock_account_alone`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn begin_removal(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO removals AS r (account_id, count) VALUES ($1, 1)
         ON CONFLICT (account_id) DO UPDATE SET count = r.count + 1",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Prevents the read model from being swapped for a rebuilt one, and the account from being pruned, until the transaction ends.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_account(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('dbt-api read model ' || current_schema(), 0)),
            pg_advisory_xact_lock_shared(hashtextextended('dbt-api account ' || current_schema(), $1))",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Prevents the read model from being swapped, and anyone else from writing to this account, until the transaction ends.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_account_alone(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('dbt-api read model ' || current_schema(), 0)),
            pg_advisory_xact_lock(hashtextextended('dbt-api account ' || current_schema(), $1))",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Prevents others from adding nodes, code or catalog tables to an account until the transaction ends. Rows that were not found stay
/// absent, and transactions cannot deadlock on each other's rows. Call it before adding any of them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_contents(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api contents ' || current_schema(), $1))",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Records an event as applied. Returns false if it was recorded already. Waits for another transaction that is recording it.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn add_to_ledger(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO ledger (event_id) VALUES ($1) ON CONFLICT DO NOTHING",
        event.0
    )
    .execute(transaction)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Removes an event from the ledger, so that it can be applied again.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn remove_from_ledger(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM ledger WHERE event_id = $1", event.0)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Records an event as a dead letter. Returns false without recording it if the event was applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_dead_letter(transaction: &mut PgConnection, event: &Event, cause: &str) -> sqlx::Result<bool> {
    let account = event
        .subject
        .strip_prefix("accounts/")
        .and_then(|id| id.parse::<i64>().ok());
    let inserted = sqlx::query!(
        "INSERT INTO dead_letters (event_id, account_id, event_type, event_time, cause)
         SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM ledger WHERE event_id = $1)
         ON CONFLICT (event_id) DO UPDATE SET cause = excluded.cause, died_at = now()",
        event.id.0,
        account,
        crate::text::without_nul(&event.kind),
        event.time,
        crate::text::without_nul(cause)
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM attempts WHERE event_id = $1", event.id.0)
        .execute(transaction)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Returns the events that are neither applied nor dead letters, in the same order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unknown_of(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<Vec<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.0).collect();
    let unknown = sqlx::query_scalar!(
        r#"SELECT e.id AS "id!" FROM unnest($1::uuid[]) WITH ORDINALITY AS e (id, place)
         WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.event_id = e.id)
             AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.event_id = e.id)
         ORDER BY e.place"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(unknown.into_iter().map(EventId).collect())
}

/// Returns the time up to which the journal was compared with the ledger, or `None` if it never was.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn swept_upto(connection: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT swept_upto FROM watermark")
        .fetch_optional(connection)
        .await
}

/// Records the time up to which the journal was compared with the ledger. The time never moves backwards.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn set_swept_upto(connection: &mut PgConnection, time: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO watermark (swept_upto) VALUES ($1)
         ON CONFLICT (one) DO UPDATE SET swept_upto = greatest(watermark.swept_upto, excluded.swept_upto)",
        time
    )
    .execute(connection)
    .await?;
    Ok(())
}
