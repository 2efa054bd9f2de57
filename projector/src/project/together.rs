//! Projects events that only add something, for any number of accounts, in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use read_model::airflow::{Observation, insert_observations};
use read_model::artifacts::insert_artifacts;
use read_model::files::{DeletedBy, delete_files, insert_files};
use read_model::journal::{
    Generation, add_to_ledger, generations, lock_account_alone, lock_accounts, lock_contents, share_read_model,
};
use read_model::placement::lock_placement;
use read_model::prune::pruned_of;
use schemas::{AccountId, EnvironmentId, Event, EventId};
use sqlx::PgConnection;

use super::member::{Data, Member};
use super::{Applied, Projected, prune};
use crate::change::Change;
use crate::content::{self, ContentKey, Contents, FileWaits, Reading, Ready, Unread};
use crate::growth;
use crate::lock_waits::LockWaits;
use crate::outcome::Outcome;
use crate::placement::{self, ObservedRun, Parents, Placing};
use crate::{ApplyError, Projector};

/// The maximum size of the new files of a batch, in bytes as uploaded.
const MAX_BYTES: u64 = 32 << 20;

/// An event with more bytes of new files is applied alone.
const LARGE: u64 = 16 << 20;

/// The limit of [`LockWaits::Limited`]. After it, the events are split, so that an account whose lock others hold for long, because they write
/// a large manifest, does not keep the other accounts waiting.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(3);

/// Events to apply in one transaction.
pub(super) struct Together {
    reading: Reading,
    waits: LockWaits,
    /// How long the files of a single event are waited for.
    files: FileWaits,
    members: Vec<Member>,
    /// The events that cannot be read.
    rejected: Applied,
}

impl Together {
    /// Returns the events whose files were not waited for, and the others.
    fn split_late(&self, unread: &BTreeMap<ContentKey, Unread>, contents: &Contents) -> (Vec<EventId>, Vec<&Member>) {
        let (mut late, mut others) = (Vec::new(), Vec::new());
        for member in &self.members {
            let mut keys = member.contents();
            if keys.any(|key| unread.contains_key(&key) && !contents.contains_key(&key)) {
                late.push(member.event.id);
            } else {
                others.push(member);
            }
        }
        (late, others)
    }

    pub(super) fn of(events: &[Event], reading: Reading, waits: LockWaits, files: FileWaits) -> Self {
        let (mut members, mut rejected) = (Vec::new(), Vec::new());
        for event in events {
            match Member::of(event) {
                Ok(member) => members.push(member),
                Err(error) => rejected.push((event.id, Err(error))),
            }
        }
        Self {
            reading,
            waits,
            files,
            members,
            rejected,
        }
    }

    fn accounts(&self) -> Vec<AccountId> {
        sorted(self.members.iter().map(|member| member.account))
    }
}

fn sorted<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.collect::<BTreeSet<T>>().into_iter().collect()
}

/// What was found before the transaction, which must still be the same in it.
struct Before {
    accounts: Vec<AccountId>,
    generations: Vec<Generation>,
    pruned: HashSet<EventId>,
}

impl Projector {
    /// Returns `None` if data of the accounts was removed, or the read model was replaced, after the check of what has to be read.
    pub(super) async fn project_together(
        &self,
        connection: &mut PgConnection,
        together: &Together,
    ) -> Result<Option<Projected>, ApplyError> {
        let accounts = together.accounts();
        let ids: Vec<EventId> = together.members.iter().map(|member| member.event.id).collect();
        let before = Before {
            generations: generations(connection, &accounts).await?,
            pruned: pruned_of(connection, &ids).await?,
            accounts,
        };
        let is_read = |member: &&Member| !before.pruned.contains(&member.event.id);
        let read = together.members.iter().filter(is_read).filter_map(Member::uploaded);
        let unread = content::unread(connection, read, together.reading).await?;
        let parts = parts_too_large(&together.members, &unread);
        if !parts.is_empty() {
            return Ok(Some(Projected::TooLarge { parts }));
        }
        let memory = content::reserve(self, unread.values().map(Unread::size).sum()).await?;
        let waits = match together.members.len() {
            1 => together.files,
            _ => FileWaits::AfterFirst,
        };
        let contents = content::read_all(self, unread.clone(), waits).await;
        let (late, members) = together.split_late(&unread, &contents);
        let rows = growth::rows_of(&contents);
        let applied = self.write(connection, together, &before, members, contents).await?;
        drop(memory);
        if applied.is_some() {
            self.growth.note(rows);
        }
        Ok(applied.map(|applied| Projected::Done { applied, late }))
    }

    /// Applies the events whose files were read.
    async fn write(
        &self,
        connection: &mut PgConnection,
        together: &Together,
        before: &Before,
        mut members: Vec<&Member>,
        contents: Contents,
    ) -> Result<Option<Applied>, ApplyError> {
        let mut applied = together.rejected.clone();
        members.retain(|member| {
            let mut failures = member.contents().filter_map(|key| contents.get(&key)?.as_ref().err());
            let failure = failures.next();
            applied.extend(failure.map(|error| (member.event.id, Err(error.clone()))));
            failure.is_none()
        });
        if members.is_empty() {
            return Ok(Some(applied));
        }
        let mut change = Change::begin(connection).await?;
        let new = match self.add_new(&mut change, together, before, &members, contents).await {
            Ok(Some(new)) => new,
            other => {
                change.revert().await;
                return other.map(|_| None);
            }
        };
        members.retain(|member| {
            let is_new = new.contains(&member.event.id);
            if !is_new {
                applied.push((member.event.id, Ok(Outcome::Known)));
            }
            is_new
        });
        if members.is_empty() {
            change.revert().await;
            return Ok(Some(applied));
        }
        let accounts = sorted(members.iter().map(|member| member.account));
        let ids: Vec<EventId> = members.iter().map(|member| member.event.id).collect();
        change.commit(&ids, &accounts).await?;
        for member in members {
            let (event, account) = (&member.event, member.account);
            let lag = (self.clock.now() - event.time).as_seconds_f64();
            metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
            tracing::info!(event_id = %event.id, account_id = %account, kind = event.kind, lag, "applied");
            applied.push((event.id, Ok(Outcome::Applied)));
        }
        Ok(Some(applied))
    }

