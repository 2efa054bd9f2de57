//! The pages for operators: what waits, what was refused, and what can be done about it.

mod accounts;
mod actions;
mod letters;
mod names;
mod rebuilds;
mod refused;
mod status;
mod storage;
mod tokens;
mod uploads;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::operate::{OperatorState, only_operators};
use crate::parts;

/// The pages and the actions, which only holders of tokens for operators see.
pub(crate) fn routes(state: &OperatorState) -> Router {
    Router::new()
        .route("/console/operate", get(status::show))
        .route("/console/operate/uploads", get(uploads::show))
        .route("/console/operate/refused", get(refused::show))
        .route("/console/operate/dead-letters", get(letters::list))
        .route("/console/operate/dead-letters/{event_id}", get(letters::show))
        .route("/console/operate/dead-letters/{event_id}/retry", post(letters::retry))
        .route("/console/operate/dead-letters/{event_id}/drop", post(letters::discard))
        .route("/console/operate/rebuilds", get(rebuilds::show))
        .route("/console/operate/accounts", get(accounts::list))
        .route("/console/operate/accounts/{account_id}", get(accounts::show))
        .route("/console/operate/accounts/{account_id}/tokens", post(tokens::create))
        .route("/console/operate/tokens/{token_id}/revoke", post(tokens::revoke))
        .route("/console/operate/storage", get(storage::show))
        .route("/console/operate/actions", get(actions::show))
        .layer(from_fn_with_state(state.clone(), only_operators))
        .with_state(state.clone())
}

/// A moment, and how long ago it was.
fn ago(now: DateTime<Utc>, time: DateTime<Utc>) -> Markup {
    let since = now - time;
    let since = match since.num_seconds() {
        ..1 => "now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        _ => format!("{} ago", parts::duration(since)),
    };
    html! { span.when { (parts::moment(time)) " " span.quiet { (since) } } }
}

/// The same, or a word for a moment that is not known.
fn ago_or(now: DateTime<Utc>, time: Option<DateTime<Utc>>, otherwise: &str) -> Markup {
    match time {
        Some(time) => ago(now, time),
        None => html! { span.quiet { (otherwise) } },
    }
}

/// A table, or a sentence if it has no rows. The numbers of a column whose name begins with `#` are below each other.
fn table(columns: &[&str], rows: &[Markup], none: &str) -> Markup {
    html! {
        @if rows.is_empty() {
            p.empty { (none) }
        } @else {
            div.scroll tabindex="0" role="group" aria-label=(label(columns)) {
                table.list {
                    thead {
                        tr {
                            @for column in columns {
                                @match column.strip_prefix('#') {
                                    Some(name) => th.number scope="col" { (name) },
                                    None => th scope="col" { (column) },
                                }
                            }
                        }
                    }
                    tbody { @for row in rows { tr { (row) } } }
                }
            }
        }
    }
}

/// What a table has, for those who do not see it.
fn label(columns: &[&str]) -> String {
    let columns: Vec<&str> = columns
        .iter()
        .map(|column| column.trim_start_matches('#'))
        .filter(|column| !column.is_empty())
        .collect();
    format!("Table of {}", columns.join(", "))
}
