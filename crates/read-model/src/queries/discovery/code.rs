//! The compiled code of nodes.

use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// Returns the newest compiled code of these nodes in an environment, by dbt's ids, to be read with [`crate::doc::decode_doc`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compiled_codes(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"SELECT u.unique_id AS "unique_id!", t.text
         FROM unnest($3::text[]) AS u (unique_id)
         JOIN aspect_heads h ON h.account_id = $1 AND h.environment_id = $2 AND h.aspect = 'compiled_code'
            AND h.node_md5 = md5(u.unique_id)::uuid
         JOIN texts t ON t.account_id = $1 AND t.id = h.content_id"#,
        account.0,
        environment.0,
        unique_ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.unique_id, row.text)).collect())
}

/// Returns the newest compiled code of all nodes of these resource types in a run, by dbt's ids, to be read with [`crate::doc::decode_doc`].
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compiled_codes_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    resource_types: &[String],
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (n.unique_id) n.unique_id, t.text
         FROM artifacts a
         JOIN manifests m ON m.account_id = a.account_id AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = ANY($3)
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.compiled_set AND k.resource_type = s.resource_type
         CROSS JOIN LATERAL unnest(s.node_ids, k.text_ids) AS u (node_id, text_id)
         JOIN nodes n ON n.account_id = $1 AND n.id = u.node_id
         JOIN texts t ON t.account_id = $1 AND t.id = u.text_id
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
         ORDER BY n.unique_id, a.done_at DESC, a.event_id DESC, a.place DESC"#,
        account.0,
        run.0,
        resource_types
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.unique_id, row.text)).collect())
}