    /// Adds the events that were not applied before, and returns them. Returns `None` without adding anything in the same cases as
    /// [`Projector::project_together`].
    async fn add_new(
        &self,
        change: &mut Change<'_>,
        together: &Together,
        before: &Before,
        members: &[&Member],
        mut contents: Contents,
    ) -> Result<Option<HashSet<EventId>>, ApplyError> {
        let limit = (together.waits == LockWaits::Limited).then_some(MAX_LOCK_WAIT);
        share_read_model(change, limit)
            .await
            .map_err(ApplyError::of_common_lock)?;
        match together.reading {
            Reading::WhatIsNew => lock_accounts(change, &before.accounts).await?,
            Reading::Everything => lock_account_alone(change, members[0].account).await?,
        }
        if generations(change, &before.accounts).await? != before.generations {
            return Ok(None);
        }
        if together.reading == Reading::Everything {
            for member in members {
                let pruned = before.pruned.contains(&member.event.id);
                prune::forget_upload(change, member.account, member.event.id, pruned).await?;
            }
        }
        let ids: Vec<(AccountId, EventId)> = members.iter().map(|member| (member.account, member.event.id)).collect();
        let new = add_to_ledger(change, &ids).await?;
        let members: Vec<&Member> = members
            .iter()
            .filter(|member| new.contains(&member.event.id))
            .copied()
            .collect();
        if !members.is_empty() {
            let needed: HashSet<ContentKey> = members.iter().flat_map(|member| member.contents()).collect();
            contents.retain(|key, _| needed.contains(key));
            self.add(change, together, before, &members, contents).await?;
        }
        Ok(Some(new))
    }

    /// Adds the rows of the events. Locks are taken kind by kind, each in the order of the ids.
    async fn add(
        &self,
        change: &mut Change<'_>,
        together: &Together,
        before: &Before,
        members: &[&Member],
        contents: Contents,
    ) -> Result<(), ApplyError> {
        let mut placing = Placing::new(together.reading, together.waits);
        let (mut stored_files, mut deletions, mut observations) = (Vec::new(), Vec::new(), Vec::new());
        let mut environments: BTreeMap<EnvironmentId, Parents> = BTreeMap::new();
        for member in members {
            environments.extend(member.parents().map(|parents| (parents.environment, parents)));
            match &member.data {
                Data::Upload { artifacts, stored } => {
                    stored_files.extend(stored.clone());
                    placing.uploads.extend(artifacts.clone());
                }
                Data::Deletion(deleted) => deletions.push(DeletedBy {
                    event: member.event.id,
                    time: member.event.time,
                    deleted: deleted.clone(),
                }),
                Data::Observation(observed) => {
                    let observation = Observation::of_event(member.event.id, member.event.time, observed);
                    observations.push((observed, observation));
                }
            }
        }
        for uploaded in &mut placing.uploads {
            for artifact in &mut uploaded.artifacts {
                artifact.pruned = before.pruned.contains(&artifact.event_id);
            }
        }
        insert_files(change, &stored_files).await?;
        delete_files(change, &deletions).await?;
        write_contents(change, &environments, contents, together.reading).await?;
        insert_artifacts(change, &placing.uploads).await?;
        let effects = insert_observations(change, &observations).await?;
        for ((observed, observation), effect) in observations.iter().zip(effects) {
            placing.observations.push(ObservedRun {
                environment: observed.environment_id,
                key: observation.key(),
                observed: effect,
            });
        }
        placing.environments = environments;
        placement::assign(change, &self.bucket, placing).await
    }
}

/// Writes contents, and locks the environments.
async fn write_contents(
    change: &mut Change<'_>,
    environments: &BTreeMap<EnvironmentId, Parents>,
    contents: Contents,
    reading: Reading,
) -> Result<(), ApplyError> {
    let mut ready = Ready::from_contents(contents)?;
    let accounts = ready.accounts();
    if !accounts.is_empty() {
        lock_contents(change, &accounts).await?;
        ready.write_of_accounts(change, reading).await?;
    }
    // Later, because writing manifests and catalogs may take long.
    let environments: Vec<EnvironmentId> = environments.keys().copied().collect();
    if !environments.is_empty() {
        lock_placement(change, &environments).await?;
        ready.write_results(change).await?;
    }
    Ok(())
}

/// Returns the events that must not be read together with those before them. A large event is a part of its own.
fn parts_too_large(members: &[Member], unread: &BTreeMap<ContentKey, Unread>) -> HashSet<EventId> {
    let mut parts = HashSet::new();
    let (mut bytes, mut seen, mut is_after_large) = (0_u64, HashSet::new(), false);
    for (count, member) in members.iter().enumerate() {
        let new = member.contents().filter_map(|key| {
            let size = unread.get(&key)?.size();
            seen.insert(key).then_some(size)
        });
        let own: u64 = new.fold(0, u64::saturating_add);
        let is_large = own > LARGE;
        let begins = is_large || is_after_large || bytes.saturating_add(own) > MAX_BYTES;
        if begins && count > 0 {
            parts.insert(member.event.id);
            bytes = 0;
        }
        bytes = bytes.saturating_add(own);
        is_after_large = is_large;
    }
    parts
}
