//! Which events were applied, which are being worked upon, and which cannot be.

use chrono::{DateTime, Utc};
use schemas::{AccountId, Event, EventId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// How often the work upon an event may begin without coming to an end, before it is taken for one that kills its projector.
const STARTS: i32 = 5;

/// May the work upon an event begin?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// It was applied, or buried, before.
    Done,
    /// It was begun too often without an end.
    Exhausted,
}

/// Takes the work upon an event until the transaction ends, in whatever way; false: another is at it, and it is not to be begun a second time.
///
/// # Errors
/// Those of the database.
pub async fn lock_event(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('dbt-api event ' || current_schema() || ' ' || $1::uuid, 0)) AS "is_mine!""#,
        event.0
    )
    .fetch_one(transaction)
    .await
}

/// Notes that the work upon an event begins. To be committed before it does, so that it is known even if the process dies of it.
///
/// # Errors
/// Those of the database.
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
        Some(starts) if starts >= STARTS => Admission::Exhausted,
        Some(_) => Admission::Admitted,
    })
}

/// Takes one start back: it ended because something else was away, which is not the event's fault.
///
/// # Errors
/// Those of the database.
pub async fn forget_attempt<'c>(database: impl PgExecutor<'c>, event: EventId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE attempts SET starts = starts - 1 WHERE event_id = $1", event.0)
        .execute(database)
        .await?;
    Ok(())
}

/// An event was applied: its starts count no more, and it is no dead letter.
///
/// # Errors
/// Those of the database.
pub async fn end_attempt(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH attempt AS (DELETE FROM attempts WHERE event_id = $1) DELETE FROM dead_letters WHERE event_id = $1",
        event.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// As long as it is the same, what was found in the read model of an account is still there: neither was anything removed, nor does another
/// read model stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    tables: i64,
    removals: i64,
}

/// The present generation of an account's rows.
///
/// # Errors
/// Those of the database.
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

/// To be called before anything of an account is removed, under [`lock_account_alone`].
///
/// # Errors
/// Those of the database.
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

/// Keeps the read model from being swapped for a rebuilt one, and the account from being pruned, until the transaction ends.
///
/// # Errors
/// Those of the database.
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

/// Keeps the read model from being swapped, and everyone else from writing anything of this account, until the transaction ends.
///
/// # Errors
/// Those of the database.
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

/// Keeps others from adding nodes, codes or tables of catalogs to an account until the transaction ends: what is looked for and not found
/// stays absent, and nobody waits for rows of another in a circle. To be called before any of them is added.
///
/// # Errors
/// Those of the database.
pub async fn lock_contents(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api contents ' || current_schema(), $1))",
        account.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Enters an event as applied; false when it is there already. Waits for a transaction that is about to enter it.
///
/// # Errors
/// Those of the database.
pub async fn add_to_ledger(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO ledger (event_id) VALUES ($1) ON CONFLICT DO NOTHING",
        event.0
    )
    .execute(transaction)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Takes an event out of the ledger, so that it can be applied again.
///
/// # Errors
/// Those of the database.
pub async fn remove_from_ledger(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM ledger WHERE event_id = $1", event.0)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Makes an event a dead letter; false, and nothing is done, when it was applied.
///
/// # Errors
/// Those of the database.
pub async fn bury(transaction: &mut PgConnection, event: &Event, cause: &str) -> sqlx::Result<bool> {
    let account = event
        .subject
        .strip_prefix("accounts/")
        .and_then(|id| id.parse::<i64>().ok());
    let buried = sqlx::query!(
        "INSERT INTO dead_letters (event_id, account_id, event_type, event_time, cause)
         SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM ledger WHERE event_id = $1)
         ON CONFLICT (event_id) DO UPDATE SET cause = excluded.cause, died_at = now()",
        event.id.0,
        account,
        crate::without_nul(&event.kind),
        event.time,
        crate::without_nul(cause)
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM attempts WHERE event_id = $1", event.id.0)
        .execute(transaction)
        .await?;
    Ok(buried.rows_affected() == 1)
}

/// Which of these events are neither applied nor buried, in the same order.
///
/// # Errors
/// Those of the database.
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

/// Up to when the journal was compared with the ledger; none: never.
///
/// # Errors
/// Those of the database.
pub async fn swept_upto(connection: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT swept_upto FROM watermark")
        .fetch_optional(connection)
        .await
}

/// Notes up to when the journal was compared with the ledger. It never goes back.
///
/// # Errors
/// Those of the database.
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
