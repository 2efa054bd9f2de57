//! What is wrong, what waits, and when each part could be used last.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use directory::queries::{Token, observed};
use maud::{Markup, html};
use operator::refused::refused_by_token;
use operator::status::{Part, Status, is_late};
use projector::WaitingAtMost;
use tokio::time::timeout;

use super::{ago, ago_or, table};
use crate::operate::{Asked, OperatorState, Tab};
use crate::parts;

/// How long what is asked may take. The page shows what is known until then.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn show(State(state): State<OperatorState>, asked: Asked) -> Response {
    let now = state.console.api.clock.now();
    let status = look(&state, now).await;
    asked.answer(Tab::Status, &status, || page(&status, now))
}

/// Asks for everything at the same time.
async fn look(state: &OperatorState, now: DateTime<Utc>) -> Status {
    let operations = &state.operations;
    let projector = state.projector();
    let observing = async {
        let mut connection = operations.pool.acquire().await?;
        observed(&mut connection, &operations.observed).await
    };
    let waiting = async {
        match timeout(PATIENCE, projector.waiting()).await {
            Ok(Ok(waiting)) => (Some(waiting), None),
            _ => (None, projector.waiting_at_most().await.ok().flatten()),
        }
    };
    let (parts, (waiting, waiting_at_most), observed, silence, refused) = tokio::join!(
        operations.parts.look(),
        waiting,
        timeout(PATIENCE, observing),
        timeout(PATIENCE, projector.silence()),
        timeout(PATIENCE, refused_by_token(&operations.operator.bucket, now)),
    );
    Status {
        parts,
        waiting,
        waiting_at_most,
        observed: observed.ok().and_then(Result::ok),
        silence: silence.ok().and_then(Result::ok),
        refused: refused.ok().and_then(Result::ok),
        problems: Vec::new(),
    }
    .with_problems(now)
}

fn page(status: &Status, now: DateTime<Utc>) -> Markup {
    html! {
        h1 { "Status" }
        @if status.problems.is_empty() {
            p { span.status.good { "Nothing is wrong" } }
        } @else {
            div.message {
                ul { @for problem in &status.problems { li { (problem) } } }
            }
        }
        h2 { "What waits" }
        (waiting(status, now))
        h2 { "Parts" }
        (parts_table(status, now))
        (silence(status, now))
        h2 { "Refused uploads of the last 24 hours" }
        (refused(status, now))
    }
}

fn waiting(status: &Status, now: DateTime<Utc>) -> Markup {
    let Some(waiting) = &status.waiting else {
        return match &status.waiting_at_most {
            Some(most) => waiting_at_most(most, now),
            None => {
                html! { p.empty { "It is not known what waits: PostgreSQL cannot be asked, and no projector has counted yet." } }
            }
        };
    };
    html! {
        dl.facts {
            dt { "Events that are not applied yet" }
            dd { (waiting.backlog.waiting_events) }
            @if let Some(oldest) = waiting.backlog.oldest_waiting {
                dt { "The oldest of them" }
                dd { (ago(now, oldest)) }
            }
            dt { "Dead letters" }
            dd { a href=(Tab::DeadLetters.address()) { (waiting.dead_letters) } }
            dt { "Last sweep" }
            dd { (ago_or(now, waiting.swept_until, "none yet")) }
        }
    }
}

/// What waits while PostgreSQL cannot be asked.
fn waiting_at_most(most: &WaitingAtMost, now: DateTime<Utc>) -> Markup {
    html! {
        dl.facts {
            dt { "Events that are not applied yet" }
            dd { "at most " (most.waiting_events_at_most) }
            @if let Some(oldest) = most.oldest_waiting {
                dt { "The oldest of them" }
                dd { (ago(now, oldest)) }
            }
            dt { "Last complete count" }
            dd { (ago(now, most.counted_at)) }
        }
    }
}

