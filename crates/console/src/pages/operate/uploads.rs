//! The newest uploads, and what became of each.

use std::collections::{HashMap, HashSet};

use api::Error;
use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use directory::queries::{accounts, slugs_of_environments};
use edge::Query;
use maud::{Markup, html};
use operator::events::newest_events;
use projector::Selection;
use read_model::dead_letters::dead_of;
use read_model::journal::unknown_of;
use schemas::{AccountId, Event, EventData, EventId, TokenId};
use serde::{Deserialize, Serialize};

use super::names::names_of;
use super::{ago, table};
use crate::operate::{Asked, OperatorState, Tab, unavailable};

/// How many are shown.
const SHOWN: usize = 100;

/// How far back the journal is read.
const READ_BACK: TimeDelta = TimeDelta::days(7);

/// How many events are read: only an event itself says whose it is, and an account that seldom uploads must not make a page read those of all.
const MAX_READ: usize = 2_000;

#[derive(Deserialize)]
pub(crate) struct Filter {
    account: Option<i64>,
}

/// An upload.
#[derive(Serialize)]
struct Upload {
    event_id: EventId,
    time: chrono::DateTime<chrono::Utc>,
    #[serde(rename = "type")]
    kind: String,
    account_id: Option<AccountId>,
    environment_id: Option<i64>,
    token_id: Option<TokenId>,
    files: Vec<String>,
    /// `shown`, `waits` or `dead_letter`.
    state: &'static str,
}

pub(crate) async fn show(
    State(state): State<OperatorState>,
    Query(filter): Query<Filter>,
    asked: Asked,
) -> Result<Response, Error> {
    let selection = Selection {
        account: filter.account.map(AccountId),
        kind: Some("dbt.".to_owned()),
        from: Some(state.console.api.clock.now() - READ_BACK),
        ..Selection::default()
    };
    let mut left = MAX_READ;
    let events = newest_events(&state.operations.operator.bucket, &selection, SHOWN, &mut left).await;
    let mut events = events.map_err(|error| unavailable(error.as_ref()))?;
    events.sort_by_key(|event| std::cmp::Reverse((event.time, event.id)));
    events.truncate(SHOWN);
    let mut connection = state.connection().await?;
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let waiting: HashSet<EventId> = unknown_of(&mut connection, &ids).await?.into_iter().collect();
    let dead: HashSet<EventId> = dead_of(&mut connection, &ids).await?.into_iter().collect();
    let all = accounts(&mut connection).await?;
    let uploads: Vec<Upload> = events
        .iter()
        .map(|event| {
            let state = match (dead.contains(&event.id), waiting.contains(&event.id)) {
                (true, _) => "dead_letter",
                (false, true) => "waits",
                (false, false) => "shown",
            };
            Upload::of(event, state)
        })
        .collect();
    let numbers: Vec<i64> = uploads.iter().filter_map(|upload| upload.environment_id).collect();
    let slugs = slugs_of_environments(&mut connection, &numbers).await?;
    drop(connection);
    let holders: Vec<TokenId> = uploads.iter().filter_map(|upload| upload.token_id).collect();
    let names = names_of(&state, &holders).await?;
    let account_names: HashMap<i64, &str> = all.iter().map(|account| (account.id, account.name.as_str())).collect();
    let now = state.console.api.clock.now();
    Ok(asked.answer(Tab::Uploads, &serde_json::json!({ "uploads": uploads, "is_whole": left > 0 }), || {
        let row = |upload: &Upload| {
            html! {
                td { (ago(now, upload.time)) }
                td { (badge(upload)) }
                td {
                    @if let Some(AccountId(account)) = upload.account_id {
                        a href={ (Tab::Accounts.address()) "/" (account) } { bdi { (account_names.get(&account).copied().unwrap_or_default()) } }
                    }
                }
                td { @if let Some(id) = upload.environment_id { bdi { (slugs.get(&id).map_or_else(|| id.to_string(), Clone::clone)) } } }
                td { @if let Some(token) = upload.token_id { bdi { (names.get(&token).map_or_else(|| token.to_string(), Clone::clone)) } } }
                td.long { bdi { (upload.files.join(", ")) } }
            }
        };
        let rows: Vec<Markup> = uploads.iter().map(row).collect();
        html! {
            h1 { "Uploads" }
            form.filters method="get" {
                label { "Account"
                    select name="account" {
                        option value="" { "all" }
                        @for account in &all {
                            option value=(account.id) selected[filter.account == Some(account.id)] { (account.id) " " (account.name) }
                        }
                    }
                }
                button type="submit" { "Show" }
            }
            (table(&["Accepted", "State", "Account", "Environment", "Token", "Files"], &rows, "There were no uploads in the last seven days."))
            @if left == 0 { p.note { "Only the newest " (MAX_READ) " uploads of all accounts were looked at." } }
            p.note { "The newest " (SHOWN) " of the last seven days are shown. " code { "dbt-api events list" } " reads further back." }
        }
    }))
}

fn badge(upload: &Upload) -> Markup {
    html! {
        @match upload.state {
            "dead_letter" => a href={ (Tab::DeadLetters.address()) "/" (upload.event_id) } { span.status.bad { "dead letter" } },
            "waits" => span.status.busy { "waits" },
            _ => span.status.good { "shown" },
        }
    }
}

impl Upload {
    fn of(event: &Event, state: &'static str) -> Self {
        let (environment, token, files) = match event.data() {
            Ok(EventData::ArtifactsUploaded(data)) => (
                Some(data.environment_id.0),
                Some(data.uploader),
                data.files.into_iter().map(|file| file.name).collect(),
            ),
            Ok(EventData::FilesStored(data)) => (
                data.environment_id.map(|environment| environment.0),
                Some(data.uploader),
                data.files.into_iter().map(|file| file.file.name).collect(),
            ),
            Ok(EventData::FileDeleted(data)) => (
                data.environment_id.map(|environment| environment.0),
                Some(data.deleted_by),
                Vec::new(),
            ),
            Ok(_) | Err(_) => (None, None, Vec::new()),
        };
        Self {
            event_id: event.id,
            time: event.time,
            kind: event.kind.clone(),
            account_id: event.account(),
            environment_id: environment,
            token_id: token,
            files,
            state,
        }
    }
}
