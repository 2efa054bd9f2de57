//! Verifies keys that Datacoves issued, by asking Datacoves.
//!
//! Answers are cached for some seconds. While Datacoves does not answer, its last answer counts: a refused key stays refused, and an accepted
//! key may upload for an hour, because uploads are not repeated, but may not read.

mod answer;
mod cache;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use bytes::{Bytes, BytesMut};
use directory::{Access, hash_of_key};
use schemas::{Scope, Sha256, TokenId};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::causes::Causes;
use answer::Answer;
use cache::{Cache, Verdict};
pub use settings::VerifierSettings;

/// What becomes of a question to Datacoves, in metrics.
pub(crate) const RESULTS: [&str; 3] = ["admitted", "refused", "silent"];

/// How long an answer may take. The client of an upload waits 5 s in total.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// The longest key that is verified, in bytes.
const MAX_KEY_LEN: usize = 1024;

/// How many keys are verified at once.
const MAX_ASKED: usize = 64;

/// Verifies keys with Datacoves. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: VerifierSettings,
    client: reqwest::Client,
    cache: Mutex<Cache>,
    /// The keys that are being verified, each only once.
    asked: Mutex<HashMap<Sha256, watch::Receiver<Option<Outcome>>>>,
    turns: Semaphore,
    /// Why Datacoves did not answer the last question, if it did not.
    silence: Mutex<Option<Silent>>,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading, which needs a current answer from Datacoves.
    Read,
    /// Uploading, for which an earlier answer is enough while Datacoves does not answer.
    Upload,
}

/// Datacoves does not verify keys, with the cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Datacoves does not verify keys (DATACOVES_VERIFY_URL): {0}")]
pub struct Silent(Arc<str>);

/// The outcome of asking Datacoves.
#[derive(Clone, Debug)]
enum Outcome {
    Verdict(Verdict),
    Silent(Silent),
}

