//! Keeps uploads that were refused, if their token is known, so that somebody sees what clients do not report.
//!
//! A refused upload is noted in memory while it is answered. In the background, its token is looked up if necessary, and the records are
//! written to the bucket. Unknown keys are not kept, because anybody could fill the bucket with them.

mod attempt;
mod counter;
mod hours;
mod text;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bucket::{Bucket, Journal, RefusedUpload};
use chrono::{DateTime, SecondsFormat, Utc};
use clock::Clock;
use directory::{History, IdOrSlug};
use futures_util::StreamExt;
use schemas::{AccountId, EnvironmentId, EventId, TokenId, TokenState};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Directory;
use attempt::Refused;
pub use attempt::observe_unserved;
pub(crate) use attempt::{Found, observe};
use counter::Counter;
use hours::Hours;
use text::printable;

/// How often tokens are looked up and records are written, if there are any.
const WORK_EVERY: Duration = Duration::from_secs(2);

/// How long the last records may take to be written at the end of the process.
const MAX_END: Duration = Duration::from_secs(5);

/// How many refused uploads wait for their token to be looked up.
const MAX_WAITING: usize = 2_000;

/// How many of them may have keys that are not known yet, because anybody can send such keys.
const MAX_UNKNOWN: usize = MAX_WAITING / 2;

/// How many of them may have the same token, so that a client that tries again and again does not displace the others.
const MAX_OF_TOKEN: usize = 100;

/// The most characters of a token's name.
const MAX_TOKEN_NAME: usize = 100;

/// The refused uploads of this process. Cheap to clone.
#[derive(Clone)]
pub struct Refusals(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    directory: Directory,
    clock: Clock,
    /// The name of this process's objects.
    process: Uuid,
    /// Never locked while something is waited for.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    history: History,
    /// The events of the directory that `history` is made of.
    read: HashSet<EventId>,
    /// Uploads whose token is not in `history`, or may have changed since.
    waiting: Vec<Refused>,
    hours: Hours,
    counter: Counter,
    /// Whether the last attempt to use the bucket failed, so that it is logged once.
    is_failing: bool,
}

/// Whose upload was refused, as far as the history says.
enum Holder {
    Known(Box<RefusedUpload>),
    Unknown,
    /// The newest events of the directory must be read first.
    NotYet,
}

