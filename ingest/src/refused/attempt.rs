//! What is known about a request that tries to upload, so that it can be said if it is refused.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::Uri;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use directory::{Access, hash_of_key, is_own_key};
use edge::{Reason, RequestId, Unserved, is_upload_path, key_of, loggable};
use futures_util::TryStreamExt;
use schemas::{AccountId, Sha256, TokenId};

use super::Refusals;
use super::text::printable;

/// The most characters of each text of a client.
const MAX_ENVIRONMENT: usize = 100;
const MAX_FILE: usize = 200;
const MAX_ROUTE: usize = 200;
const MAX_USER_AGENT: usize = 200;
const MAX_REASON: usize = 500;

/// A refused upload. Its token may be unknown.
#[derive(Debug)]
pub(super) struct Refused {
    /// The hash of the key, if this service may have issued it.
    pub(super) key: Option<Sha256>,
    /// The token, if it was found. A key that was not found may belong to a deleted token.
    pub(super) token: Option<TokenId>,
    /// The accounts of the token, if it was found.
    pub(super) accounts: Vec<AccountId>,
    pub(super) time: DateTime<Utc>,
    pub(super) status: u16,
    pub(super) environment: Option<String>,
    pub(super) file: Option<String>,
    pub(super) size: u64,
    pub(super) reason: String,
    pub(super) client: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) route: String,
    pub(super) request_id: Option<String>,
}

/// What the handler of a request found out about it. Clones share it; one is among the extensions of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found(Arc<Mutex<Facts>>);

#[derive(Debug, Default)]
struct Facts {
    token: Option<TokenId>,
    accounts: Vec<AccountId>,
    environment: Option<String>,
    file: Option<String>,
}

impl Found {
    /// Returns what is noted about this request.
    pub(crate) fn of(head: &Parts) -> Self {
        head.extensions.get().cloned().unwrap_or_default()
    }

    /// Notes whose request it is.
    pub(crate) fn note_holder(&self, access: &Access) {
        self.note_token(access.token_id, &access.accounts);
    }

    /// Notes the token of the request, and the accounts it belongs to.
    pub(crate) fn note_token(&self, token: TokenId, accounts: &[AccountId]) {
        let mut facts = self.facts();
        facts.token = Some(token);
        facts.accounts = accounts.to_vec();
    }

    /// Notes the environment that the client named.
    pub(crate) fn note_environment(&self, name: &str) {
        self.facts().environment = Some(printable(name, MAX_ENVIRONMENT));
    }

    /// Notes the name of the file, as a field or the path says.
    pub(crate) fn note_file(&self, name: &str) {
        self.facts().file = Some(printable(name, MAX_FILE));
    }

    /// Notes the name that the client's own file has, unless another name was given.
    pub(crate) fn note_own_name(&self, name: &str) {
        self.facts().file.get_or_insert_with(|| printable(name, MAX_FILE));
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the head of a request says.
struct Head {
    key: Option<Sha256>,
    client: Option<String>,
    user_agent: Option<String>,
    route: String,
    request_id: Option<String>,
    uri: Uri,
    /// The environment and the file in the path.
    environment: Option<String>,
    file: Option<String>,
}

impl Head {
    async fn read(parts: &mut Parts) -> Self {
        let path = RawPathParams::from_request_parts(parts, &()).await.ok();
        let of_path = |names: &[&str]| {
            let mut params = path.iter().flatten();
            params
                .find(|(name, _)| names.contains(name))
                .map(|(_, value)| value.to_owned())
        };
        let extensions = &parts.extensions;
        let route = match extensions.get::<MatchedPath>() {
            Some(route) => route.as_str().to_owned(),
            None => printable(&loggable(parts.uri.path()), MAX_ROUTE),
        };
        let key = key_of(&parts.headers).filter(|key| is_own_key(key));
        let user_agent = parts.headers.get(USER_AGENT);
        Self {
            key: key.map(hash_of_key),
            client: extensions
                .get()
                .map(|ConnectInfo::<SocketAddr>(client)| client.to_string()),
            user_agent: user_agent.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()),
            route: format!("{} {route}", parts.method),
            request_id: extensions.get().map(|RequestId(id)| id.clone()),
            environment: of_path(&["slug", "environment_id"]),
            file: of_path(&["name"]),
            uri: parts.uri.clone(),
        }
    }

    fn of_query(&self, wanted: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    }

    fn refused(self, found: &Found, response: &Response, size: u64, time: DateTime<Utc>) -> Refused {
        let environment = self.environment.clone();
        let environment = environment.map(|name| printable(&name, MAX_ENVIRONMENT));
        let file = self.file.as_deref().map(|name| printable(name, MAX_FILE));
        let of_query = |name: &str, max: usize| self.of_query(name).map(|value| printable(&value, max));
        let reason = response.extensions().get().map_or("", |Reason(reason)| reason.as_str());
        let mut facts = found.facts();
        Refused {
            key: self.key,
            token: facts.token,
            accounts: std::mem::take(&mut facts.accounts),
            time,
            status: response.status().as_u16(),
            environment: environment
                .or_else(|| facts.environment.take())
                .or_else(|| of_query("environment_slug", MAX_ENVIRONMENT)),
            file: file
                .or_else(|| facts.file.take())
                .or_else(|| of_query("filename", MAX_FILE)),
            size,
            reason: printable(reason, MAX_REASON),
            user_agent: self.user_agent.as_deref().map(|name| printable(name, MAX_USER_AGENT)),
            client: self.client,
            route: self.route,
            request_id: self.request_id,
        }
    }
}

/// Notes requests that are not answered with success. The answer does not wait for it.
pub(crate) async fn observe(State(refusals): State<Refusals>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let head = Head::read(&mut parts).await;
    let found = Found::default();
    parts.extensions.insert(found.clone());
    let received = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&received);
    let body = body.into_data_stream().inspect_ok(move |chunk| {
        counting.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    });
    let response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;
    if !response.status().is_success() {
        let size = received.load(Ordering::Relaxed);
        refusals.note(head.refused(&found, &response, size, refusals.now()));
    }
    response
}

/// Notes uploads that no route serves, such as those to a misspelled path. Nobody has checked their key, so only those are kept whose key this
/// service issued.
pub async fn observe_unserved(State(refusals): State<Refusals>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || !is_of_uploads(request.uri().path()) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let head = Head::read(&mut parts).await;
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<Unserved>().is_some() {
        refusals.note(head.refused(&Found::default(), &response, 0, refusals.now()));
    }
    response
}

/// Whether a path looks like one of the routes for uploads.
fn is_of_uploads(path: &str) -> bool {
    let has_part = |wanted: &str| path.split('/').any(|part| part == wanted);
    is_upload_path(path)
        || (path.starts_with("/api/private/") && has_part("ingests"))
        || (path.starts_with("/api/v3/") && has_part("files"))
}
