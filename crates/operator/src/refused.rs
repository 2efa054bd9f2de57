//! Uploads that were refused.

use std::cmp::Reverse;
use std::collections::HashMap;

use bucket::{Bucket, RefusedObject, RefusedOfHour, RefusedUpload};
use chrono::{DateTime, TimeDelta, Utc};
use directory::History;
use schemas::{AccountId, TokenId};
use serde::Serialize;

/// How many tokens are named whose refused uploads were only counted.
const MAX_TOKENS: usize = 5;

/// How far [`refused_by_token`] looks back.
const PERIOD: TimeDelta = TimeDelta::hours(24);

/// The newest refused uploads.
#[derive(Debug, Default)]
pub struct Refused {
    /// The uploads, the oldest first.
    pub uploads: Vec<RefusedUpload>,
    /// Those that were only counted in the hours that were read, wanted or not.
    pub not_kept: NotKept,
}

/// The refused uploads that were only counted.
#[derive(Debug, Default)]
pub struct NotKept {
    /// How many there were.
    pub count: u64,
    /// How many of them were of each token, as far as that was counted.
    pub of_tokens: HashMap<TokenId, u64>,
}

impl NotKept {
    fn add(&mut self, hour: &RefusedOfHour) {
        self.count += hour.not_kept;
        for (token, count) in &hour.not_kept_of {
            *self.of_tokens.entry(*token).or_default() += count;
        }
    }

    /// Says how many there are, and of which tokens most.
    #[must_use]
    pub fn describe(&self, history: &History) -> Option<String> {
        let count = self.count;
        let mut most: Vec<_> = self.of_tokens.iter().collect();
        most.sort_by_key(|(token, count)| (Reverse(**count), **token));
        let most = most.into_iter().take(MAX_TOKENS).map(|(token, count)| {
            let name = history.token(*token).map(|token| token.issued.name());
            format!("{count} of {} ({token})", name.unwrap_or("a token of Datacoves"))
        });
        let mut text = format!(
            "In these hours, {count} more refused uploads of any account were only counted: there were too many to keep."
        );
        let most = most.collect::<Vec<_>>().join(", ");
        if !most.is_empty() {
            text = format!("{text} Most were of these tokens: {most}.");
        }
        (count > 0).then_some(text)
    }
}

/// Returns at most this many of the newest refused uploads that are wanted, since the first and before the second of two times, if they are given.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub async fn newest_refused(
    bucket: &Bucket,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    limit: usize,
    is_wanted: impl Fn(&RefusedUpload) -> bool,
) -> anyhow::Result<Refused> {
    let (mut found, mut hour) = (Refused::default(), None);
    for object in bucket.list_refused(from).await? {
        // What is answered at the end of an hour may be recorded in the next.
        if to.is_some_and(|to| object.hour > to + TimeDelta::minutes(1)) {
            continue;
        }
        // Those of an hour belong together: each process has an object of its own.
        if found.uploads.len() >= limit && hour != Some(object.hour) {
            break;
        }
        hour = Some(object.hour);
        let read = read(bucket, &object).await?;
        found.not_kept.add(&read);
        let wanted = |record: &RefusedUpload| {
            from.is_none_or(|from| record.time >= from) && to.is_none_or(|to| record.time < to) && is_wanted(record)
        };
        found.uploads.extend(read.records.into_iter().filter(wanted));
    }
    found.uploads.sort_by_key(|record| record.time);
    let too_many = found.uploads.len().saturating_sub(limit);
    found.uploads.drain(..too_many);
    Ok(found)
}

/// Reads an object. One that was removed meanwhile or is unreadable has no records.
async fn read(bucket: &Bucket, object: &RefusedObject) -> anyhow::Result<RefusedOfHour> {
    match bucket.read_refused(object).await {
        Ok(read) => Ok(read.unwrap_or_default()),
        Err(error) if error.is_unavailable() => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "skipped refused uploads that cannot be read");
            Ok(RefusedOfHour::default())
        }
    }
}

/// The refused uploads of a token.
#[derive(Debug, Serialize)]
pub struct RefusedOfToken {
    /// The token's account.
    pub account_id: Option<AccountId>,
    /// The id of the token.
    pub token_id: TokenId,
    /// Its display name.
    pub token_name: Option<String>,
    /// How many there were, also those that were only counted.
    pub refused: u64,
    /// When one was last refused.
    pub last_at: DateTime<Utc>,
    /// The status of that answer.
    pub last_status: u16,
    /// The message of that answer.
    pub last_reason: String,
}

/// Returns the refused uploads of the last 24 hours by token, the token that was refused last at the end.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub async fn refused_by_token(bucket: &Bucket, now: DateTime<Utc>) -> anyhow::Result<Vec<RefusedOfToken>> {
    let from = now - PERIOD;
    let mut by_token: HashMap<TokenId, (u64, RefusedUpload)> = HashMap::new();
    let mut not_kept = NotKept::default();
    for object in bucket.list_refused(Some(from)).await? {
        let read = read(bucket, &object).await?;
        not_kept.add(&read);
        for record in read.records.into_iter().filter(|record| record.time >= from) {
            let (count, last) = by_token.entry(record.token_id).or_insert_with(|| (0, record.clone()));
            *count += 1;
            if last.time < record.time {
                *last = record;
            }
        }
    }
    let mut tokens: Vec<_> = by_token.into_values().collect();
    tokens.sort_by_key(|(_, last)| last.time);
    let tokens = tokens.into_iter().map(|(kept, last)| RefusedOfToken {
        account_id: last.account_id,
        token_id: last.token_id,
        token_name: last.token_name,
        refused: kept + not_kept.of_tokens.get(&last.token_id).copied().unwrap_or_default(),
        last_at: last.time,
        last_status: last.status,
        last_reason: last.reason,
    });
    Ok(tokens.collect())
}
