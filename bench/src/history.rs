//! Histories of runs, written directly into the tables, because uploading them would take hours.

use sqlx::PgPool;

/// Adds an account with a project, an environment, jobs, and runs that ended one minute after another. Accounts other than the first are
/// also added to the directory.
pub(crate) async fn add_runs(pool: &PgPool, account: i64, jobs: i64, runs: i64) -> anyhow::Result<()> {
    let statements = [
        "ALTER TABLE runs DISABLE TRIGGER count_runs",
        "INSERT INTO accounts (id, name, state, created_at, updated_at, event_id)
         SELECT $1, 'Bench', 'active', now(), now(), gen_random_uuid() ON CONFLICT DO NOTHING",
        "INSERT INTO projects (id, account_id, name, slug, state, created_at, updated_at, event_id)
         SELECT $1, $1, 'Shop', 'shop', 'active', now(), now(), gen_random_uuid() ON CONFLICT DO NOTHING",
        "INSERT INTO environments (id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at, event_id)
         SELECT $1, $1, $1, 'Production', 'prod', 'production', 'active', now(), now(), gen_random_uuid() ON CONFLICT DO NOTHING",
        "INSERT INTO jobs (id, account_id, project_id, environment_id, dag_id, created_at, updated_at)
         SELECT $1 * 10000 + j, $1, $1, $1, 'dag_' || j, now(), now() FROM generate_series(1, $2) j ON CONFLICT DO NOTHING",
        "INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, dbt_version, created_at,
            updated_at, started_at, finished_at, kinds)
         SELECT $1 * 10000000 + r, $1, $1, $1, $1 * 10000 + 1 + r % $2, 'dag_' || 1 + r % $2, 'scheduled__' || r,
            CASE WHEN r % 10 = 0 THEN 20 ELSE 10 END, '1.12.0', t, t, t - interval '5 min', t - interval '1 s', '{manifest,run_results}'
         FROM generate_series($3, $4) r, LATERAL (SELECT timestamptz '2024-01-01' + r * interval '1 min') AS x (t)",
        "INSERT INTO run_steps (account_id, id, environment_id, run_id, invocation_id, status, dbt_version, created_at, updated_at,
            started_at, finished_at, which, command)
         SELECT account_id, id, environment_id, id, gen_random_uuid()::text, status, dbt_version, created_at, updated_at, started_at,
            finished_at, 'build', 'dbt build' FROM runs WHERE account_id = $1 AND id > $1 * 10000000 + $3 - 1 AND id <= $1 * 10000000 + $4",
        "DELETE FROM run_counts WHERE account_id = $1",
        "INSERT INTO run_counts (account_id, project_id, environment_id, job_id, status, runs)
         SELECT account_id, project_id, environment_id, job_id, status, count(*) FROM runs WHERE account_id = $1 GROUP BY 1, 2, 3, 4, 5",
        "ALTER TABLE runs ENABLE TRIGGER count_runs",
    ];
    let highest: Option<i64> =
        sqlx::query_scalar("SELECT max(id) - $1 * 10000000 FROM runs WHERE account_id = $1 AND id > $1 * 10000000")
            .bind(account)
            .fetch_one(pool)
            .await?;
    let first = highest.unwrap_or(0) + 1;
    for statement in statements {
        let mut query = sqlx::query(statement);
        let numbers = [account, jobs, first, runs];
        let used = (1..=numbers.len())
            .filter(|number| statement.contains(&format!("${number}")))
            .max()
            .unwrap_or(0);
        for number in &numbers[..used] {
            query = query.bind(number);
        }
        query.execute(pool).await?;
    }
    sqlx::raw_sql("ANALYZE runs, run_steps, run_counts, jobs")
        .execute(pool)
        .await?;
    Ok(())
}

/// Runs the maintenance that PostgreSQL would start by itself after so many rows, in the middle of a measurement.
pub(crate) async fn settle(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    Ok(())
}
