//! Reads of the API, compared with the same statements run by pgbench.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Timelike;
use clock::Clock;
use testkit::Service;

use crate::history;
use crate::installation::Installation;
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};
use crate::statements::{Rate, begin_log, end_log, end_of_log, logged_since, pgbench};

pub(crate) const CONNECTIONS: u32 = 32;

pub(crate) const SECONDS: u32 = 5;

/// The name and path of each request.
pub(crate) const REQUESTS: [(&str, &str); 4] = [
    ("runs, a page of 100", "/api/v2/accounts/1/runs/?limit=100&order_by=-id"),
    ("one run", "/api/v2/accounts/1/runs/10050000/"),
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
        let begin = end_of_log(database).await?;
        get(&installation, &api, path).await?;
        statements.push(logged_since(database, begin).await?);
    }
    drop(api);
    end_log(database).await?;

    let api = installation.start("api").await?;
    let mut lines = Vec::new();
    for ((name, path), statements) in REQUESTS.iter().zip(statements) {
        let peer = pgbench(database, &statements, CONNECTIONS, SECONDS)?;
        let own = wrk(&installation, &api, path, CONNECTIONS, &[])?;
        let what = format!(
            "{name}, {CONNECTIONS} connections; pgbench with its {} statements",
            statements.len()
        );
        lines.push(Line::beside(
            what,
            own.per_second,
            "/s",
            peer.per_second,
            Goal::AtLeast(0.6),
        ));
        lines.push(Line::beside(
            format!("{name}, p99"),
            own.p99,
            "ms",
            peer.p99,
            Goal::AtMost(3.0),
        ));
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
    }
    Ok(lines)
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
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
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
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}
