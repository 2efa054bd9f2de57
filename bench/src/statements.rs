//! The statements that a request sends, from PostgreSQL's log, and their rate when pgbench runs them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use testkit::Database;

use crate::installation::percentile;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Logs all statements of new connections.
pub(crate) async fn begin_log(database: &Database) -> anyhow::Result<()> {
    let pool = superuser(database);
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "ALTER DATABASE {name} SET log_statement = 'all'"
    )))
    .execute(&pool)
    .await?;
    Ok(())
}

/// Stops logging the statements of new connections.
pub(crate) async fn end_log(database: &Database) -> anyhow::Result<()> {
    let pool = superuser(database);
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER DATABASE {name} RESET log_statement")))
        .execute(&pool)
        .await?;
    Ok(())
}

fn superuser(database: &Database) -> PgPool {
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(database.options())
}

/// Returns where the log ends at present.
pub(crate) async fn end_of_log(database: &Database) -> anyhow::Result<i64> {
    let size = sqlx::query_scalar("SELECT size FROM pg_stat_file('server.log')");
    Ok(size.fetch_one(&superuser(database)).await?)
}

/// A statement as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    text: String,
    /// The values of `$1` and so on; none is NULL.
    parameters: Vec<Option<String>>,
}

impl Statement {
    /// Returns whether this is the statement's text.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Returns whether the statement begins a transaction.
    pub(crate) fn is_begin(&self) -> bool {
        self.text.starts_with("BEGIN")
    }

    fn plain(text: &str) -> Self {
        Self::with(text, &[])
    }

    fn with(text: &str, parameters: &[&str]) -> Self {
        Self {
            text: text.to_owned(),
            parameters: parameters.iter().map(|value| Some((*value).to_owned())).collect(),
        }
    }
}

/// Returns the statements of commit 9b56660 that a transaction with these queries sent, for the holder of a key.
fn of_9b56660(key_sha256: &str, queries: impl IntoIterator<Item = Statement>) -> Vec<Statement> {
    let holder = "SELECT id AS \"id!\", account_id AS \"account_id!\", environment_id, scopes AS \"scopes!\", use_noted AS \"use_noted!\", \
        account_version FROM directory.token_by_key($1)";
    let mut statements = vec![Statement::with(holder, &[&format!("\\x{key_sha256}")])];
    statements.push(Statement::plain("BEGIN READ ONLY"));
    statements.extend(queries);
    statements.push(Statement::plain("ROLLBACK"));
    statements
}

/// The columns of a run in commit 9b56660.
const RUN: &str = "SELECT id, account_id, project_id, environment_id, job_id, airflow_run_id, status, dbt_version, created_at, updated_at, \
    started_at, finished_at, kinds FROM runs WHERE account_id = $1";

/// Returns the statements with which commit 9b56660 answered a page of 100 runs of account 1, the newest first.
pub(crate) fn earlier_runs_page(key_sha256: &str) -> Vec<Statement> {
    let page = Statement::with(&format!("{RUN} ORDER BY id DESC LIMIT 100"), &["1"]);
    let count = "SELECT coalesce(sum(runs), 0)::bigint FROM run_counts WHERE account_id = $1";
    of_9b56660(key_sha256, [page, Statement::with(count, &["1"])])
}

/// Returns the statements with which commit 9b56660 answered this run of account 1.
pub(crate) fn earlier_run(key_sha256: &str, run: &str) -> Vec<Statement> {
    of_9b56660(
        key_sha256,
        [Statement::with(&format!("{RUN} AND id = $2"), &["1", run])],
    )
}

/// Returns the statements logged since `begin` by the connection that looked up a key last, those of a simple query one by one. Settings are left
/// to the connection.
pub(crate) async fn logged_since(database: &Database, begin: i64) -> anyhow::Result<Vec<Statement>> {
    let read = sqlx::query_scalar("SELECT pg_read_file('server.log', $1, 10000000)").bind(begin);
    let log: String = read.fetch_one(&superuser(database)).await?;
    Ok(statements_in(&log.replace("\n\t", " ")))
}

