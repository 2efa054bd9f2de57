//! Signing in with a token, and out.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Extension, Form, Query, State};
use axum::http::header::{HeaderMap, LOCATION, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use edge::CloudError;
use maud::{Markup, html};
use serde::Deserialize;

use crate::forms::{self, FormToken};
use crate::session::Console;
use crate::{PREFIX, layout, links};

/// What leads to the form.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    /// The page that was asked for.
    next: Option<String>,
    /// Present if a session ended.
    ended: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct SignIn {
    key: String,
    next: Option<String>,
    form_token: String,
}

/// What the form that signs out sends.
#[derive(Deserialize)]
pub(crate) struct SignOut {
    form_token: String,
}

/// Shows the form.
pub(crate) async fn form(Extension(token): Extension<FormToken>, Query(wanted): Query<Wanted>) -> Response {
    let message = wanted
        .ended
        .is_some()
        .then_some("Your session has ended: sign in again.");
    page(&token, wanted.next.as_deref(), message).into_response()
}

/// Begins a session, if the key is that of a token that may read.
pub(crate) async fn sign_in(
    State(console): State<Console>,
    Extension(token): Extension<FormToken>,
    client: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Response {
    match forms::is_own(&console, &headers, &form.form_token).await {
        Ok(true) => {}
        Ok(false) => return forms::foreign(),
        Err(error) => return error.into_response(),
    }
    let _turn = match console.attempts.turn().await {
        Ok(turn) => turn,
        Err(error) => return error.into_response(),
    };
    let is_operator = match console.operator_of(form.key.trim()).await {
        Ok(found) => found.is_some(),
        Err(response) => return response,
    };
    match api::may_read(form.key.trim(), &console.api).await {
        Ok(true) => {}
        _ if is_operator => {}
        Ok(false) => {
            let client = client.map(|Extension(ConnectInfo(client))| client.ip());
            let (status, message) = if console.attempts.are_few(client) {
                let message = "This is not the key of a valid token that may read, or that is for operators.";
                (StatusCode::UNAUTHORIZED, message)
            } else {
                let message = "Too many wrong keys: try again in a minute.";
                (StatusCode::TOO_MANY_REQUESTS, message)
            };
            return (status, page(&token, form.next.as_deref(), Some(message))).into_response();
        }
        Err(error) => return error.into_response(),
    }
    let next = match inside(form.next.as_deref()) {
        PREFIX if is_operator => links::OPERATE,
        next => next,
    };
    match console.begin(form.key.trim()).await {
        Ok(cookie) => {
            let mut response = Redirect::to(next).into_response();
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(console): State<Console>,
    headers: HeaderMap,
    Form(form): Form<SignOut>,
) -> Response {
    match forms::is_own(&console, &headers, &form.form_token).await {
        Ok(true) => {}
        Ok(false) => return forms::foreign(),
        Err(error) => return error.into_response(),
    }
    match console.end() {
        Ok(cookie) => {
            let mut response = Redirect::to("/console/sign-in").into_response();
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Leads a request without a valid key to the form, and back to this page afterwards. A session that it had ends.
pub(crate) fn lead_to_form_of(console: &Console, headers: &HeaderMap, wanted: Option<&str>) -> Response {
    let had_session = Console::has_session(headers);
    let mut response = lead_to_form(wanted, had_session);
    if had_session && let Ok(ended) = console.end() {
        response.headers_mut().append(SET_COOKIE, ended);
    }
    response
}

fn lead_to_form(wanted: Option<&str>, had_session: bool) -> Response {
    let mut address = "/console/sign-in".to_owned();
    let mut separator = '?';
    if let Some(wanted) = wanted.filter(|wanted| *wanted != PREFIX) {
        address.push_str(&format!("?next={}", links::encoded(wanted)));
        separator = '&';
    }
    if had_session {
        address.push_str(&format!("{separator}ended=1"));
    }
    let location = HeaderValue::try_from(address);
    match location {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(error) => CloudError::internal(&error).into_response(),
    }
}

/// The page to show after signing in: only pages of the console, so that no link leads elsewhere.
fn inside(next: Option<&str>) -> &str {
    let is_inside = |next: &&str| {
        let path = next.split('?').next().unwrap_or_default();
        let is_plain = next.chars().all(|char| char.is_ascii_graphic() && char != '\\')
            && !path.contains("//")
            && !path.split('/').any(|part| part == "..");
        is_plain
            && next
                .strip_prefix(PREFIX)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    };
    next.filter(is_inside).unwrap_or(PREFIX)
}

fn page(token: &FormToken, next: Option<&str>, message: Option<&str>) -> layout::Document {
    layout::bare("Sign in", &content(token, next, message))
}

fn content(token: &FormToken, next: Option<&str>, message: Option<&str>) -> Markup {
    html! {
        h1 { "dbt-api" }
        @if let Some(message) = message { p.message role="alert" { (message) } }
        form.card method="post" action="/console/sign-in" {
            (token.field())
            @if let Some(next) = next { input type="hidden" name="next" value=(next); }
            label for="key" { "The key of a token that may read, or that is for operators" }
            input #key type="password" name="key" autocomplete="current-password" autofocus required;
            button type="submit" { "Sign in" }
        }
        p.note { "An operator issues tokens with " code { "dbt-api token create" } ". The key is sent to this service only, and kept encrypted in a cookie." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_console_follow_the_form() {
        assert_eq!(inside(Some("/console/1/runs?status=20")), "/console/1/runs?status=20");
        for outside in [
            None,
            Some("//other.example"),
            Some("https://other.example"),
            Some("/consoles"),
            Some("/api/v2"),
            Some("/console/../other"),
            Some("/console//other"),
            Some("/console/\\other"),
            Some("/console/\r\nother"),
        ] {
            assert_eq!(inside(outside), "/console", "{outside:?}");
        }
    }
}