/// Why asking Datacoves failed.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}", Causes(.0))]
    Request(reqwest::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("invalid status of the answer: expected 200, 401 or 403, got `{0}`")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLong,
    #[error(transparent)]
    Answer(#[from] answer::InvalidAnswer),
}

impl From<reqwest::Error> for AskError {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

impl Verifier {
    /// Creates a verifier with an empty cache.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new(settings: VerifierSettings) -> Result<Self, reqwest::Error> {
        // Keys are only sent to the configured URL.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("dbt-api")
            .build()?;
        Ok(Self(Arc::new(Inner {
            settings,
            client,
            cache: Mutex::default(),
            asked: Mutex::default(),
            turns: Semaphore::new(MAX_ASKED),
            silence: Mutex::default(),
        })))
    }

    /// Returns what a key that Datacoves issued gives access to, or `None` if Datacoves refuses it.
    ///
    /// # Errors
    /// If Datacoves does not answer, and its last answer is not enough.
    pub async fn access(&self, key: &str, purpose: Purpose) -> Result<Option<Access>, Silent> {
        if key.len() > MAX_KEY_LEN {
            return Ok(None);
        }
        let hash = hash_of_key(key);
        let cached = lock(&self.0.cache).get(&hash, self.0.settings.cache, Instant::now());
        if let Some(verdict) = cached {
            return Ok(verdict);
        }
        match self.ask_once(key, hash).await {
            Outcome::Verdict(verdict) => Ok(verdict),
            Outcome::Silent(silent) => {
                let verdict = lock(&self.0.cache).while_silent(&hash, purpose, Instant::now());
                verdict.ok_or(silent)
            }
        }
    }

    /// Checks that Datacoves answered the last request.
    ///
    /// # Errors
    /// The verifier did not answer.
    pub fn check(&self) -> Result<(), Silent> {
        match lock(&self.0.silence).clone() {
            Some(silent) => Err(silent),
            None => Ok(()),
        }
    }

    /// Asks about a key, or waits if another request already asks about it. The question runs in a separate task, so that others still get
    /// the answer if one client disconnects.
    async fn ask_once(&self, key: &str, hash: Sha256) -> Outcome {
        let mut answer = {
            let mut asked = lock(&self.0.asked);
            if let Some(answer) = asked.get(&hash) {
                answer.clone()
            } else {
                let (sender, answer) = watch::channel(None);
                asked.insert(hash, answer.clone());
                let (inner, key) = (Arc::clone(&self.0), secrecy::SecretString::from(key.to_owned()));
                tokio::spawn(async move {
                    let outcome = inner.ask_and_keep(&key, hash).await;
                    lock(&inner.asked).remove(&hash);
                    sender.send_replace(Some(outcome));
                });
                answer
            }
        };
        let outcome = answer.wait_for(Option::is_some).await;
        outcome
            .ok()
            .and_then(|outcome| outcome.clone())
            .unwrap_or_else(|| Outcome::Silent(Silent("the question was not asked".into())))
    }
}

impl Inner {
    async fn ask_and_keep(&self, key: &secrecy::SecretString, hash: Sha256) -> Outcome {
        let asking = timeout(PATIENCE, self.ask(key));
        let asked = asking.await.unwrap_or(Err(AskError::Late));
        let [admitted, refused, silent] = RESULTS;
        let result = match &asked {
            Ok(Some(_)) => admitted,
            Ok(None) => refused,
            Err(_) => silent,
        };
        metrics::counter!("dbt_api_verifications_total", "result" => result).increment(1);
        let silence = asked.as_ref().err().map(|error| Silent(error.to_string().into()));
        let was_silent = std::mem::replace(&mut *lock(&self.silence), silence).is_some();
        match asked {
            Ok(verdict) => {
                if was_silent {
                    tracing::info!("Datacoves verifies keys again");
                }
                lock(&self.cache).keep(hash, verdict.clone(), Instant::now());
                Outcome::Verdict(verdict)
            }
            Err(error) => {
                if !was_silent {
                    tracing::warn!(%error, "Datacoves does not verify keys; uploads continue with keys it accepted within the last hour");
                }
                Outcome::Silent(Silent(error.to_string().into()))
            }
        }
    }

    async fn ask(&self, key: &secrecy::SecretString) -> Result<Verdict, AskError> {
        use secrecy::ExposeSecret;
        let key = key.expose_secret();
        let Ok(mut header) = HeaderValue::from_str(&format!("Token {key}")) else {
            return Ok(None);
        };
        header.set_sensitive(true);
        let _turn = self.turns.acquire().await;
        let request = self.client.get(self.settings.url.clone());
        let mut response = request
            .header(AUTHORIZATION, header)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .send()
            .await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            StatusCode::OK => {}
            other => return Err(AskError::Status(other)),
        }
        let answer = Answer::read(&whole(&mut response).await?)?;
        if answer.accounts.is_empty() {
            return Ok(None);
        }
        Ok(Some(Access {
            token_id: token_id(key),
            accounts: answer.accounts,
            environments: answer.environments,
            scopes: vec![Scope::Read, Scope::Upload],
        }))
    }
}

async fn whole(response: &mut reqwest::Response) -> Result<Bytes, AskError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(AskError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Returns the id of a token that Datacoves issued, for events and limits. It is always the same for a key and does not reveal it: a UUIDv8
/// (RFC 9562) made of the first bits of a SHA-256.
fn token_id(key: &str) -> TokenId {
    let hash = Sha256::of(format!("dbt-api token of Datacoves\n{key}").as_bytes());
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.0[..16]);
    TokenId(uuid::Builder::from_custom_bytes(bits).into_uuid())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_has_the_same_id() {
        let id = token_id("abc");
        assert_eq!(id, token_id("abc"));
        assert_ne!(id, token_id("abd"));
        assert_eq!(id.0.get_version_num(), 8);
        assert!(!hash_of_key("abc").to_string().starts_with(&id.0.simple().to_string()));
    }
}
