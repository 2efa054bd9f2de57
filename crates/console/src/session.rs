//! Sessions: a cookie that holds the key of a token.

use std::sync::Arc;

use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bucket::Error as BucketError;
use chrono::{DateTime, TimeDelta, Utc};
use cookie::{Cookie, SameSite};
use directory::queries::OperatorToken;
use edge::CloudError;
use ingest::Directory;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::attempts::Attempts;
use crate::seal::{Seal, Unusable};

/// The name of the cookie.
const NAME: &str = "dbt_api_session";

/// How long a session lasts at most: a working day.
const LIFETIME: TimeDelta = TimeDelta::hours(12);

/// What the console's own routes share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) api: api::State,
    seal: Arc<OnceCell<Seal>>,
    pub(crate) attempts: Arc<Attempts>,
    /// Knows the keys of operators, also while PostgreSQL does not answer; none in a process that does not accept uploads.
    directory: Option<Directory>,
}

/// What a session's cookie holds.
#[derive(Serialize, Deserialize)]
struct Session {
    key: String,
    until: DateTime<Utc>,
}

/// Why the keys of the console cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSeal {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl IntoResponse for NoSeal {
    fn into_response(self) -> Response {
        match self {
            Self::Bucket(error) => CloudError::unavailable(&error).into_response(),
            Self::Unusable(error) => CloudError::internal(&error).into_response(),
        }
    }
}

impl Console {
    /// Creates the state of the console of a service with this read side, which may have a copy of the directory.
    pub(crate) fn new(api: api::State, directory: Option<Directory>) -> Self {
        Self {
            api,
            seal: Arc::default(),
            attempts: Arc::default(),
            directory,
        }
    }

    /// The seal, whose key is read from the bucket once.
    pub(crate) async fn seal(&self) -> Result<&Seal, NoSeal> {
        let read = || async { Ok(Seal::derive(&self.api.bucket.signing_key().await?)?) };
        self.seal.get_or_try_init(read).await
    }

    /// Makes the cookie of a new session.
    pub(crate) async fn begin(&self, key: &str) -> Result<HeaderValue, NoSeal> {
        let session = Session {
            key: key.to_owned(),
            until: self.api.clock.now() + LIFETIME,
        };
        let value = serde_json::to_vec(&session).map_err(|_| Unusable)?;
        let sealed = self.seal().await?.close(NAME, &value)?;
        self.cookie(NAME, sealed, LIFETIME)
    }

    /// Makes the cookie that ends a session.
    pub(crate) fn end(&self) -> Result<HeaderValue, NoSeal> {
        self.cookie(NAME, String::new(), TimeDelta::zero())
    }

    /// A cookie for the console's paths only. `Lax`, because links from other pages, such as a chat, must find the session.
    pub(crate) fn cookie(&self, name: &str, value: String, lifetime: TimeDelta) -> Result<HeaderValue, NoSeal> {
        let cookie = Cookie::build((name, value))
            .path(crate::PREFIX)
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.api.public_url.starts_with("https:"));
        let text = format!("{cookie}; Max-Age={}", lifetime.num_seconds());
        Ok(HeaderValue::try_from(text).map_err(|_| Unusable)?)
    }

    /// Returns the token for operators with this key, if there is one that is valid.
    pub(crate) async fn operator_of(&self, key: &str) -> Result<Option<OperatorToken>, Response> {
        match &self.directory {
            Some(directory) => {
                let found = directory.operator(key).await;
                found.map_err(|error| CloudError::unavailable(&error).into_response())
            }
            None => {
                let found = api::operator_of_key(key, &self.api).await;
                found.map_err(IntoResponse::into_response)
            }
        }
    }

    /// Whether the request's key is that of a valid token for operators.
    pub(crate) async fn is_operator(&self, headers: &HeaderMap) -> bool {
        match self.key_of(headers).await {
            Ok(Some(key)) => matches!(self.operator_of(&key).await, Ok(Some(_))),
            _ => false,
        }
    }

    /// Whether the browser has the cookie of a session.
    pub(crate) fn has_session(headers: &HeaderMap) -> bool {
        cookie_of(headers, NAME).is_some()
    }

    /// The key of the request's session, or else of its header `Authorization`.
    pub(crate) async fn key_of(&self, headers: &HeaderMap) -> Result<Option<String>, NoSeal> {
        let of_session = self.key(headers).await?;
        Ok(of_session.or_else(|| edge::key_of(headers).map(str::to_owned)))
    }

    /// The key of the request's session; none if there is no session or it has ended.
    pub(crate) async fn key(&self, headers: &HeaderMap) -> Result<Option<String>, NoSeal> {
        let Some(sealed) = cookie_of(headers, NAME) else {
            return Ok(None);
        };
        let session = self.seal().await?.open(NAME, &sealed);
        let session = session.and_then(|bytes| serde_json::from_slice::<Session>(&bytes).ok());
        Ok(session
            .filter(|session| session.until > self.api.clock.now())
            .map(|session| session.key))
    }
}

/// The value of the request's cookie with this name.
pub(crate) fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}