/// The id of the process that logged a line.
fn process_of(line: &str) -> Option<&str> {
    Some(line.split_once('[')?.1.split_once(']')?.0)
}

fn statements_in(log: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    // Meanwhile, others open connections, test them and note the use of tokens. The preparation of a connection looks up an empty key.
    let nobody = hex(&Sha256::digest(""));
    let is_lookup = |line: &&str| line.contains("token_by_key('") && !line.contains(&nobody);
    let process = log.lines().rfind(is_lookup).and_then(process_of);
    for line in log
        .lines()
        .filter(|line| process.is_none() || process_of(line) == process)
    {
        if let Some((_, parameters)) = line.split_once("DETAIL:  parameters: ") {
            if let Some(last) = statements.last_mut() {
                last.parameters = parameters_in(parameters);
            }
            continue;
        }
        let Some((_, statement)) = line.split_once("LOG:  ") else {
            continue;
        };
        let statement = statement.strip_prefix("statement: ").or_else(|| {
            let (_, statement) = statement.strip_prefix("execute ")?.split_once(": ")?;
            Some(statement)
        });
        match statement {
            Some(statement) if statement.contains("pg_stat_file") || statement.contains("pg_read_file") => {}
            Some(statement) if statement.starts_with("BEGIN") => {
                let parts = statement.split("; ").filter(|part| !part.starts_with("SET LOCAL"));
                statements.extend(parts.map(Statement::plain));
            }
            Some(statement) => statements.push(Statement::plain(statement.trim_end_matches(';'))),
            None => {}
        }
    }
    statements
}

/// Parses parameters as logged: `$1 = '1', $2 = NULL`.
fn parameters_in(text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some((_, value)) = rest.split_once(" = ") {
        let Some(quoted) = value.strip_prefix('\'') else {
            values.push(None);
            rest = value;
            continue;
        };
        let mut end = 0;
        // A quote inside a value is doubled.
        while let Some(quote) = quoted[end..].find('\'') {
            end += quote + 1;
            if quoted[end..].starts_with('\'') {
                end += 1;
            } else {
                break;
            }
        }
        values.push(Some(quoted[..end.saturating_sub(1)].replace("''", "'")));
        rest = &quoted[end..];
    }
    values
}

/// A rate per second, and the 99th percentile of the latency in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) p99: f64,
    /// The number of requests that were not answered, or not with success.
    pub(crate) failed: u64,
}

/// Runs the statements with pgbench on this many connections, with the reader's role, under row-level security.
pub(crate) fn pgbench(
    database: &Database,
    statements: &[Statement],
    connections: u32,
    seconds: u32,
) -> anyhow::Result<Rate> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script");
    let (text, variables) = script_of(statements);
    std::fs::write(&script, text)?;
    let options = "-c role=dbt_api_reader -c search_path=read_model,ids,directory,public -c app.account_id=1 -c app.environment_ids=";
    let url = database.url();
    let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-j", "2", "-l", "--log-prefix=times"])
        .args(["-c", &connections.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(&script)
        .args(variables.iter().flat_map(|variable| ["-D", variable]))
        .arg(url)
        .current_dir(folder.path())
        .env("PGOPTIONS", options)
        .output()
        .context("cannot run pgbench: `./dev bench` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && text.contains("failed transactions: 0"),
        "pgbench: {errors}{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    Ok(Rate {
        per_second: rate.context("pgbench reported no rate")?,
        p99: percentile(times_in(folder.path())?, 99.0),
        failed: 0,
    })
}

/// The longest value that pgbench is given as an argument, in bytes.
const MAX_ARGUMENT: usize = 100_000;

