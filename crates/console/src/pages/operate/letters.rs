//! Events that could not be applied: why, and what to do about them.

use std::time::Duration;

use api::Error;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bucket::Journal;
use edge::CloudError;
use maud::{Markup, html};
use read_model::dead_letters::{DeadLetter, dead_letter, dead_letters};
use read_model::operators::is_recorded;
use schemas::{AccountId, EventId, OperatorAction};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{ago, table};
use crate::operate::{Asked, OperatorState, OwnForm, Tab, failed, lead_to};
use crate::parts::beginning;

/// How long an action is waited for. Usually a projector applies its event within a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How many are listed: after an outage there may be very many, each with a form.
const SHOWN: u8 = 200;

/// The most characters of a cause in the list.
const MAX_CAUSE: usize = 300;

pub(crate) async fn list(State(state): State<OperatorState>, asked: Asked) -> Result<Response, Error> {
    // One more than are shown says whether there are more.
    let mut letters = dead_letters(&mut *state.connection().await?, None, i64::from(SHOWN) + 1).await?;
    let has_more = letters.len() > usize::from(SHOWN);
    letters.truncate(usize::from(SHOWN));
    let now = state.console.api.clock.now();
    let facts = json!({ "dead_letters": letters, "has_more": has_more });
    Ok(asked.answer(Tab::DeadLetters, &facts, || {
        let row = |letter: &DeadLetter| {
            html! {
                td { a href=(address(letter)) { (letter.event_type) } }
                td { (account(letter)) }
                td { (ago(now, letter.event_time)) }
                @let (cause, is_cut) = beginning(&letter.cause, MAX_CAUSE);
                td.long { (cause) @if is_cut { "…" } }
                td { (retry_form(&asked, letter)) }
            }
        };
        let rows: Vec<Markup> = letters.iter().map(row).collect();
        html! {
            h1 { "Dead letters" }
            p { "Events that were accepted and could not be applied. They stay in the journal. Retry them after the cause is fixed." }
            (table(&["Event", "Account", "Accepted", "Cause", ""], &rows, "There are no dead letters."))
            @if has_more {
                p.note { "Only the first " (SHOWN) " are shown. " code { "dbt-api dead-letters list" } " lists all." }
            }
        }
    }))
}

pub(crate) async fn show(
    State(state): State<OperatorState>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, Error> {
    let letter = letter_of(&state, &id).await?;
    let read = state
        .operations
        .operator
        .bucket
        .get_event(Journal::of_type(&letter.event_type), EventId(letter.event_id));
    let event = match read.await {
        Ok(event) => without_keys(serde_json::to_value(&event).unwrap_or_default()),
        Err(error) => Value::String(format!("it cannot be read: {error}")),
    };
    let now = state.console.api.clock.now();
    let facts = json!({ "dead_letter": letter, "event": event });
    Ok(asked.answer_below(Tab::DeadLetters, Some("Dead letter"), &facts, || {
        html! {
            h1 { (letter.event_type) }
            dl.facts {
                dt { "Event" } dd.mono { (letter.event_id) }
                dt { "Account" } dd { (account(&letter)) }
                dt { "Accepted" } dd { (ago(now, letter.event_time)) }
                dt { "Last tried" } dd { (ago(now, letter.died_at)) }
            }
            h2 { "Cause" }
            pre.message tabindex="0" { (letter.cause) }
            div.row {
                (retry_form(&asked, &letter))
                details {
                    summary { "Drop it" }
                    form.card method="post" action={ (address(&letter)) "/drop" } {
                        (asked.form_token.field())
                        p { "The event stays in the journal, and is not tried again. What it says is never shown." }
                        button.danger type="submit" { "Drop this event" }
                    }
                }
            }
            h2 { "Event" }
            pre tabindex="0" { code { (serde_json::to_string_pretty(&event).unwrap_or_default()) } }
        }
    }))
}

/// Has an event applied again.
pub(crate) async fn retry(
    State(state): State<OperatorState>,
    Path(id): Path<String>,
    asked: Asked,
    _form: OwnForm,
) -> Result<Response, Error> {
    let letter = letter_of(&state, &id).await?;
    let action = OperatorAction::DeadLetterRetried(EventId(letter.event_id));
    let done = match act(&state, &asked, &letter, action).await {
        Ok(true) => dead_letter(&mut *state.connection().await?, EventId(letter.event_id))
            .await?
            .map_or("applied", |_| "again"),
        Ok(false) => "recorded",
        Err(response) => return Ok(response),
    };
    // It may be applied at any moment, and has no page then.
    let shown = if done == "again" {
        address(&letter)
    } else {
        Tab::DeadLetters.address().to_owned()
    };
    Ok(lead_to(&shown, done))
}

/// Drops a dead letter.
pub(crate) async fn discard(
    State(state): State<OperatorState>,
    Path(id): Path<String>,
    asked: Asked,
    _form: OwnForm,
) -> Result<Response, Error> {
    let letter = letter_of(&state, &id).await?;
    let action = OperatorAction::DeadLetterDropped(EventId(letter.event_id));
    Ok(match act(&state, &asked, &letter, action).await {
        Ok(true) => lead_to(Tab::DeadLetters.address(), "dropped"),
        Ok(false) => lead_to(Tab::DeadLetters.address(), "recorded"),
        Err(response) => response,
    })
}

/// Writes what the operator wants as an event, and waits a little until a projector has done it. Returns whether it has.
async fn act(
    state: &OperatorState,
    asked: &Asked,
    letter: &DeadLetter,
    action: OperatorAction,
) -> Result<bool, Response> {
    let operator = state.operations.on_behalf_of(asked.operator.id);
    let account = letter.account_id.map(AccountId);
    let written = operator.act(account, action, Some(letter.died_at)).await;
    let Some(event) = written.map_err(|error| failed(&error))? else {
        return Ok(false);
    };
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if is_done(state, event).await.map_err(IntoResponse::into_response)? {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}

async fn is_done(state: &OperatorState, event: EventId) -> Result<bool, Error> {
    Ok(is_recorded(&mut *state.connection().await?, event).await?)
}

async fn letter_of(state: &OperatorState, id: &str) -> Result<DeadLetter, Error> {
    let id = id.parse().map_err(|_| CloudError::not_found())?;
    let found = dead_letter(&mut *state.connection().await?, EventId(id)).await?;
    Ok(found.ok_or_else(CloudError::not_found)?)
}

fn address(letter: &DeadLetter) -> String {
    format!("{}/{}", Tab::DeadLetters.address(), letter.event_id)
}

fn account(letter: &DeadLetter) -> Markup {
    html! {
        @match letter.account_id {
            Some(account) => a href={ (Tab::Accounts.address()) "/" (account) } { (account) },
            None => span.quiet { "not known" },
        }
    }
}

fn retry_form(asked: &Asked, letter: &DeadLetter) -> Markup {
    html! {
        form method="post" action={ (address(letter)) "/retry" } {
            (asked.form_token.field())
            button type="submit" { "Retry" }
        }
    }
}

/// An event without the hash of a key, which nobody needs to see.
fn without_keys(mut event: Value) -> Value {
    if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
        data.remove("key_sha256");
    }
    event
}
