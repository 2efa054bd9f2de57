//! What the pages for operators have in common: who may see them, in which form they answer, and which forms they accept.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Extension, Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, VARY};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use directory::queries::OperatorToken;
use edge::{CloudError, RateLimit};
use maud::{Markup, html};
use projector::{ApplyError, Projector};
use schemas::TokenId;
use serde::{Deserialize, Serialize};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use crate::forms::{self, FormToken};
use crate::layout::Page;
use crate::operations::Operations;
use crate::session::Console;
use crate::{links, sign_in};

/// The state of the pages for operators. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OperatorState {
    pub(crate) console: Console,
    pub(crate) operations: Operations,
    pub(crate) names: NamesOfOthers,
}

impl OperatorState {
    /// A connection of the role that the pages have.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, api::Error> {
        Ok(self.operations.pool.acquire().await?)
    }

    /// Looks at what waits. Its connections may not change anything.
    pub(crate) fn projector(&self) -> Projector {
        let operator = &self.operations.operator;
        Projector::new(self.operations.pool.clone(), operator.bucket.clone(), operator.clock)
    }
}

/// The names of tokens that PostgreSQL does not know, as far as the journal has them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct NamesOfOthers(Arc<Mutex<HashMap<TokenId, Option<String>>>>);

impl NamesOfOthers {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The middleware of the pages for operators: finds the token for operators of the session or the header `Authorization`, whose state is asked for
/// at each request.
pub(crate) async fn only_operators(
    axum::extract::State(state): axum::extract::State<OperatorState>,
    mut request: Request,
    next: Next,
) -> Response {
    let wants_json = wants_json(request.headers());
    let key = match state.console.key_of(request.headers()).await {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    let found = match &key {
        Some(key) => state.operations.directory.operator(key).await,
        None => Ok(None),
    };
    let token = match found {
        Ok(Some(token)) => token,
        Ok(None) if wants_json => return CloudError::unauthorized().into_response(),
        Ok(None) => {
            if let Some(key) = &key
                && matches!(api::may_read(key, &state.console.api).await, Ok(true))
            {
                return for_operators_only();
            }
            let page = request.uri().path_and_query().map(ToString::to_string);
            let wanted = page.filter(|_| request.method() == Method::GET);
            return sign_in::lead_to_form_of(
                &state.console,
                request.headers(),
                Some(wanted.as_deref().unwrap_or(links::OPERATE)),
            );
        }
        Err(error) => return CloudError::unavailable(&error).into_response(),
    };
    if let Err(error) = check_rate(&state.console.api.rate, &token) {
        return error.into_response();
    }
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(token);
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from(ACCEPT));
    response
}

fn check_rate(rate: &RateLimit, token: &OperatorToken) -> Result<(), CloudError> {
    rate.check(token.id).map_err(CloudError::from)
}

fn for_operators_only() -> Response {
    let reason =
        "This page is for operators: sign in at /console/sign-in with the key of a token with the scope `operate`.";
    CloudError::forbidden_because(reason).into_response()
}

/// Whether a client asks for JSON rather than for a page.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        let mut values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.contains(kind))
    };
    accepts("application/json") && !accepts("text/html")
}

/// A page for operators, as it is named in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Status,
    Uploads,
    Refused,
    DeadLetters,
    Rebuilds,
    Accounts,
    Storage,
    Actions,
}

impl Tab {
    const ALL: [Self; 8] = [
        Self::Status,
        Self::Uploads,
        Self::Refused,
        Self::DeadLetters,
        Self::Rebuilds,
        Self::Accounts,
        Self::Storage,
        Self::Actions,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Uploads => "Uploads",
            Self::Refused => "Refused uploads",
            Self::DeadLetters => "Dead letters",
            Self::Rebuilds => "Rebuilds",
            Self::Accounts => "Accounts and tokens",
            Self::Storage => "Storage",
            Self::Actions => "Actions",
        }
    }

    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::Status => links::OPERATE,
            Self::Uploads => "/console/operate/uploads",
            Self::Refused => "/console/operate/refused",
            Self::DeadLetters => "/console/operate/dead-letters",
            Self::Rebuilds => "/console/operate/rebuilds",
            Self::Accounts => "/console/operate/accounts",
            Self::Storage => "/console/operate/storage",
            Self::Actions => "/console/operate/actions",
        }
    }
}

/// Who asks for a page, and in which form.
pub(crate) struct Asked {
    pub(crate) operator: OperatorToken,
    pub(crate) form_token: FormToken,
    wants_json: bool,
    /// What was done before the page is shown.
    done: Option<String>,
}

impl FromRequestParts<OperatorState> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &OperatorState) -> Result<Self, Response> {
        #[derive(Deserialize)]
        struct Done {
            done: Option<String>,
        }
        let missing = |_| CloudError::unauthorized().into_response();
        let Extension(operator) = Extension::from_request_parts(parts, state).await.map_err(missing)?;
        let Extension(form_token) = Extension::from_request_parts(parts, state).await.map_err(missing)?;
        let done = Query::<Done>::from_request_parts(parts, state).await.ok();
        Ok(Self {
            operator,
            form_token,
            wants_json: wants_json(&parts.headers),
            done: done.and_then(|Query(query)| query.done),
        })
    }
}

