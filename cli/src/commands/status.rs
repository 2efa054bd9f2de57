//! Implements `dbt-api status`.

use anyhow::ensure;
use serde_json::json;

use crate::attempts::{Attempt, try_all};
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let parts = try_all(settings).await;
    let all_are_ok = parts.iter().all(Attempt::is_ok);
    // If the database or the bucket cannot be used, that is among the parts.
    let waiting = settings.projector(read_model::SEARCH_PATH)?.waiting().await.ok();
    match output {
        Output::Json => output.one(&json!({ "parts": parts, "waiting": waiting }))?,
        Output::Text => {
            output.many(&parts, "")?;
            output.note("")?;
            output.one(
                &waiting
                    .as_ref()
                    .map_or_else(|| json!({ "waiting": "not known" }), |waiting| json!(waiting)),
            )?;
        }
    }
    let dead_letters = waiting.as_ref().map_or(0, |waiting| waiting.dead_letters);
    ensure!(
        dead_letters == 0,
        "{dead_letters} events could not be applied: `dbt-api dead-letters list` shows why"
    );
    ensure!(all_are_ok && waiting.is_some(), "not everything works");
    Ok(())
}
