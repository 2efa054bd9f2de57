//! Determines the run that a file belongs to.

use schemas::{EnvironmentId, EventId};
use sqlx::PgConnection;

use crate::artifacts::Artifact;
use crate::artifacts::LATEST;
use crate::ids::RunKey;

/// Determines the run of a file from everything that is known about its environment. Files tagged `latest-…` belong to none.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn key_of_run(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    artifact: &Artifact,
) -> sqlx::Result<Option<RunKey>> {
    if let Some(run_id) = &artifact.run_id {
        let dag_id = match &artifact.dag_id {
            Some(dag) => Some(dag.clone()),
            None => only_dag(connection, environment, run_id).await?,
        };
        return Ok(Some(RunKey {
            dag_id,
            run_id: Some(run_id.clone()),
            ..RunKey::default()
        }));
    }
    if let Some(tag) = artifact.tag.as_deref() {
        if tag.starts_with(LATEST) {
            return Ok(None);
        }
        if let Some(run_id) = run_of_tag(connection, environment, tag).await? {
            let dag_id = match &artifact.dag_id {
                Some(dag) => Some(dag.clone()),
                None => only_dag(connection, environment, &run_id).await?,
            };
            return Ok(Some(RunKey {
                dag_id,
                run_id: Some(run_id),
                ..RunKey::default()
            }));
        }
    }
    let Some(invocation_id) = &artifact.invocation_id else {
        return Ok(artifact.makes_run.then(|| RunKey {
            dag_id: artifact.dag_id.clone(),
            event_id: Some(artifact.event_id),
            ..RunKey::default()
        }));
    };
    let related = sqlx::query!(
        r#"SELECT dag_id, airflow_run_id AS "run_id!" FROM artifacts
         WHERE environment_id = $1 AND invocation_id = $2 AND airflow_run_id IS NOT NULL
         ORDER BY event_time, event_id, place LIMIT 1"#,
        environment.0,
        invocation_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    if related.is_none() && !artifact.makes_run {
        // The file belongs to the same run as the other files of its invocation.
        return match sign_of_run(connection, environment, invocation_id).await? {
            Some(sign) => Box::pin(key_of_run(connection, environment, &sign)).await,
            None => Ok(None),
        };
    }
    Ok(Some(match related {
        Some(related) => RunKey {
            dag_id: match related.dag_id {
                Some(dag) => Some(dag),
                None => only_dag(connection, environment, &related.run_id).await?,
            },
            run_id: Some(related.run_id),
            ..RunKey::default()
        },
        None => RunKey {
            dag_id: artifact.dag_id.clone(),
            invocation_id: Some(invocation_id.clone()),
            ..RunKey::default()
        },
    }))
}

/// Finds the longest known run id, from uploads or Airflow, that the tag starts with, followed by `-`. Clients tag the files of a run this
/// way.
async fn run_of_tag(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    tag: &str,
) -> sqlx::Result<Option<String>> {
    let prefixes: Vec<String> = tag
        .match_indices('-')
        .map(|(at, _)| tag[..at].to_owned())
        .filter(|prefix| !prefix.is_empty())
        .collect();
    sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM (
            SELECT airflow_run_id AS id FROM artifacts
            WHERE environment_id = $1 AND airflow_run_id = ANY($2)
                AND hashtextextended(airflow_run_id, 0) = ANY(ARRAY(SELECT hashtextextended(b.id, 0) FROM unnest($2::text[]) AS b (id)))
            UNION ALL
            SELECT run_id FROM airflow_runs
            WHERE environment_id = $1 AND run_id = ANY($2)
                AND hashtextextended(run_id, 0) = ANY(ARRAY(SELECT hashtextextended(b.id, 0) FROM unnest($2::text[]) AS b (id)))
         ) known ORDER BY length(id) DESC LIMIT 1"#,
        environment.0,
        &prefixes
    )
    .fetch_optional(connection)
    .await
}

/// Returns the DAG of this run if exactly one is known, since Airflow gives the same run ids to many DAGs.
async fn only_dag(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    run_id: &str,
) -> sqlx::Result<Option<String>> {
    let dags = sqlx::query_scalar!(
        r#"SELECT dag_id AS "dag_id!" FROM artifacts
         WHERE environment_id = $1 AND hashtextextended(airflow_run_id, 0) = hashtextextended($2, 0) AND airflow_run_id = $2
            AND dag_id IS NOT NULL
         UNION
         SELECT dag_id FROM airflow_runs
         WHERE environment_id = $1 AND hashtextextended(run_id, 0) = hashtextextended($2, 0) AND run_id = $2
         LIMIT 2"#,
        environment.0,
        run_id
    )
    .fetch_all(connection)
    .await?;
    Ok(<[String; 1]>::try_from(dags).ok().map(|[dag]| dag))
}

/// Returns the first file of an invocation that is evidence of a run.
async fn sign_of_run(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    invocation_id: &str,
) -> sqlx::Result<Option<Artifact>> {
    let found = sqlx::query!(
        "SELECT event_id, place, event_time, dag_id, airflow_run_id, tag, invocation_id, pruned FROM artifacts
         WHERE environment_id = $1 AND invocation_id = $2 AND makes_run
         ORDER BY event_time, event_id, place LIMIT 1",
        environment.0,
        invocation_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|row| Artifact {
        event_id: EventId(row.event_id),
        place: row.place,
        event_time: row.event_time,
        dag_id: row.dag_id,
        run_id: row.airflow_run_id,
        tag: row.tag,
        invocation_id: row.invocation_id,
        makes_run: true,
        pruned: row.pruned,
    }))
}
