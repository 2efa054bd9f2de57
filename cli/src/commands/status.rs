//! Implements `dbt-api status`.

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clock::Clock;
use directory::queries::{Observed, Token, observed};
use operator::refused::{RefusedOfToken, refused_by_token};
use operator::status::Status;
use serde::Serialize;
use serde_json::{Value, json};

use crate::attempts::{show, try_all};
use crate::output::Output;
use crate::pools::PoolRole;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let parts = try_all(settings).await;
    let waiting = projector.waiting().await.ok();
    let waiting_at_most = match waiting {
        Some(_) => None,
        None => projector.waiting_at_most().await.ok().flatten(),
    };
    let now = Clock::System.now();
    let status = Status {
        parts,
        waiting,
        waiting_at_most,
        observed: last_observed(settings).await.ok(),
        silence: projector.silence().await.ok(),
        refused: refused_by_token(&settings.open_bucket()?, now).await.ok(),
        problems: Vec::new(),
    }
    .with_problems(now);
    match output {
        Output::Json => output.one(&status)?,
        Output::Text => print(&status, now, output)?,
    }
    match status.problems.as_slice() {
        [] => Ok(()),
        problems => bail!("{}", problems.join("; ")),
    }
}

async fn last_observed(settings: &Settings) -> anyhow::Result<Vec<Observed>> {
    let mut connection = PoolRole::Projector.connect(&settings.database).await?;
    Ok(observed(&mut connection, &settings.observed_sources()).await?)
}

fn print(status: &Status, now: DateTime<Utc>, output: Output) -> anyhow::Result<()> {
    show(&status.parts, output)?;
    output.note("")?;
    match (&status.waiting, &status.waiting_at_most) {
        (Some(waiting), _) => output.one(&with_ages(waiting, now)?)?,
        (None, Some(waiting)) => {
            output.one(&with_ages(waiting, now)?)?;
            output.note("What was accepted after this count may be applied or not: PostgreSQL cannot be used.")?;
        }
        (None, None) => output.one(&json!({ "waiting": "not known" }))?,
    }
    let observed = status.observed.as_deref().unwrap_or_default();
    table(output, observed, &["source", "observed_at"], now)?;
    if let Some(silence) = &status.silence {
        let columns = ["environment", "last_upload_at", "usual_hours", "account_id"];
        table(output, &silence.silent_environments, &columns, now)?;
        let expiring = tokens("expires_at", &silence.expiring_tokens, |token| token.expires_at);
        table(output, &expiring, &["token", "expires_at", "id", "account_id"], now)?;
        let unused = tokens("unused_since", &silence.unused_tokens, last_use);
        table(output, &unused, &["token", "unused_since", "id", "account_id"], now)?;
    } else {
        output.note("Whether environments are silent is not known.")?;
    }
    show_refused(status.refused.as_deref(), now, output)
}

/// Prints a table after an empty line, or nothing.
fn table(output: Output, rows: &[impl Serialize], columns: &[&str], now: DateTime<Utc>) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let rows: Vec<Value> = rows.iter().map(|row| with_ages(row, now)).collect::<Result<_, _>>()?;
    output.many(&rows, columns, "")
}

/// Adds to each time of an object how long ago it was.
fn with_ages(object: &impl Serialize, now: DateTime<Utc>) -> serde_json::Result<Value> {
    let mut object = serde_json::to_value(object)?;
    for value in object
        .as_object_mut()
        .into_iter()
        .flat_map(|fields| fields.values_mut())
    {
        if let Some(time) = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok()) {
            let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            *value = json!(format!("{text} ({})", distance(now - time)));
        }
    }
    Ok(object)
}

/// A time as people say it, such as `5 min ago` or `in 3 d`.
fn distance(age: TimeDelta) -> String {
    let amount = match age.abs() {
        age if age < TimeDelta::minutes(2) => format!("{} s", age.num_seconds()),
        age if age < TimeDelta::hours(2) => format!("{} min", age.num_minutes()),
        age if age < TimeDelta::days(2) => format!("{} h", age.num_hours()),
        age => format!("{} d", age.num_days()),
    };
    if age < TimeDelta::zero() {
        format!("in {amount}")
    } else {
        format!("{amount} ago")
    }
}

/// The rows of a table of tokens with one of their times.
fn tokens(name: &str, tokens: &[Token], time: impl Fn(&Token) -> Option<DateTime<Utc>>) -> Vec<Value> {
    let row = |token: &Token| json!({ "account_id": token.account_id, "token": token.name, "id": token.id, name: time(token) });
    tokens.iter().map(row).collect()
}

fn last_use(token: &Token) -> Option<DateTime<Utc>> {
    token.last_used_at.or(Some(token.issued_at))
}

/// Prints the uploads that were refused.
fn show_refused(refused: Option<&[RefusedOfToken]>, now: DateTime<Utc>, output: Output) -> anyhow::Result<()> {
    output.note("")?;
    match refused {
        None => output.note("Whether uploads were refused is not known."),
        Some([]) => output.note(
            "No upload of a known token was refused in the last 24 hours. Those of the last seconds appear a little later.",
        ),
        Some(refused) => {
            output.note("Refused uploads of the last 24 hours (`dbt-api uploads list` lists each):")?;
            let rows: Vec<Value> = refused.iter().map(|row| with_ages(row, now)).collect::<Result<_, _>>()?;
            output.many(
                &rows,
                &["token_name", "refused", "last_at", "last_status", "last_reason"],
                "",
            )
        }
    }
}
