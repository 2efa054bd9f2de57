//! Determines the runs that files belong to.

use std::collections::{BTreeSet, HashMap};

use schemas::{EnvironmentId, EventId};
use sqlx::PgConnection;

use crate::artifacts::{Artifact, LATEST};
use crate::ids::RunKey;
use crate::placement::InEnvironments;

/// A text within an environment: a run id, a tag or an invocation id.
type Key = (EnvironmentId, String);

/// Determines the run of each file from everything that is known about its environment. Files tagged `latest-…` belong to none.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn keys_of_runs(
    connection: &mut PgConnection,
    files: &[(EnvironmentId, &Artifact)],
) -> sqlx::Result<Vec<Option<RunKey>>> {
    let mut known = Known::default();
    let invocations: BTreeSet<Key> = files.iter().filter_map(invocation_of).collect();
    known.runs_of_invocations = runs_of_invocations(connection, &invocations).await?;
    // These files belong to the same run as the other files of their invocation.
    let dependent = files.iter().filter(|(_, artifact)| !artifact.makes_run);
    let dependent = dependent.filter_map(invocation_of);
    let without_run = dependent
        .filter(|key| !known.runs_of_invocations.contains_key(key))
        .collect();
    known.signs = signs_of_runs(connection, &without_run).await?;
    let signs = known.signs.iter().map(|((environment, _), sign)| (*environment, sign));
    let tags = files.iter().copied().chain(signs).filter_map(tag_of).collect();
    known.runs_of_tags = runs_of_tags(connection, &tags).await?;

    let mut keys: Vec<Option<RunKey>> = files.iter().map(|file| known.find(*file)).collect();
    let of_files = || files.iter().map(|(environment, _)| *environment);
    let without_dag = of_files().zip(&keys).filter_map(run_without_dag).collect();
    let dags = only_dags(connection, &without_dag).await?;
    for (environment, key) in of_files().zip(&mut keys) {
        if let Some(run) = run_without_dag((environment, key))
            && let Some(key) = key
        {
            key.dag_id = dags.get(&run).cloned();
        }
    }
    Ok(keys)
}

fn run_without_dag((environment, key): (EnvironmentId, &Option<RunKey>)) -> Option<Key> {
    let key = key.as_ref().filter(|key| key.dag_id.is_none())?;
    Some((environment, key.run_id.clone()?))
}

/// What is known about the files' environments.
#[derive(Default)]
struct Known {
    /// The run of each invocation, and the DAG if a file names both.
    runs_of_invocations: HashMap<Key, (String, Option<String>)>,
    /// The first file that is evidence of a run, of invocations whose run is not known.
    signs: HashMap<Key, Artifact>,
    /// The run of each tag.
    runs_of_tags: HashMap<Key, String>,
}

impl Known {
    /// Returns the run of a file. Its DAG may still have to be looked up.
    fn find(&self, file: (EnvironmentId, &Artifact)) -> Option<RunKey> {
        let (environment, artifact) = file;
        let of_run = |run_id: &String, dag_id: &Option<String>| {
            Some(RunKey {
                dag_id: dag_id.clone(),
                run_id: Some(run_id.clone()),
                ..RunKey::default()
            })
        };
        if let Some(run_id) = &artifact.run_id {
            return of_run(run_id, &artifact.dag_id);
        }
        if artifact.tag.as_deref().is_some_and(|tag| tag.starts_with(LATEST)) {
            return None;
        }
        if let Some(run_id) = tag_of(file).and_then(|tag| self.runs_of_tags.get(&tag)) {
            return of_run(run_id, &artifact.dag_id);
        }
        let Some(invocation_id) = &artifact.invocation_id else {
            return artifact.makes_run.then(|| RunKey {
                dag_id: artifact.dag_id.clone(),
                event_id: Some(artifact.event_id),
                ..RunKey::default()
            });
        };
        let invocation = (environment, invocation_id.clone());
        if let Some((run_id, dag_id)) = self.runs_of_invocations.get(&invocation) {
            return of_run(run_id, dag_id);
        }
        if !artifact.makes_run {
            return self.find((environment, self.signs.get(&invocation)?));
        }
        Some(RunKey {
            dag_id: artifact.dag_id.clone(),
            invocation_id: Some(invocation_id.clone()),
            ..RunKey::default()
        })
    }
}

/// The invocation of a file whose run is not known from the file itself.
fn invocation_of((environment, artifact): &(EnvironmentId, &Artifact)) -> Option<Key> {
    let invocation = artifact.invocation_id.as_ref().filter(|_| artifact.run_id.is_none())?;
    Some((*environment, invocation.clone()))
}

/// The tag of a file, if it may name the run.
fn tag_of((environment, artifact): (EnvironmentId, &Artifact)) -> Option<Key> {
    let tag = artifact.tag.as_ref().filter(|_| artifact.run_id.is_none())?;
    (!tag.starts_with(LATEST)).then(|| (environment, tag.clone()))
}

