//! Finds the manifest that others may defer to.

use chrono::{DateTime, Utc};
use schemas::AccountId;
use sqlx::PgConnection;

use super::artifacts::RunFile;
use super::artifacts::sha256_of_column;

/// Selects a manifest. It must meet all criteria that are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManifestFilter<'a> {
    /// Only manifests in these environments.
    pub environments: &'a [i64],
    /// Only manifests of runs of this DAG.
    pub dag_id: Option<&'a str>,
    /// Only manifests that were uploaded with this tag.
    pub tag: Option<&'a str>,
    /// Only manifests of this dbt project.
    pub dbt_project: Option<&'a str>,
}

/// The ranks that are searched one after the other: 1 for runs whose work on nodes succeeded, 2 for all successful runs, 3 for all runs and
/// manifests without a run, and 4 also for manifests that DAGs keep for themselves under tags `latest-…`.
const RANKS: [i32; 4] = [1, 2, 3, 4];

/// Returns the manifest to defer to, and when it was uploaded. It is the newest one of a run whose work on nodes succeeded, or else of a
/// successful run. If there never was one, it is the newest of all, with those tagged `latest-…` last. With a tag, it is the newest
/// manifest with this tag.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn manifest_to_defer_to(
    connection: &mut PgConnection,
    account: AccountId,
    filter: ManifestFilter<'_>,
) -> sqlx::Result<Option<(RunFile, DateTime<Utc>)>> {
    for rank in RANKS {
        let row = sqlx::query!(
            "SELECT a.sha256, a.size, a.event_time FROM artifacts a LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
             WHERE a.account_id = $1 AND a.environment_id = ANY($2) AND a.kind = 'manifest'
                AND ($3::text IS NULL OR a.dag_id = $3 OR r.dag_id = $3)
                AND ($4::text IS NULL OR a.tag = $4)
                AND ($5::text IS NULL OR a.dbt_project = $5)
                AND ($4 IS NOT NULL OR $6 = 4 OR ((a.tag LIKE 'latest-%') IS NOT TRUE AND ($6 = 3 OR r.deferral_rank <= $6)))
                AND ($4 IS NOT NULL OR NOT EXISTS (SELECT FROM retired_projects p
                    WHERE p.account_id = $1 AND p.environment_id = a.environment_id AND p.dbt_project = a.dbt_project
                        AND p.retired_at >= a.done_at))
             ORDER BY a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1",
            account.0,
            filter.environments,
            filter.dag_id,
            filter.tag,
            filter.dbt_project,
            rank
        )
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = row {
            let file = RunFile {
                sha256: sha256_of_column(row.sha256)?,
                size: row.size,
            };
            return Ok(Some((file, row.event_time)));
        }
        if filter.tag.is_some() {
            break;
        }
    }
    Ok(None)
}
