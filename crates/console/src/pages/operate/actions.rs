//! What operators did in the console.

use api::Error;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use read_model::operators::{Action, last_actions};
use schemas::TokenId;
use serde_json::json;
use uuid::Uuid;

use super::names::names_of;
use super::{ago, table};
use crate::operate::{Asked, OperatorState, Tab};

/// How many are shown.
const SHOWN: i64 = 200;

pub(crate) async fn show(State(state): State<OperatorState>, asked: Asked) -> Result<Response, Error> {
    let mut connection = state.connection().await?;
    let actions = last_actions(&mut connection, SHOWN).await?;
    drop(connection);
    let of_tokens = actions.iter().filter(|action| action.action.starts_with("token_"));
    let subjects = of_tokens.map(|action| TokenId(action.subject));
    let operators = actions.iter().map(|action| TokenId(action.operator));
    let names = names_of(&state, &operators.chain(subjects).collect::<Vec<TokenId>>()).await?;
    let now = state.console.api.clock.now();
    let name = |id: Uuid| names.get(&TokenId(id)).cloned().unwrap_or_else(|| id.to_string());
    Ok(asked.answer(Tab::Actions, &json!({ "actions": actions }), || {
        let row = |action: &Action| {
            html! {
                td { (ago(now, action.at)) }
                td { bdi { (name(action.operator)) } }
                td { (word(&action.action)) }
                td { bdi { (name(action.subject)) } }
            }
        };
        let rows: Vec<Markup> = actions.iter().map(row).collect();
        html! {
            h1 { "Actions" }
            p { "What operators did in the console, as the journal says. Commands have no token, so what they do is not listed." }
            (table(&["When", "Operator", "Action", "Of"], &rows, "No operator has done anything yet."))
        }
    }))
}

fn word(action: &str) -> &str {
    match action {
        "token_issued" => "created a token",
        "token_revoked" => "revoked a token",
        "dead_letter_retried" => "retried an event",
        "dead_letter_dropped" => "dropped an event",
        other => other,
    }
}
