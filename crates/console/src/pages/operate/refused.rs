//! Uploads that were refused, with the reason and the token.

use api::Error;
use axum::extract::State;
use axum::response::Response;
use bucket::RefusedUpload;
use maud::{Markup, html};
use operator::refused::newest_refused;
use schemas::{AccountId, TokenState};
use serde_json::json;

use super::{ago, table};
use crate::operate::{Asked, OperatorState, Tab, unavailable};

/// How many are shown.
const SHOWN: usize = 200;

pub(crate) async fn show(State(state): State<OperatorState>, asked: Asked) -> Result<Response, Error> {
    let found = newest_refused(&state.operations.operator.bucket, (None, None), SHOWN, |_| true).await;
    let mut found = found.map_err(|error| unavailable(error.as_ref()))?;
    found.uploads.reverse();
    let now = state.console.api.clock.now();
    let facts = json!({ "refused": found.uploads, "not_kept": found.not_kept.count });
    Ok(asked.answer(Tab::Refused, &facts, || {
        let row = |upload: &RefusedUpload| {
            html! {
                td { (ago(now, upload.time)) }
                td.number { span.status.bad { (upload.status) } }
                td {
                    bdi { (token(upload)) } @if upload.token_state != TokenState::Active { " " span.status { (upload.token_state.as_str()) } }
                    div.note { @if let Some(AccountId(account)) = upload.account_id { "of account " a href={ (Tab::Accounts.address()) "/" (account) } { (account) } " · " } code { (upload.token_id) } }
                }
                td { @if let Some(environment) = &upload.environment { bdi { (environment) } } }
                td { @if let Some(file) = &upload.file { bdi { (file) } } }
                td.long {
                    (upload.reason)
                    div.note { (upload.route) @if let Some(client) = &upload.client { " from " (client) } @if let Some(agent) = &upload.user_agent { " by " bdi { (agent) } } }
                }
            }
        };
        let rows: Vec<Markup> = found.uploads.iter().map(row).collect();
        html! {
            h1 { "Refused uploads" }
            p { "Uploads whose token this service knows. Those with unknown keys are not kept, because anybody could fill the bucket with them." }
            (table(&["Answered", "#Status", "Token", "Environment", "File", "Reason"], &rows, "No upload of a known token was refused in the last 30 days."))
            @if found.not_kept.count > 0 {
                p.note { "In these hours, " (found.not_kept.count) " more were only counted: there were too many to keep." }
            }
        }
    }))
}

fn token(upload: &RefusedUpload) -> String {
    let name = upload.token_name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| upload.token_id.to_string())
}