async fn runs_of_invocations(
    connection: &mut PgConnection,
    invocations: &BTreeSet<Key>,
) -> sqlx::Result<HashMap<Key, (String, Option<String>)>> {
    if invocations.is_empty() {
        return Ok(HashMap::new());
    }
    let invocations: InEnvironments = invocations.iter().cloned().collect();
    let rows = sqlx::query!(
        r#"SELECT i.environment_id AS "environment_id!", i.id AS "invocation_id!", a.dag_id, a.airflow_run_id AS "run_id!"
         FROM unnest($1::bigint[], $2::text[]) AS i (environment_id, id) CROSS JOIN LATERAL (
            SELECT dag_id, airflow_run_id FROM artifacts
            WHERE environment_id = i.environment_id AND invocation_id = i.id AND airflow_run_id IS NOT NULL
            ORDER BY event_time, event_id, place LIMIT 1
         ) a"#,
        &invocations.environments,
        &invocations.texts
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let invocation = (EnvironmentId(row.environment_id), row.invocation_id);
            (invocation, (row.run_id, row.dag_id))
        })
        .collect())
}

/// Returns the first file of each invocation that is evidence of a run.
async fn signs_of_runs(
    connection: &mut PgConnection,
    invocations: &BTreeSet<Key>,
) -> sqlx::Result<HashMap<Key, Artifact>> {
    if invocations.is_empty() {
        return Ok(HashMap::new());
    }
    let invocations: InEnvironments = invocations.iter().cloned().collect();
    let rows = sqlx::query!(
        r#"SELECT i.environment_id AS "environment_id!", i.id AS "invocation_id!", a.event_id, a.place, a.event_time, a.dag_id,
            a.airflow_run_id, a.tag, a.pruned
         FROM unnest($1::bigint[], $2::text[]) AS i (environment_id, id) CROSS JOIN LATERAL (
            SELECT event_id, place, event_time, dag_id, airflow_run_id, tag, pruned FROM artifacts
            WHERE environment_id = i.environment_id AND invocation_id = i.id AND makes_run
            ORDER BY event_time, event_id, place LIMIT 1
         ) a"#,
        &invocations.environments,
        &invocations.texts
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let invocation = (EnvironmentId(row.environment_id), row.invocation_id.clone());
            let sign = Artifact {
                event_id: EventId(row.event_id),
                place: row.place,
                event_time: row.event_time,
                dag_id: row.dag_id,
                run_id: row.airflow_run_id,
                tag: row.tag,
                invocation_id: Some(row.invocation_id),
                makes_run: true,
                pruned: row.pruned,
            };
            (invocation, sign)
        })
        .collect())
}

/// Finds for each tag the longest known run id, from uploads or Airflow, that the tag starts with, followed by `-`. Clients tag the files of
/// a run this way.
async fn runs_of_tags(connection: &mut PgConnection, tags: &BTreeSet<Key>) -> sqlx::Result<HashMap<Key, String>> {
    let (mut numbers, mut environments, mut beginnings) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (environment, tag)) in (0_i32..).zip(tags) {
        for (at, _) in tag.match_indices('-').filter(|(at, _)| *at > 0) {
            numbers.push(number);
            environments.push(environment.0);
            beginnings.push(&tag[..at]);
        }
    }
    if beginnings.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (t.number) t.number AS "number!", t.beginning AS "run_id!"
         FROM unnest($1::integer[], $2::bigint[], $3::text[]) AS t (number, environment_id, beginning)
         WHERE EXISTS (SELECT FROM artifacts a
                WHERE a.environment_id = t.environment_id AND hashtextextended(a.airflow_run_id, 0) = hashtextextended(t.beginning, 0)
                    AND a.airflow_run_id = t.beginning)
            OR EXISTS (SELECT FROM airflow_runs o
                WHERE o.environment_id = t.environment_id AND hashtextextended(o.run_id, 0) = hashtextextended(t.beginning, 0)
                    AND o.run_id = t.beginning)
         ORDER BY t.number, length(t.beginning) DESC"#,
        &numbers,
        &environments,
        &beginnings as &[&str]
    )
    .fetch_all(connection)
    .await?;
    let found: HashMap<i32, String> = rows.into_iter().map(|row| (row.number, row.run_id)).collect();
    let tags = (0_i32..).zip(tags);
    Ok(tags
        .filter_map(|(number, tag)| Some((tag.clone(), found.get(&number)?.clone())))
        .collect())
}

/// Returns the DAGs of those of these runs of which exactly one is known, since Airflow gives the same run ids to many DAGs.
async fn only_dags(connection: &mut PgConnection, runs: &BTreeSet<Key>) -> sqlx::Result<HashMap<Key, String>> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let runs: InEnvironments = runs.iter().cloned().collect();
    let rows = sqlx::query!(
        r#"SELECT r.environment_id AS "environment_id!", r.id AS "run_id!", min(d.dag_id) AS "dag_id!"
         FROM unnest($1::bigint[], $2::text[]) AS r (environment_id, id) CROSS JOIN LATERAL (
            SELECT dag_id FROM artifacts
            WHERE environment_id = r.environment_id AND hashtextextended(airflow_run_id, 0) = hashtextextended(r.id, 0)
                AND airflow_run_id = r.id AND dag_id IS NOT NULL
            UNION
            SELECT dag_id FROM airflow_runs
            WHERE environment_id = r.environment_id AND hashtextextended(run_id, 0) = hashtextextended(r.id, 0) AND run_id = r.id
            LIMIT 2
         ) d GROUP BY r.environment_id, r.id HAVING count(*) = 1"#,
        &runs.environments,
        &runs.texts
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((EnvironmentId(row.environment_id), row.run_id), row.dag_id))
        .collect())
}
