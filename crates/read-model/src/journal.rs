//! Tracks which events were applied, which are being applied, and which are dead letters.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

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

/// Locks events until the transaction ends in any way, and returns those that it locked. Other transactions hold the locks of the rest, so
/// that nobody applies an event twice at the same time.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_events(transaction: &mut PgConnection, events: &[EventId]) -> sqlx::Result<HashSet<EventId>> {
    let locked = sqlx::query_scalar!(
        r#"SELECT e.id AS "id!" FROM unnest($1::uuid[]) AS e (id)
         WHERE pg_try_advisory_xact_lock(hashtextextended('dbt-api event ' || current_schema() || ' ' || e.id, 0))"#,
        &uuids(events)
    )
    .fetch_all(transaction)
    .await?;
    Ok(locked.into_iter().map(EventId).collect())
}

fn uuids(events: &[EventId]) -> Vec<Uuid> {
    events.iter().map(|event| event.0).collect()
}

/// What is known about an event before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The event was already applied or is a dead letter.
    Done,
    /// An attempt began and did not end. The event may have killed its projector.
    Begun,
    /// No attempt to apply the event is recorded.
    Nothing,
}

/// Records the start of an attempt for those of these events of which nothing is known. Returns what was known about each event. Commit it
/// before the attempt, so that it stays recorded even if the attempt kills the process.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn begin_attempts(
    connection: &mut PgConnection,
    events: &[EventId],
) -> sqlx::Result<HashMap<EventId, Known>> {
    let rows = sqlx::query!(
        r#"WITH asked AS MATERIALIZED (
            SELECT e.id, EXISTS (SELECT FROM ledger l WHERE l.event_id = e.id)
                    OR EXISTS (SELECT FROM dead_letters d WHERE d.event_id = e.id) AS is_done,
                EXISTS (SELECT FROM attempts a WHERE a.event_id = e.id AND a.starts > 0) AS is_begun
            FROM unnest($1::uuid[]) AS e (id)
        ), begun AS (
            INSERT INTO attempts AS a (event_id, starts) SELECT id, 1 FROM asked WHERE NOT is_done AND NOT is_begun
            ON CONFLICT (event_id) DO UPDATE SET starts = a.starts + 1
        )
        SELECT id AS "id!", is_done AS "is_done!", is_begun AS "is_begun!" FROM asked"#,
        &uuids(events)
    )
    .fetch_all(connection)
    .await?;
    let known = |is_done, is_begun| match (is_done, is_begun) {
        (true, _) => Known::Done,
        (_, true) => Known::Begun,
        _ => Known::Nothing,
    };
    Ok(rows
        .into_iter()
        .map(|row| (EventId(row.id), known(row.is_done, row.is_begun)))
        .collect())
}

/// Records the start of an attempt to apply a single event. Commit it before the attempt, so that it stays recorded even if the attempt
/// kills the process.
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

/// Removes one recorded start of each event. The attempts ended because something else was unavailable, which is not the events' fault.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn forget_attempts<'c>(database: impl PgExecutor<'c>, events: &[EventId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE attempts SET starts = starts - 1 WHERE event_id = ANY($1)",
        &uuids(events)
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Deletes the recorded starts and the dead letters of events, because they were applied.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn end_attempts(transaction: &mut PgConnection, events: &[EventId]) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH attempt AS (DELETE FROM attempts WHERE event_id = ANY($1)) DELETE FROM dead_letters WHERE event_id = ANY($1)",
        &uuids(events)
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Identifies the state of an account's rows. While it stays the same, rows that were found are still there: nothing was removed, and the
/// read model was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    account: i64,
    tables: i64,
    removals: i64,
}

