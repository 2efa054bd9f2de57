//! Implements `dbt-api uploads`.

use bucket::RefusedUpload;
use chrono::SecondsFormat;
use clock::Clock;
use directory::{History, IdOrSlug};
use operator::history::{read_history, require_account};
use operator::refused::newest_refused;
use schemas::TokenState;
use serde::Serialize;

use crate::args::RefusedArguments;
use crate::output::Output;
use crate::settings::Settings;

/// What to say of an empty list.
const NONE: &str = "No matching upload of a known token was refused. Refused uploads appear here after some seconds.";

pub(crate) async fn list(settings: &Settings, arguments: RefusedArguments, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    let now = Clock::System.now();
    let (from, to) = (
        arguments.from.map(|moment| moment.before(now)),
        arguments.to.map(|moment| moment.before(now)),
    );
    let history = read_history(&bucket).await?;
    if let Some(account) = arguments.account {
        require_account(&history, account)?;
    }
    // A client may have named an environment that does not exist.
    let environment = arguments.environment.as_ref();
    let number = environment.and_then(|name| history.environment(arguments.account, name));
    let number = number.map(|known| known.environment_id);
    let is_wanted = |record: &RefusedUpload| {
        arguments
            .account
            .is_none_or(|account| record.account_id == Some(account))
            && environment
                .is_none_or(|name| is_of(record, name) || (number.is_some() && record.environment_id == number))
    };
    let found = newest_refused(&bucket, (from, to), arguments.limit, is_wanted).await?;
    let shown = found.uploads.as_slice();
    match output {
        Output::Json => output.many(shown, &[], "")?,
        Output::Text => {
            let lines: Vec<Line> = shown.iter().map(|record| Line::of(record, &history)).collect();
            let columns = ["time", "status", "token", "environment", "reason"];
            output.many(&lines, &columns, NONE)?;
        }
    }
    match found.not_kept.describe(&history) {
        Some(text) => output.note(&text),
        None => Ok(()),
    }
}

/// A refused upload as a line of the list. JSON has everything that is known about it.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    status: u16,
    token: String,
    environment: Option<String>,
    reason: &'a str,
}

impl<'a> Line<'a> {
    fn of(record: &'a RefusedUpload, history: &History) -> Self {
        let name = record.token_name.as_deref().filter(|name| !name.is_empty());
        let mut token = name.map_or_else(|| record.token_id.to_string(), str::to_owned);
        if record.token_state != TokenState::Active {
            token = format!("{token} ({})", record.token_state);
        }
        Self {
            time: record.time.to_rfc3339_opts(SecondsFormat::Secs, true),
            status: record.status,
            token,
            environment: record
                .environment
                .clone()
                .or_else(|| history.slug(record.environment_id?).map(str::to_owned)),
            reason: &record.reason,
        }
    }
}

/// Whether an upload was for this environment.
fn is_of(record: &RefusedUpload, environment: &IdOrSlug) -> bool {
    match environment {
        IdOrSlug::Id(id) => record.environment_id.is_some_and(|environment| environment.0 == *id),
        IdOrSlug::Slug(slug) => record.environment.as_deref() == Some(slug.as_str()),
    }
}
