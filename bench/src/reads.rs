//! Reads of the API, compared with the same statements run by pgbench.

mod connections;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Timelike;
use clock::Clock;
use sha2::{Digest, Sha256};
use testkit::Service;

use crate::history;
use crate::installation::Installation;
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};
use crate::statements::{
    Rate, Statement, begin_log, earlier_run, earlier_runs_page, end_log, end_of_log, hex, logged_since, pgbench,
};

pub(crate) const CONNECTIONS: u32 = 32;

pub(crate) const SECONDS: u32 = 5;

const RUNS: &str = "runs, a page of 100";
const RUN: &str = "one run";

/// The run of the request for one run.
const RUN_NUMBER: &str = "10050000";

/// The name and path of each request.
pub(crate) const REQUESTS: [(&str, &str); 4] = [
    (RUNS, "/api/v2/accounts/1/runs/?limit=100&order_by=-id"),
    (RUN, "/api/v2/accounts/1/runs/10050000/"),
    ("one job", "/api/v2/accounts/1/jobs/10050/"),
    (
        "nodes, a page of 100",
        "/api/v2/accounts/1/environments/1/nodes/?limit=100",
    ),
];

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    history::add_runs(&installation.pool, 1, 100, 100_000).await?;
    let serve = installation.start("serve").await?;
    let manifest = Project::new(5_000)?.manifest(Parse { number: 0, changed: 0 })?;
    let (_, event) = installation.upload(&serve, "run", manifest.into()).await?;
    installation.visible(event).await?;
    drop(serve);
    let database = &installation.system.database;

    begin_log(database).await?;
    let api = installation.start("api").await?;
    let mut statements = Vec::new();
    for (_, path) in REQUESTS {
        // Before the measurement, because a connection prepares each statement once, and notes a token's last use now and then.
        for _ in 0..3 {
            get(&installation, &api, path).await?;
        }
        let mut sent = Vec::new();
        // The transaction of the request before this one may end, and be logged, after its answer.
        let is_whole = |sent: &[Statement]| {
            sent.first().is_some_and(Statement::is_begin) && sent.last().is_some_and(|last| last.is("ROLLBACK"))
        };
        while !is_whole(&sent) {
            let begin = end_of_log(database).await?;
            get(&installation, &api, path).await?;
            sent = logged_since(database, begin).await?;
        }
        statements.push(sent);
    }
    drop(api);
    end_log(database).await?;

    let api = installation.start("api").await?;
    let mut lines = Vec::new();
    let key = hex(&Sha256::digest(&installation.key));
    for ((name, path), statements) in REQUESTS.iter().zip(statements) {
        let (id, statements, whose) = match *name {
            RUNS => (Some("runs_page"), earlier_runs_page(&key), "commit 9b56660's"),
            RUN => (Some("one_run"), earlier_run(&key, RUN_NUMBER), "commit 9b56660's"),
            _ => (None, statements, "its"),
        };
        let peer = pgbench(database, &statements, CONNECTIONS, SECONDS)?;
        let own = wrk(&installation, &api, path, CONNECTIONS, &[])?;
        let what = format!(
            "{name}, {CONNECTIONS} connections; pgbench with {whose} {} statements",
            statements.len()
        );
        let mut line = Line::beside(what, own.per_second, "/s", peer.per_second, Goal::AtLeast(0.6));
        line.id = id;
        lines.push(line);
        lines.push(Line::beside(
            format!("{name}, p99"),
            own.p99,
            "ms",
            peer.p99,
            Goal::AtMost(3.0),
        ));
        lines.extend(failures(name, own.failed));
        wait_for_a_long_minute().await;
        let tag = get(&installation, &api, path)
            .await?
            .unwrap_or_else(|| "\"none\"".to_owned());
        let unchanged = wrk(
            &installation,
            &api,
            path,
            CONNECTIONS,
            &["-H", &format!("If-None-Match: {tag}")],
        )?;
        let what = format!("{name}, unchanged; the whole answer");
        lines.push(Line::beside(
            what,
            unchanged.per_second,
            "/s",
            own.per_second,
            Goal::AtLeast(3.0),
        ));
        lines.extend(failures(&format!("{name}, unchanged"), unchanged.failed));
    }
    lines.extend(connections::measure(&installation, &api).await?);
    Ok(lines)
}

/// A line for requests that failed, which should be none.
fn failures(name: &str, failed: u64) -> Option<Line> {
    (failed > 0).then(|| {
        Line::alone(
            format!("{name}, requests that failed"),
            failed as f64,
            "",
            Goal::AtMost(0.0),
        )
    })
}

/// Waits until enough of a minute is left, because a tag is only valid within the minute in which it was issued.
async fn wait_for_a_long_minute() {
    while Clock::System.now().second() + SECONDS + 2 > 60 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends a request once. Returns the tag of the answer.
pub(crate) async fn get(installation: &Installation, api: &Service, path: &str) -> anyhow::Result<Option<String>> {
    let request = installation
        .client
        .get(format!("{}{path}", api.url))
        .bearer_auth(&installation.key);
    let answer = request.send().await?.error_for_status()?;
    let tag = answer
        .headers()
        .get("etag")
        .and_then(|tag| tag.to_str().ok())
        .map(str::to_owned);
    answer.bytes().await?;
    Ok(tag)
}

/// Sends a request as often as it is answered, on this many connections, with further options of wrk.
pub(crate) fn wrk(
    installation: &Installation,
    api: &Service,
    path: &str,
    connections: u32,
    options: &[&str],
) -> anyhow::Result<Rate> {
    let mut command = Command::new("wrk");
    command
        .args([
            "-t",
            "1",
            "-c",
            &connections.to_string(),
            "-d",
            &format!("{SECONDS}s"),
            "--latency",
        ])
        .args(["-H", &format!("Authorization: Bearer {}", installation.key)])
        .args(options);
    let output = command
        .arg(format!("{}{path}", api.url))
        .output()
        .context("cannot run wrk: `./dev bench` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "wrk: {text}{}",
        api.log().iter().rev().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name).map(str::trim))
    };
    let rate = field("Requests/sec:").context("wrk reported no rate")?;
    let p99 = field("99%").context("wrk reported no latency")?;
    Ok(Rate {
        per_second: rate.parse()?,
        p99: milliseconds(p99).with_context(|| format!("unexpected latency from wrk: {p99}"))?,
        failed: failed_in(&text),
    })
}

/// Returns how many requests wrk reports as failed: `Non-2xx or 3xx responses: 3`, `Socket errors: connect 0, read 1, write 0, timeout 2`.
fn failed_in(text: &str) -> u64 {
    let reports = text
        .lines()
        .filter(|line| line.contains("Non-2xx or 3xx responses:") || line.contains("Socket errors:"));
    let numbers = reports.flat_map(|line| line.split_once(':').unwrap_or_default().1.split([' ', ',']));
    numbers.filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_from_the_report_of_wrk() {
        let report = "  1602 requests in 5.10s, 94.63MB read\n  Socket errors: connect 0, read 1, write 0, timeout 2\n  Non-2xx or 3xx responses: 3\n";
        assert_eq!(failed_in(report), 6);
        assert_eq!(failed_in("Requests/sec:   1577.01\n"), 0);
    }
}