/// Returns pgbench's script and its variables, which hold the parameters, so that the statements are prepared as before.
fn script_of(statements: &[Statement]) -> (String, Vec<String>) {
    let (mut script, mut variables) = (String::new(), Vec::new());
    for (number, statement) in statements.iter().enumerate() {
        let mut text = without_variables(&statement.text);
        // From the last parameter to the first, so that $1 is not found in $10.
        for (index, parameter) in statement.parameters.iter().enumerate().rev() {
            let name = format!("p{number}_{index}");
            let stands = match parameter {
                // The system limits the length of an argument to 128 KiB.
                Some(value) if value.len() > MAX_ARGUMENT => format!("'{}'", value.replace('\'', "''")),
                Some(value) => {
                    variables.push(format!("{name}={value}"));
                    format!(":{name}")
                }
                None => "NULL".to_owned(),
            };
            text = text.replace(&format!("${}", index + 1), &stands);
        }
        script += &(text + ";\n");
    }
    (script, variables)
}

/// Separates colons that pgbench would read as the variable `:name`, as in the bounds of a slice, `[1:least(…)]`.
fn without_variables(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    let mut before = ' ';
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        text.push(letter);
        let is_alone = letter == ':' && before != ':';
        if is_alone && letters.peek().is_some_and(|next| next.is_alphabetic() || *next == '_') {
            text.push(' ');
        }
        before = letter;
    }
    text
}

/// Returns the milliseconds of each transaction, from the third column of pgbench's logs, in microseconds.
fn times_in(folder: &Path) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("times"))
        {
            let text = std::fs::read_to_string(path)?;
            let of_file = text
                .lines()
                .filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok());
            times.extend(of_file.map(|time| time / 1000.0));
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_not_variables() {
        assert_eq!(without_variables("a[1:least(2, b::int)]"), "a[1: least(2, b::int)]");
    }

    #[test]
    fn only_the_connection_of_the_request_counts() {
        let nobody = hex(&Sha256::digest(""));
        let log = format!(
            "2026-01-01 00:00:00 UTC [1] LOG:  statement: BEGIN READ ONLY; SELECT k.* FROM directory.token_by_key('\\xab') k\n\
             2026-01-01 00:00:00 UTC [2] LOG:  statement: BEGIN READ ONLY; SELECT k.* FROM directory.token_by_key('\\x{nobody}') k\n\
             2026-01-01 00:00:00 UTC [3] LOG:  statement: SELECT directory.note_token_use('a')\n\
             2026-01-01 00:00:00 UTC [1] LOG:  execute sqlx_s_1: SELECT 1\n\
             2026-01-01 00:00:00 UTC [2] LOG:  statement: ROLLBACK\n"
        );
        let texts: Vec<String> = statements_in(&log)
            .into_iter()
            .map(|statement| statement.text)
            .collect();
        assert_eq!(
            texts,
            [
                "BEGIN READ ONLY",
                "SELECT k.* FROM directory.token_by_key('\\xab') k",
                "SELECT 1"
            ]
        );
    }

    #[test]
    fn statements_are_read_from_the_log() {
        let log = "2026-01-01 00:00:00 UTC [1] LOG:  execute sqlx_s_1: SELECT * FROM t WHERE a = $1 AND b = $10 AND c = $2\n\
                   2026-01-01 00:00:00 UTC [1] DETAIL:  parameters: $1 = '1', $2 = 'it''s, $3 = x', $3 = NULL, $4 = '4', $5 = '5', \
                   $6 = '6', $7 = '7', $8 = '8', $9 = '9', $10 = '{1,2}'\n\
                   2026-01-01 00:00:00 UTC [1] LOG:  statement: BEGIN READ ONLY; SET LOCAL app.account_id = '1'\n\
                   2026-01-01 00:00:00 UTC [1] LOG:  statement: ROLLBACK\n";
        let found = statements_in(log);
        let (script, variables) = script_of(&found);
        assert_eq!(
            script,
            "SELECT * FROM t WHERE a = :p0_0 AND b = :p0_9 AND c = :p0_1;\nBEGIN READ ONLY;\nROLLBACK;\n"
        );
        assert!(variables.contains(&"p0_1=it's, $3 = x".to_owned()), "{variables:?}");
        assert_eq!(found[0].parameters[2], None);
        assert_eq!(variables.len(), 9);
    }
}