impl Asked {
    /// Answers with the facts as JSON, or with a page that shows them.
    pub(crate) fn answer(&self, tab: Tab, facts: &impl Serialize, content: impl FnOnce() -> Markup) -> Response {
        self.answer_below(tab, None, facts, content)
    }

    /// The same for a page that is reached from the page of the tab.
    pub(crate) fn answer_below(
        &self,
        tab: Tab,
        title: Option<&str>,
        facts: &impl Serialize,
        content: impl FnOnce() -> Markup,
    ) -> Response {
        if self.wants_json {
            return Json(facts).into_response();
        }
        let mut above = vec![("Operate".to_owned(), links::OPERATE.to_owned())];
        if title.is_some() {
            above.push((tab.title().to_owned(), tab.address().to_owned()));
        }
        let content = html! {
            nav.tabs aria-label="Pages for operators" {
                @for other in Tab::ALL {
                    a href=(other.address()) aria-current=[(other == tab).then_some("page")] { (other.title()) }
                }
            }
            @if let Some(message) = self.done.as_deref().and_then(said) { p.done role="status" { (message) } }
            (content())
            p.note { "The same as JSON: this address with " code { "Accept: application/json" } ". Signed in as " bdi { (self.operator.name) } " until " (crate::parts::moment(self.operator.expires_at)) "." }
        };
        Page {
            title: title.unwrap_or(tab.title()),
            above: &above,
            location: None,
            twin: None,
            form_token: &self.form_token,
            content,
        }
        .render()
        .into_response()
    }
}

/// What to say after an action.
fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "applied" => "The event was applied. It is not a dead letter any more.",
        "again" => "The event was tried again, and could not be applied. Its cause is below.",
        "dropped" => "The dead letter was dropped. Its event is not tried again.",
        "recorded" => "This was recorded. It is done as soon as a projector applies its event.",
        "in-bucket" => {
            "The token was revoked in the bucket, because PostgreSQL cannot be used. Processes that cannot use it either refuse the token at once, \
             others within a minute."
        }
        "revoked" => "The token was revoked. Its next request is refused.",
        _ => return None,
    })
}

/// Leads to a page that says what was done.
pub(crate) fn lead_to(address: &str, done: &str) -> Response {
    let location = format!("{address}?done={}", links::encoded(done));
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(axum::http::header::LOCATION, location)]).into_response(),
        Err(error) => CloudError::internal(&error).into_response(),
    }
}

/// The fields of a form that one of the console's own pages sent.
pub(crate) struct OwnForm(Vec<(String, String)>);

impl OwnForm {
    /// The value of a field, if it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let (_, value) = fields.find(|(field, _)| field == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The values of a field that may be there several times.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_field = self.0.iter().filter(move |(field, _)| field == name);
        of_field.map(|(_, value)| value.as_str())
    }
}

impl FromRequest<OperatorState> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &OperatorState) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let fields = Form::<Vec<(String, String)>>::from_request(request, state).await;
        let Ok(Form(fields)) = fields else {
            return Err(forms::foreign());
        };
        let form = Self(fields);
        let token = form.text("form_token").unwrap_or_default();
        match forms::is_own(&state.console, &headers, token).await {
            Ok(true) => Ok(form),
            Ok(false) => Err(forms::foreign()),
            Err(error) => Err(error.into_response()),
        }
    }
}

/// An error of what an operator does: what is unavailable, or what was wrong.
pub(crate) fn failed(error: &anyhow::Error) -> Response {
    let is_unavailable = error.chain().any(|cause| {
        let of_database = cause.downcast_ref().is_some_and(read_model::outage::is_outage);
        let of_bucket = cause.downcast_ref().is_some_and(bucket::Error::is_unavailable);
        of_database || of_bucket
    });
    if is_unavailable {
        return CloudError::unavailable(error.as_ref()).into_response();
    }
    let is_ours = |cause: &(dyn StdError + 'static)| cause.is::<sqlx::Error>() || cause.is::<bucket::Error>();
    if error.chain().any(is_ours) {
        return CloudError::internal(&format!("{error:#}")).into_response();
    }
    tracing::warn!(error = format!("{error:#}"), "an operator's action failed");
    CloudError::unprocessable(format!("{error:#}")).into_response()
}

/// An error of a read.
pub(crate) fn read_error(error: ApplyError) -> api::Error {
    match error {
        ApplyError::Rejected(cause) => CloudError::internal(&cause).into(),
        other => unavailable(&other),
    }
}

/// An error of something that cannot be asked now.
pub(crate) fn unavailable(error: &(dyn StdError + 'static)) -> api::Error {
    CloudError::unavailable(error).into()
}
