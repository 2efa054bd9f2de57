//! Implements `dbt-api healthcheck`.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::output::Output;
use crate::settings::Settings;

/// The time within which the service must answer.
const TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{}/healthz/live", settings.service.port);
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let answer = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("no answer from {url}"))?;
    ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
    output.done("alive")
}