/// Returns the current generations of the rows of accounts, in the same order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn generations(connection: &mut PgConnection, accounts: &[AccountId]) -> sqlx::Result<Vec<Generation>> {
    sqlx::query_as!(
        Generation,
        r#"SELECT a.id AS "account!", 'ledger'::regclass::oid::bigint AS "tables!", coalesce(r.count, 0) AS "removals!"
         FROM unnest($1::bigint[]) WITH ORDINALITY AS a (id, place) LEFT JOIN removals r ON r.account_id = a.id ORDER BY a.place"#,
        &numbers(accounts)
    )
    .fetch_all(connection)
    .await
}

fn numbers(accounts: &[AccountId]) -> Vec<i64> {
    accounts.iter().map(|account| account.0).collect()
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

/// Prevents the read model from being swapped for a rebuilt one until the transaction ends. From then on, each statement of the transaction waits
/// for locks no longer than `limit`, and fails afterwards with an error that [`crate::outage::is_lock_wait`] recognizes.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn share_read_model(transaction: &mut PgConnection, limit: Option<Duration>) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('dbt-api read model ' || current_schema(), 0)),
            set_config('lock_timeout', coalesce($1, current_setting('lock_timeout')), true) AS lock_timeout",
        limit.map(|limit| limit.as_millis().to_string())
    )
    .fetch_one(transaction)
    .await?;
    Ok(())
}

/// Ends the limit of [`share_read_model`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unlimit_lock_waits(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SET LOCAL lock_timeout TO DEFAULT")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Prevents the read model from being swapped for a rebuilt one, and the accounts from being pruned, until the transaction ends. The accounts
/// must be sorted, so that two transactions never wait for each other.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_accounts(transaction: &mut PgConnection, accounts: &[AccountId]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('dbt-api read model ' || current_schema(), 0)),
            pg_advisory_xact_lock_shared(hashtextextended('dbt-api account ' || current_schema(), a.id))
         FROM unnest($1::bigint[]) AS a (id)",
        &numbers(accounts)
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

/// Prevents others from adding nodes, code or catalog tables to these accounts until the transaction ends. Rows that were not found stay
/// absent, and transactions cannot deadlock on each other's rows. Call it before adding any of them. The accounts must be sorted.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_contents(transaction: &mut PgConnection, accounts: &[AccountId]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api contents ' || current_schema(), a.id)) FROM unnest($1::bigint[]) AS a (id)",
        &numbers(accounts)
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Records events of accounts as applied, and returns those that were not recorded before. Waits for other transactions that are recording
/// them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn add_to_ledger(
    transaction: &mut PgConnection,
    events: &[(AccountId, EventId)],
) -> sqlx::Result<HashSet<EventId>> {
    let (accounts, ids): (Vec<i64>, Vec<_>) = events.iter().map(|(account, event)| (account.0, event.0)).unzip();
    // Events that an earlier version has applied are there without their account.
    let added = sqlx::query_scalar!(
        "INSERT INTO ledger (event_id, account_id)
         SELECT id, account_id FROM unnest($1::bigint[], $2::uuid[]) AS e (account_id, id)
         WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.event_id = e.id) ORDER BY id
         ON CONFLICT DO NOTHING RETURNING event_id",
        &accounts,
        &ids
    )
    .fetch_all(transaction)
    .await?;
    Ok(added.into_iter().map(EventId).collect())
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
    let account = event.account().map(|account| account.0);
    let inserted = sqlx::query!(
        "INSERT INTO dead_letters (event_id, account_id, event_type, event_time, cause, dropped_at)
         SELECT $1, $2, $3, $4, $5, (SELECT min(at) FROM operator_actions WHERE subject = $1 AND action = $6)
         WHERE NOT EXISTS (SELECT FROM ledger WHERE event_id = $1)
         ON CONFLICT (event_id) DO UPDATE SET cause = excluded.cause, died_at = now(),
            dropped_at = coalesce(dead_letters.dropped_at, excluded.dropped_at)",
        event.id.0,
        account,
        crate::text::without_nul(&event.kind),
        event.time,
        crate::text::without_nul(cause),
        crate::operators::DROPPED
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
    let ids = uuids(events);
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
