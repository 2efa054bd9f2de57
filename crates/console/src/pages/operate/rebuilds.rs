//! Rebuilds and replays, as far as the database knows of them.

use api::Error;
use axum::extract::State;
use axum::response::Response;
use maud::html;
use projector::NEXT_SCHEMA;
use read_model::progress::progress;

use crate::operate::{Asked, OperatorState, Tab, read_error};

pub(crate) async fn show(State(state): State<OperatorState>, asked: Asked) -> Result<Response, Error> {
    let progress = progress(&mut *state.connection().await?, NEXT_SCHEMA).await?;
    let waiting = state.projector().waiting().await.map_err(read_error)?;
    let facts = serde_json::json!({ "progress": progress, "waiting": waiting });
    Ok(asked.answer(Tab::Rebuilds, &facts, || {
        html! {
            h1 { "Rebuilds and replays" }
            h2 { "Rebuild" }
            @if let Some(next) = &progress.next {
                p {
                    @if progress.is_rebuilding { span.status.busy { "running" } } @else { span.status.warn { "interrupted" } }
                }
                label for="rebuild" { (next.events) " of " (progress.events) " events are in the new read model" }
                progress #rebuild max=(progress.events.max(1)) value=(next.events.min(progress.events)) {}
                p.note {
                    "The new read model is in the schema " code { (NEXT_SCHEMA) } ". "
                    @if !progress.is_rebuilding { code { "dbt-api rebuild" } " continues it, " code { "dbt-api rebuild --verify" } " removes it at its end." }
                }
            } @else {
                p.empty { "No rebuild is running. " code { "dbt-api rebuild" } " starts one; uploads and reads continue meanwhile." }
            }
            @if progress.needs_rebuild {
                p.message { "Earlier uploads were projected by an older version: run " code { "dbt-api rebuild --accept-differences" } "." }
            }
            h2 { "Replay" }
            p { "A replay applies events that were missed. They are among those that wait, so it is done when none waits." }
            dl.facts {
                dt { "Events in the read model" } dd { (progress.events) }
                dt { "Events that are being applied" } dd { (progress.attempts) }
                dt { "Events that wait" } dd { (waiting.backlog.waiting_events) }
            }
        }
    }))
}
