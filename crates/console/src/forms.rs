//! Protects forms: each holds a token that belongs to a cookie of the browser, so that other sites cannot send them.

use axum::http::header::{HOST, HeaderMap, ORIGIN};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use edge::CloudError;
use maud::{Markup, html};

use crate::seal::random;
use crate::session::{Console, NoSeal, cookie_of};

/// The name of the cookie.
const NAME: &str = "dbt_api_form";

/// How long the cookie lasts; forms of pages that were open longer must be loaded again.
const LIFETIME: TimeDelta = TimeDelta::days(30);

/// The token of the request's browser, for the forms of a page.
#[derive(Clone, Debug)]
pub(crate) struct FormToken(String);

impl FormToken {
    /// The field that a form must have.
    pub(crate) fn field(&self) -> Markup {
        html! { input type="hidden" name="form_token" value=(self.0); }
    }
}

/// The token for a request's forms, and the cookie that must be set if the browser has none yet.
pub(crate) async fn token_of(
    console: &Console,
    headers: &HeaderMap,
) -> Result<(FormToken, Option<axum::http::HeaderValue>), NoSeal> {
    let seal = console.seal().await?;
    if let Some(cookie) = cookie_of(headers, NAME) {
        return Ok((FormToken(seal.form_token(&cookie)), None));
    }
    let cookie = hex::encode(random::<16>()?);
    let token = FormToken(seal.form_token(&cookie));
    Ok((token, Some(console.cookie(NAME, cookie, LIFETIME)?)))
}

/// Whether a form comes from one of the console's own pages: the token belongs to the browser's cookie, and the page is of this host.
pub(crate) async fn is_own(console: &Console, headers: &HeaderMap, token: &str) -> Result<bool, NoSeal> {
    let seal = console.seal().await?;
    let is_known = cookie_of(headers, NAME).is_some_and(|cookie| seal.is_form_token(&cookie, token));
    Ok(is_known && is_own_origin(headers, &console.api.public_url))
}

/// Browsers send `Origin` with every POST (Fetch, 3.2). It must name the public URL, or the host that the request was sent to.
fn is_own_origin(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let Some(origin) = text(ORIGIN) else { return false };
    let of_host = origin
        .split_once("://")
        .is_some_and(|(_, host)| Some(host) == text(HOST));
    of_host
        || public_url == origin
        || public_url
            .strip_prefix(origin)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The answer to a form that does not come from the console's own pages.
pub(crate) fn foreign() -> Response {
    CloudError::forbidden_because("The form could not be accepted: load the page again, and send the form from there.")
        .into_response()
}
