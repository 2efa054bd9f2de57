//! The macros that nodes call.

use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

use crate::projects::{projects_of_environment, projects_of_run, shown};

/// Returns the macros that all nodes of these resource types call in an environment or in one of its runs, by dbt's ids of the nodes. Each
/// is a JSON list, to be read with [`crate::doc::decode_doc`], from the manifest that defines the node.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn macros_of_nodes(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    resource_types: &[String],
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    let projects = match run {
        Some(run) => projects_of_run(connection, account, run).await?,
        None => projects_of_environment(connection, account, environment).await?,
    };
    let shown = shown(&projects);
    let names: Vec<&str> = shown.iter().map(|project| project.dbt_project.as_str()).collect();
    let manifests: Vec<&[u8]> = shown.iter().map(|project| project.sha256.as_slice()).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (n.unique_id) n.unique_id, t.text
         FROM unnest($2::bytea[], $4::text[]) WITH ORDINALITY AS a (sha256, dbt_project, rank)
         JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = ANY($3)
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.macro_set AND k.resource_type = s.resource_type
         CROSS JOIN LATERAL unnest(s.node_ids, k.text_ids) AS u (node_id, text_id)
         JOIN nodes n ON n.account_id = $1 AND n.id = u.node_id
         JOIN texts t ON t.account_id = $1 AND t.id = u.text_id
         ORDER BY n.unique_id, coalesce(n.package_name = a.dbt_project, false) DESC, a.rank DESC"#,
        account.0,
        &manifests as &[&[u8]],
        resource_types,
        &names as &[&str]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.unique_id, row.text)).collect())
}
