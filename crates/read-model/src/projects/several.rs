//! Finds what is not simply shown as its newest manifest says: runs and environments of several dbt projects, and manifests that are late.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, EventId, RunId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Returns those of these runs whose nodes may be others than those of their newest manifest: runs with manifests of several dbt projects,
/// now or before.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn runs_of_several_projects(
    connection: &mut PgConnection,
    runs: &[(AccountId, EnvironmentId, RunId)],
) -> sqlx::Result<Vec<(AccountId, EnvironmentId, RunId)>> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: Vec<i64> = runs.iter().map(|(account, _, _)| account.0).collect();
    let environments: Vec<i64> = runs.iter().map(|(_, environment, _)| environment.0).collect();
    let ids: Vec<i64> = runs.iter().map(|(_, _, run)| run.0).collect();
    let rows = sqlx::query!(
        r#"SELECT u.account_id AS "account_id!", u.environment_id AS "environment_id!", u.id AS "id!"
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u (account_id, environment_id, id)
         WHERE EXISTS (SELECT FROM current_node_sets c WHERE c.environment_id = u.environment_id AND c.run_id = u.id)
            OR (SELECT count(DISTINCT a.dbt_project) FROM artifacts a
                WHERE a.account_id = u.account_id AND a.run_id = u.id AND a.kind = 'manifest') > 1
         ORDER BY u.account_id, u.environment_id, u.id"#,
        &accounts,
        &environments,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                AccountId(row.account_id),
                EnvironmentId(row.environment_id),
                RunId(row.id),
            )
        })
        .collect())
}

/// Returns those of these environments whose nodes may be others than those of their newest manifest: environments with several dbt
/// projects or retired ones, now or before.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn environments_of_several_projects(
    connection: &mut PgConnection,
    environments: &[(AccountId, EnvironmentId)],
) -> sqlx::Result<Vec<(AccountId, EnvironmentId)>> {
    if environments.is_empty() {
        return Ok(Vec::new());
    }
    let (accounts, ids): (Vec<i64>, Vec<i64>) = environments
        .iter()
        .map(|(account, environment)| (account.0, environment.0))
        .unzip();
    let rows = sqlx::query!(
        r#"SELECT u.account_id AS "account_id!", u.id AS "id!"
         FROM unnest($1::bigint[], $2::bigint[]) AS u (account_id, id)
         WHERE EXISTS (SELECT FROM current_node_sets c WHERE c.environment_id = u.id AND c.run_id = 0)
            OR EXISTS (SELECT FROM retired_projects r WHERE r.environment_id = u.id)
            OR (SELECT md5(dbt_project) FROM artifacts
                WHERE account_id = u.account_id AND environment_id = u.id AND kind = 'manifest' AND NOT pruned
                ORDER BY md5(dbt_project) LIMIT 1)
             <> (SELECT md5(dbt_project) FROM artifacts
                WHERE account_id = u.account_id AND environment_id = u.id AND kind = 'manifest' AND NOT pruned
                ORDER BY md5(dbt_project) DESC LIMIT 1)
         ORDER BY u.account_id, u.id"#,
        &accounts,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (AccountId(row.account_id), EnvironmentId(row.id)))
        .collect())
}

/// A manifest that is older than another of its project in the same environment.
#[derive(Clone, Debug)]
pub struct OlderManifest {
    /// The upload of the manifest.
    pub event: EventId,
    /// The environment that it was uploaded to.
    pub environment: EnvironmentId,
    /// When the manifest was written, by its own clock.
    pub done_at: DateTime<Utc>,
    /// When the newest manifest of the project was written.
    pub newest: DateTime<Utc>,
}

/// Returns the manifests of these uploads that are older than the newest manifest of their project.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn older_manifests(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<Vec<OlderManifest>> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.0).collect();
    let rows = sqlx::query!(
        r#"SELECT a.event_id, a.environment_id, a.done_at AS "done_at!", newest.done_at AS "newest!"
         FROM artifacts a CROSS JOIN LATERAL (
            SELECT n.done_at FROM artifacts n
            WHERE n.account_id = a.account_id AND n.environment_id = a.environment_id AND n.kind = 'manifest' AND NOT n.pruned
                AND md5(n.dbt_project) = md5(a.dbt_project)
            ORDER BY n.done_at DESC, n.event_id DESC, n.place DESC LIMIT 1
         ) newest
         WHERE a.event_id = ANY($1) AND a.kind = 'manifest' AND NOT a.pruned AND a.generated_at IS NOT NULL AND newest.done_at > a.done_at"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OlderManifest {
            event: EventId(row.event_id),
            environment: EnvironmentId(row.environment_id),
            done_at: row.done_at,
            newest: row.newest,
        })
        .collect())
}