impl Refusals {
    pub(crate) fn new(bucket: Bucket, directory: Directory, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            bucket,
            directory,
            process: clock.new_id(clock.now()),
            clock,
            state: Mutex::default(),
        }))
    }

    /// Looks up tokens and writes records until the shutdown. [`Self::finish`] writes the last ones.
    pub async fn run(&self, shutdown: CancellationToken) {
        // Work is not interrupted: what it has taken out of the state would be lost.
        while shutdown
            .run_until_cancelled(tokio::time::sleep(WORK_EVERY))
            .await
            .is_some()
        {
            self.work(false).await;
        }
    }

    /// Writes what was noted since, after the last request has been answered.
    pub async fn finish(&self) {
        if timeout(MAX_END, self.work(true)).await.is_err() {
            tracing::warn!("the last refused uploads are lost, because the bucket is too slow");
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Notes a refused upload, without waiting for anything.
    fn note(&self, refused: Refused) {
        if refused.token.is_none() && refused.key.is_none() {
            return;
        }
        let mut state = self.state();
        match self.holder(&state.history, &refused, false) {
            Holder::Known(record) => self.record(&mut state, &record),
            Holder::Unknown => {}
            Holder::NotYet => self.wait(&mut state, refused),
        }
    }

    /// Lets a refused upload wait, or only counts it.
    fn wait(&self, state: &mut State, refused: Refused) {
        let history = &state.history;
        let token_of = |refused: &Refused| refused.token.or_else(|| history.id_of_key(&refused.key?));
        let token = token_of(&refused);
        let others = state.waiting.iter().filter(|waiting| token_of(waiting) == token);
        let most = token.map_or(MAX_UNKNOWN, |_| MAX_OF_TOKEN);
        if others.count() < most && state.waiting.len() < MAX_WAITING {
            state.waiting.push(refused);
        } else {
            state.hours.leave_out(self.now(), token);
        }
    }

    /// Looks up tokens and writes records; at the end, everything.
    async fn work(&self, is_end: bool) {
        let worked = async {
            let looked_up = self.look_up().await;
            self.write(is_end).await?;
            looked_up
        };
        let result = worked.await;
        let was_failing = std::mem::replace(&mut self.state().is_failing, result.is_err());
        match result {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "cannot write refused uploads to the bucket; trying again");
            }
            Ok(()) if was_failing => tracing::info!("refused uploads are written to the bucket again"),
            _ => {}
        }
    }

    /// Records what waits. If the events cannot be read, uploads whose token nobody knows yet go on waiting.
    async fn look_up(&self) -> Result<(), bucket::Error> {
        let waiting = std::mem::take(&mut self.state().waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let read = self.read_events().await;
        let mut state = self.state();
        for refused in waiting {
            let is_decided = read.is_ok() || refused.token.is_some();
            match self.holder(&state.history, &refused, is_decided) {
                Holder::Known(record) => self.record(&mut state, &record),
                Holder::Unknown => {}
                Holder::NotYet => self.wait(&mut state, refused),
            }
        }
        read
    }

    /// Reads the events of the directory that were not read yet.
    async fn read_events(&self) -> Result<(), bucket::Error> {
        let bucket = &self.0.bucket;
        let mut ids = bucket.list_directory_events().await?;
        {
            let state = self.state();
            ids.retain(|id| !state.read.contains(id));
        }
        let mut events = bucket.read_events(Journal::Directory, ids);
        while let Some((id, event)) = events.next().await {
            match event {
                Ok(event) => self.state().history.note(&event),
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => tracing::debug!(%error, "cannot read an event of the directory"),
            }
            self.state().read.insert(id);
        }
        Ok(())
    }

    async fn write(&self, is_end: bool) -> Result<(), bucket::Error> {
        let unwritten = self.state().hours.unwritten(self.now(), is_end);
        for hour in unwritten {
            let bucket = &self.0.bucket;
            bucket.put_refused(hour.hour, self.0.process, hour.json.clone()).await?;
            self.state().hours.written(&hour, self.now());
        }
        Ok(())
    }

    /// Finds out whose upload it was. `is_decided` says that nothing more will be known.
    fn holder(&self, history: &History, refused: &Refused, is_decided: bool) -> Holder {
        let of_key = refused.key.and_then(|key| history.id_of_key(&key));
        let Some(id) = refused.token.or(of_key) else {
            return if is_decided { Holder::Unknown } else { Holder::NotYet };
        };
        let token = history.token(id);
        let state = history.state(id, refused.time);
        // It may have been deleted, or its account restored, since the history was read.
        let may_be_outdated = (state == TokenState::Active) == is_about_the_token(refused.status);
        if !is_decided && (token.is_none() || may_be_outdated) {
            return Holder::NotYet;
        }
        let mut accounts = refused.accounts.clone();
        if accounts.is_empty() {
            accounts.extend(token.and_then(|token| token.issued.account_id()));
        }
        let named = refused.environment.as_deref();
        let entry = named
            .and_then(|name| name.parse::<IdOrSlug>().ok())
            .and_then(|name| self.environment(history, &accounts, &name));
        if !is_decided && named.is_some() && entry.is_none() {
            return Holder::NotYet;
        }
        let account_id = match (accounts.as_slice(), entry) {
            ([only], _) => Some(*only),
            (_, Some((account, _))) => Some(account),
            _ => None,
        };
        let bound_to: Option<EnvironmentId> = token
            .filter(|_| named.is_none())
            .and_then(|token| token.issued.environment_id());
        Holder::Known(Box::new(RefusedUpload {
            time: refused.time,
            status: refused.status,
            account_id,
            token_id: id,
            token_name: token.map(|token| printable(token.issued.name(), MAX_TOKEN_NAME)),
            token_state: state,
            environment: refused.environment.clone(),
            environment_id: entry.map(|(_, environment)| environment).or(bound_to),
            file: refused.file.clone(),
            size: refused.size,
            reason: reason_of(history, id, state).unwrap_or_else(|| refused.reason.clone()),
            client: refused.client.clone(),
            user_agent: refused.user_agent.clone(),
            route: refused.route.clone(),
            request_id: refused.request_id.clone(),
        }))
    }

    /// Finds the only environment with this name in these accounts: one that is in use, or else a retired one.
    fn environment(
        &self,
        history: &History,
        accounts: &[AccountId],
        name: &IdOrSlug,
    ) -> Option<(AccountId, EnvironmentId)> {
        if let Some(entry) = self.0.directory.only_environment(accounts, name) {
            return Some((entry.account_id, entry.environment_id));
        }
        let known = accounts
            .iter()
            .filter_map(|account| history.environment(Some(*account), name));
        let mut known = known.map(|known| (known.account_id, known.environment_id));
        known.next().filter(|_| known.next().is_none())
    }

    /// Logs, counts and keeps a refused upload.
    fn record(&self, state: &mut State, record: &RefusedUpload) {
        tracing::warn!(
            account_id = record.account_id.map(|id| id.0),
            token_id = %record.token_id,
            token_name = record.token_name.as_deref(),
            token_state = %record.token_state,
            environment = record.environment.as_deref(),
            environment_id = record.environment_id.map(|id| id.0),
            file = record.file.as_deref(),
            size = record.size,
            status = record.status,
            reason = record.reason,
            client = record.client.as_deref(),
            user_agent = record.user_agent.as_deref(),
            route = record.route,
            request_id = record.request_id.as_deref(),
            time = %record.time,
            "an upload was refused"
        );
        state.counter.count(record);
        state.hours.push(self.now(), record);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a token that is known was refused. The client only learns that its key does not work.
fn reason_of(history: &History, id: TokenId, state: TokenState) -> Option<String> {
    let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    match state {
        TokenState::Deleted => Some(format!("the token was deleted at {}", at(history.deleted_at(id)?))),
        TokenState::Expired => Some(format!("the token expired at {}", at(history.token(id)?.expires_at?))),
        TokenState::Inactive => Some("the account of the token is retired".to_owned()),
        TokenState::Active => None,
    }
}

/// Whether a status may mean that the token is not valid.
fn is_about_the_token(status: u16) -> bool {
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]
        .iter()
        .any(|refusal| refusal.as_u16() == status)
}
