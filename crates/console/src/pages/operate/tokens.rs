//! Creates and revokes tokens.

use api::{Error, Ids};
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use directory::IdOrSlug;
use directory::queries::{Environment, Token};
use edge::CloudError;
use maud::{Markup, html};
use operator::{Created, Deleted};
use schemas::{AccountId, RecordState, Scope, TokenId};

use super::{ago_or, table};
use crate::operate::{Asked, OperatorState, OwnForm, Tab, failed, lead_to};
use crate::{links, parts};

/// How long new tokens may be valid, in days.
const LIFETIMES: [i64; 5] = [1, 7, 30, 90, 365];

/// The most characters of a name.
const MAX_NAME: usize = 100;

/// Creates a token of an account, and shows its key once.
pub(crate) async fn create(
    State(state): State<OperatorState>,
    Ids(account): Ids<i64>,
    asked: Asked,
    form: OwnForm,
) -> Response {
    let account = AccountId(account);
    let new = match New::read(&form) {
        Ok(new) => new,
        Err(reason) => return CloudError::unprocessable(reason).into_response(),
    };
    let operator = state.operations.on_behalf_of(asked.operator.id);
    let created = operator
        .create_token(account, new.name, new.environment, new.scopes, new.lifetime)
        .await;
    match created {
        Ok(created) => show_key(&asked, account, &created),
        Err(error) => failed(&error),
    }
}

/// Revokes a token of an account or for operators.
pub(crate) async fn revoke(
    State(state): State<OperatorState>,
    Path(id): Path<String>,
    asked: Asked,
    form: OwnForm,
) -> Result<Response, Error> {
    let id = TokenId(id.parse().map_err(|_| CloudError::not_found())?);
    let operator = state.operations.on_behalf_of(asked.operator.id);
    match operator.delete_token(id, async || Ok(())).await {
        Ok(Deleted::Everywhere) => {}
        Ok(Deleted::InBucket(error)) => {
            tracing::warn!("the database cannot be used: {error:#}");
            return Ok(lead_to(Tab::Status.address(), "in-bucket"));
        }
        Err(error) => return Ok(failed(&error)),
    }
    let account = form
        .text("account")
        .and_then(|account| account.parse().ok())
        .map(AccountId);
    let address = account.map_or_else(|| Tab::Accounts.address().to_owned(), links::operated_account);
    Ok(lead_to(&address, "revoked"))
}

/// What the form says of a new token.
struct New {
    name: String,
    environment: Option<IdOrSlug>,
    scopes: Vec<Scope>,
    lifetime: Option<TimeDelta>,
}

impl New {
    fn read(form: &OwnForm) -> Result<Self, String> {
        let name = form.text("name").unwrap_or_default();
        if name.is_empty() {
            return Err("missing `name`: expected what the token is for".to_owned());
        }
        if name.chars().count() > MAX_NAME {
            return Err(format!(
                "invalid `name`: expected at most {MAX_NAME} characters, got {}",
                name.chars().count()
            ));
        }
        if name.chars().any(char::is_control) {
            return Err(format!("invalid `name`: expected no control characters, got {name:?}"));
        }
        let scopes = form.all("scope").map(str::parse).collect::<Result<Vec<Scope>, _>>()?;
        if scopes.is_empty() {
            return Err("missing `scope`: expected read, upload or both".to_owned());
        }
        let environment = form.text("environment").map(str::parse).transpose();
        let days = form.text("days").map(str::parse::<i64>).transpose().ok().flatten();
        let lifetime = match (form.text("days"), days) {
            (None, _) => None,
            (_, Some(days)) if LIFETIMES.contains(&days) => Some(TimeDelta::days(days)),
            (Some(other), _) => return Err(format!("invalid `days`: expected one of {LIFETIMES:?}, got `{other}`")),
        };
        Ok(Self {
            name: name.to_owned(),
            environment: environment.map_err(|error| format!("invalid `environment`: {error}"))?,
            scopes,
            lifetime,
        })
    }
}

fn show_key(asked: &Asked, account: AccountId, created: &Created) -> Response {
    let mut response = asked.answer_below(Tab::Accounts, Some("New token"), created, || {
        html! {
            h1 { "New token" }
            p { "Store the key now: it is not shown again." }
            div.card {
                dl.facts {
                    dt { "Name" } dd { bdi { (created.name) } }
                    dt { "Scopes" } dd { (created.scopes.join(", ")) }
                    dt { "Token" } dd.mono { (created.id) }
                    dt { "Key" } dd { code.key { (created.key.expose()) } }
                }
            }
            p { a href=(links::operated_account(account)) { "To the account" } }
        }
    });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The name of a token, or words that say that it has none.
pub(super) fn name_of(token: &Token) -> &str {
    if token.name.is_empty() {
        "without a name"
    } else {
        &token.name
    }
}

/// The form that creates a token.
pub(super) fn create_form(asked: &Asked, account: AccountId, environments: &[Environment]) -> Markup {
    let active = environments
        .iter()
        .filter(|environment| environment.state == RecordState::Active.as_str());
    html! {
        form.card.narrow method="post" action={ (links::operated_account(account)) "/tokens" } {
            (asked.form_token.field())
            label for="name" { "Who or what it is for" }
            input #name name="name" maxlength=(MAX_NAME) required;
            fieldset {
                legend { "It may" }
                label { input type="checkbox" name="scope" value="read" checked; " read" }
                " "
                label { input type="checkbox" name="scope" value="upload"; " upload" }
            }
            label for="environment" { "Environment" }
            select #environment name="environment" {
                option value="" { "all of the account" }
                @for environment in active { option value=(environment.id) { (environment.slug) } }
            }
            label for="days" { "Valid for" }
            select #days name="days" {
                @for days in LIFETIMES { option value=(days) selected[days == 90] { (days) @if days == 1 { " day" } @else { " days" } } }
                option value="" { "no limit" }
            }
            div { button type="submit" { "Create" } }
        }
    }
}

/// A table of tokens, each with a way to revoke it.
pub(super) fn table_of(asked: &Asked, tokens: &[Token], now: DateTime<Utc>) -> Markup {
    let row = |token: &Token| {
        html! {
            td { bdi { (name_of(token)) } div.note.mono { (token.id) } }
            td { (token.scopes.join(", ")) }
            td { (token.environment.as_deref().unwrap_or("all")) }
            td { (ends(token, now)) }
            td { (ago_or(now, token.last_used_at, "never")) }
            td {
                details {
                    summary { "Revoke" }
                    form method="post" action={ (links::OPERATE) "/tokens/" (token.id) "/revoke" } {
                        (asked.form_token.field())
                        @if let Some(account) = token.account_id { input type="hidden" name="account" value=(account); }
                        p.note { "Its next request is refused." @if token.id == asked.operator.id.0 { " This is the token of this session." } }
                        button.danger type="submit" { "Revoke this token" }
                    }
                }
            }
        }
    };
    let rows: Vec<Markup> = tokens.iter().map(row).collect();
    let columns = ["Token", "Scopes", "Environment", "Ends", "Last use", ""];
    table(&columns, &rows, "There are no tokens yet.")
}

fn ends(token: &Token, now: DateTime<Utc>) -> Markup {
    html! {
        @match token.expires_at {
            None => span.quiet { "never" },
            Some(end) if end <= now => { (parts::moment(end)) " " span.status { "ended" } },
            Some(end) if end <= now + TimeDelta::days(14) => { (parts::moment(end)) " " span.status.warn { "soon" } },
            Some(end) => (parts::moment(end)),
        }
    }
}
