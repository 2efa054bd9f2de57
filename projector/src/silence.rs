//! What used to come and does not come any more: uploads of environments, and requests with tokens.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use directory::queries::{Token, accounts, tokens};
use read_model::silence::{LastUpload, last_uploads, rounded_hours, usual_gaps};
use schemas::{EnvironmentId, RecordState};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{ApplyError, Projector};

/// The pause between two times.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long before its end a token counts as expiring.
const EXPIRING: TimeDelta = TimeDelta::days(14);

/// After this time without a request a token counts as unused.
const UNUSED: TimeDelta = TimeDelta::days(30);

/// The most environments that the metrics name. All are counted.
const MAX_NAMED: usize = 100;

/// How many environments one statement looks at.
const AT_ONCE: usize = 500;

/// Looks for silence at startup and regularly until the shutdown.
pub(crate) async fn run(projector: &Projector, shutdown: &CancellationToken) {
    let mut learned = Learned::default();
    let mut shown = HashSet::new();
    loop {
        match shutdown
            .run_until_cancelled(projector.look_for_silence(&mut learned))
            .await
        {
            Some(Ok(silence)) => shown = silence.show(&shown),
            Some(Err(error)) => tracing::debug!(%error, "cannot look for environments without uploads"),
            None => return,
        }
        if shutdown.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// The usual gaps of environments that may be silent, each with the last upload before which it was learned.
#[derive(Default)]
struct Learned(HashMap<EnvironmentId, (DateTime<Utc>, Option<Duration>)>);

/// An environment that used to receive uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SilentEnvironment {
    /// The number of the account.
    pub account_id: i64,
    /// The slug of the environment.
    pub environment: String,
    /// When the last upload was accepted.
    pub last_upload_at: DateTime<Utc>,
    /// After how many hours the next upload usually came, at the latest.
    pub usual_hours: i64,
}

/// What used to come, or will stop soon.
#[derive(Clone, Debug, Serialize)]
pub struct Silence {
    /// The environments that used to receive uploads.
    pub silent_environments: Vec<SilentEnvironment>,
    /// The tokens that expire soon.
    pub expiring_tokens: Vec<Token>,
    /// The tokens that nobody has used for long.
    pub unused_tokens: Vec<Token>,
}

impl Projector {
    /// Looks for environments without their usual uploads, and for tokens that expire or are not used.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub async fn silence(&self) -> Result<Silence, ApplyError> {
        self.look_for_silence(&mut Learned::default()).await
    }

    async fn look_for_silence(&self, learned: &mut Learned) -> Result<Silence, ApplyError> {
        let now = self.clock.now();
        let mut connection = self.pool.acquire().await?;
        let mut quiet = last_uploads(&mut connection, None).await?;
        quiet.retain(|last| last.may_be_silent(now));
        learned.keep_only(&quiet);
        let new: Vec<LastUpload> = quiet.iter().filter(|last| !learned.knows(last)).cloned().collect();
        for new in new.chunks(AT_ONCE) {
            let gaps = usual_gaps(&mut connection, new).await?;
            for (last, gap) in new.iter().zip(gaps) {
                learned.learn(last, gap);
            }
        }
        let accounts = accounts(&mut connection).await?;
        let active: HashSet<i64> = accounts
            .iter()
            .filter(|account| account.state == RecordState::Active.as_str())
            .map(|account| account.id)
            .collect();
        let mut of_all = tokens(&mut connection, None).await?;
        let is_in_use = |token: &Token| token.account_id.is_none_or(|account| active.contains(&account));
        of_all.retain(|token| is_in_use(token) && token.expires_at.is_none_or(|end| end > now));
        let valid = of_all.iter();
        let is_expiring = |token: &&Token| {
            let end = token.expires_at.filter(|end| *end <= now + EXPIRING);
            end.is_some_and(|end| !of_all.iter().any(|other| replaces(other, token, end)))
        };
        let is_unused = |token: &&Token| token.last_used_at.unwrap_or(token.issued_at) < now - UNUSED;
        Ok(Silence {
            silent_environments: quiet.iter().filter_map(|last| learned.silent(last, now)).collect(),
            expiring_tokens: valid.clone().filter(is_expiring).cloned().collect(),
            unused_tokens: valid.filter(is_unused).cloned().collect(),
        })
    }
}

/// Whether a later token replaces one that ends, as after a rotation.
fn replaces(other: &Token, token: &Token, end: DateTime<Utc>) -> bool {
    let what = |token: &Token| {
        (
            token.account_id,
            token.name.clone(),
            token.scopes.clone(),
            token.environment.clone(),
        )
    };
    let is_later = other.issued_at > token.issued_at && other.expires_at.is_none_or(|later| later > end);
    is_later && !token.name.is_empty() && what(other) == what(token)
}

impl Learned {
    fn keep_only(&mut self, quiet: &[LastUpload]) {
        let quiet: HashMap<_, _> = quiet.iter().map(|last| (last.environment, last.at)).collect();
        self.0.retain(|environment, (at, _)| quiet.get(environment) == Some(at));
    }

    fn knows(&self, last: &LastUpload) -> bool {
        self.0.contains_key(&last.environment)
    }

    fn learn(&mut self, last: &LastUpload, gap: Option<Duration>) {
        self.0.insert(last.environment, (last.at, gap));
    }

    fn silent(&self, last: &LastUpload, now: DateTime<Utc>) -> Option<SilentEnvironment> {
        let (_, gap) = self.0.get(&last.environment)?;
        let usual = last.missed_after(*gap, now)?;
        Some(SilentEnvironment {
            account_id: last.account.0,
            environment: last.slug.clone(),
            last_upload_at: last.at,
            usual_hours: rounded_hours(usual),
        })
    }
}

impl Silence {
    /// Sets the gauges. Returns the environments that they name now or have named: those of `shown` that are not silent any more get 0, because
    /// a gauge cannot be removed.
    fn show(&self, shown: &HashSet<(i64, String)>) -> HashSet<(i64, String)> {
        metrics::gauge!("dbt_api_silent_environments").set(self.silent_environments.len() as f64);
        metrics::gauge!("dbt_api_tokens_expiring").set(self.expiring_tokens.len() as f64);
        metrics::gauge!("dbt_api_tokens_unused").set(self.unused_tokens.len() as f64);
        let silent = self.silent_environments.iter();
        let silent = silent.map(|silent| (silent.account_id, silent.environment.clone()));
        let named: HashSet<_> = silent.take(MAX_NAMED).collect();
        let all: HashSet<_> = named.union(shown).cloned().collect();
        for (account, environment) in &all {
            let is_silent = named.contains(&(*account, environment.clone()));
            let labels = [("account", account.to_string()), ("environment", environment.clone())];
            metrics::gauge!("dbt_api_environment_is_silent", &labels).set(f64::from(u8::from(is_silent)));
        }
        all
    }
}