fn parts_table(status: &Status, now: DateTime<Utc>) -> Markup {
    let mut rows: Vec<Markup> = status.parts.iter().map(|part| part_row(part, now)).collect();
    let observed = status.observed.iter().flatten();
    rows.extend(observed.map(|observed| {
        html! {
            th scope="row" {
                @match observed.source.strip_prefix("airflow of ") {
                    Some(of) => { "Airflow of " (of) }
                    None => { "Datacoves' database, as it was read" }
                }
            }
            td { (badge(!is_late(observed, now))) }
            td { (ago_or(now, observed.observed_at, "never")) }
            td {}
        }
    }));
    table(
        &["Part", "State", "Last success", "Cause"],
        &rows,
        "Nothing is known of the parts.",
    )
}

fn part_row(part: &Part, now: DateTime<Utc>) -> Markup {
    html! {
        th scope="row" { (name_of(&part.part)) }
        td { (badge(part.is_ok)) }
        td { (ago_or(now, part.last_success_at, "none since this process began")) }
        td.long { @if !part.is_ok { (part.result) } }
    }
}

fn badge(is_ok: bool) -> Markup {
    html! { @if is_ok { span.status.good { "ok" } } @else { span.status.bad { "fails" } } }
}

fn name_of(part: &str) -> &str {
    match part {
        "bucket" => "Bucket",
        "database" => "PostgreSQL",
        "stream" => "NATS",
        "directory" => "Directory in memory",
        "airflow" => "Airflow",
        "datacoves" => "Datacoves' database",
        "verifier" => "Datacoves, which verifies its keys",
        "reads" => "Reads",
        "replica" => "Servers that are read beside the primary",
        "database_writes" => "Writes to PostgreSQL",
        other => other,
    }
}

fn silence(status: &Status, now: DateTime<Utc>) -> Markup {
    let Some(silence) = &status.silence else {
        return html! { h2 { "Silent environments" } p.empty { "It is not known which environments are silent, because PostgreSQL cannot be asked." } };
    };
    let silent: Vec<Markup> = silence
        .silent_environments
        .iter()
        .map(|silent| {
            html! {
                td { a href={ (Tab::Accounts.address()) "/" (silent.account_id) } { (silent.account_id) } }
                td { bdi { (silent.environment) } }
                td { (ago(now, silent.last_upload_at)) }
                td.number { (silent.usual_hours) " h" }
            }
        })
        .collect();
    html! {
        h2 { "Silent environments" }
        (table(&["Account", "Environment", "Last upload", "#Usually after at most"], &silent, "Every environment receives its usual uploads."))
        h2 { "Tokens that end soon" }
        (tokens(&silence.expiring_tokens, "Ends at", |token| token.expires_at, "No token ends within two weeks without another that replaces it."))
        h2 { "Tokens that are not used" }
        (tokens(&silence.unused_tokens, "Unused since", |token| token.last_used_at.or(Some(token.issued_at)), "Every token was used within 30 days."))
    }
}

fn tokens(tokens: &[Token], column: &str, time: impl Fn(&Token) -> Option<DateTime<Utc>>, none: &str) -> Markup {
    let rows: Vec<Markup> = tokens
        .iter()
        .map(|token| {
            html! {
                td { bdi { (super::tokens::name_of(token)) } }
                td {
                    @match token.account_id {
                        Some(account) => a href={ (Tab::Accounts.address()) "/" (account) } { (account) },
                        None => span.quiet { "all" },
                    }
                }
                td { @if let Some(time) = time(token) { (parts::moment(time)) } }
            }
        })
        .collect();
    table(&["Token", "Account", column], &rows, none)
}

fn refused(status: &Status, now: DateTime<Utc>) -> Markup {
    let Some(refused) = &status.refused else {
        return html! { p.empty { "It is not known, because the bucket cannot be asked." } };
    };
    let rows: Vec<Markup> = refused
        .iter()
        .rev()
        .map(|refused| {
            html! {
                td { bdi { (refused.token_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name")) } }
                td.number { (refused.refused) }
                td { (ago(now, refused.last_at)) }
                td.number { (refused.last_status) }
                td.long { (refused.last_reason) }
            }
        })
        .collect();
    html! {
        (table(&["Token", "#Refused", "Last", "#Status", "Reason"], &rows, "No upload of a known token was refused."))
        @if !rows.is_empty() { p { a href=(Tab::Refused.address()) { "All refused uploads" } } }
    }
}
