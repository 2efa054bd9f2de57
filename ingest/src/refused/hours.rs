//! The refused uploads of the last hours in memory, until they are written. Their number and size are bounded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bucket::RefusedUpload;
use bytes::Bytes;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use schemas::TokenId;

/// How many records an hour keeps.
const MAX_RECORDS: usize = 1_000;

/// How many records of one token an hour keeps, so that a client that tries again and again does not displace the others.
const MAX_OF_TOKEN: usize = 250;

/// How many tokens have an own count of what is not kept of them.
const MAX_COUNTED: usize = 1_000;

/// How many bytes of records an hour keeps.
const MAX_BYTES: usize = 1 << 20;

/// How often an hour is written at most, if only the number of those that are not kept has changed.
const COUNTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// How many hours wait for the bucket.
const MAX_HOURS: usize = 4;

/// The hours that are not written yet, and the last one, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Hours(VecDeque<Hour>);

#[derive(Debug)]
struct Hour {
    begin: DateTime<Utc>,
    /// Each as JSON, with its token.
    records: Vec<(TokenId, String)>,
    bytes: usize,
    of_tokens: HashMap<TokenId, usize>,
    not_kept: u64,
    not_kept_of: BTreeMap<TokenId, u64>,
    /// How many records were added, also those that were given up later.
    added: u64,
    /// How many of the changes were written.
    written: u64,
    /// How many of the added records were written, and when.
    written_added: u64,
    written_at: Option<DateTime<Utc>>,
}

/// An hour to write.
pub(super) struct Unwritten {
    pub(super) hour: DateTime<Utc>,
    pub(super) json: Bytes,
    /// How many changes are in it.
    changes: u64,
    added: u64,
}

impl Hour {
    fn must_be_written(&self, now: DateTime<Utc>, is_end: bool) -> bool {
        let is_late = self.written_at.is_none_or(|at| now - at >= COUNTED_EVERY);
        let is_over = now - self.begin >= TimeDelta::hours(1);
        self.written_added < self.added || (self.written < self.changes() && (is_late || is_over || is_end))
    }

    fn changes(&self) -> u64 {
        self.records.len() as u64 + self.not_kept
    }

    fn push(&mut self, record: &RefusedUpload) {
        let token = record.token_id;
        let json = serde_json::to_string(record).ok();
        match json.filter(|json| self.make_room(token, json.len())) {
            Some(json) => {
                *self.of_tokens.entry(token).or_default() += 1;
                self.bytes += json.len();
                self.records.push((token, json));
                self.added += 1;
            }
            None => self.leave_out(Some(token)),
        }
    }

    /// Whether there is room for a record of this token. If the hour is full, the token with the most records gives up its last ones, as long as
    /// it keeps as many as this token has then.
    fn make_room(&mut self, token: TokenId, size: usize) -> bool {
        let of_token = self.of_tokens.get(&token).copied().unwrap_or_default();
        if of_token == MAX_OF_TOKEN {
            return false;
        }
        while self.records.len() == MAX_RECORDS || self.bytes + size > MAX_BYTES {
            let most = self.of_tokens.iter().max_by_key(|(_, count)| **count);
            let Some((&loudest, _)) = most.filter(|(_, count)| **count > of_token + 1) else {
                return false;
            };
            self.give_up_last_of(loudest);
        }
        true
    }

    fn give_up_last_of(&mut self, token: TokenId) {
        if let Some(last) = self.records.iter().rposition(|(of, _)| *of == token) {
            let (_, json) = self.records.remove(last);
            self.bytes -= json.len();
        }
        if let Some(count) = self.of_tokens.get_mut(&token) {
            *count -= 1;
        }
        self.leave_out(Some(token));
    }

    fn leave_out(&mut self, token: Option<TokenId>) {
        self.not_kept += 1;
        if let Some(token) = token
            && (self.not_kept_of.len() < MAX_COUNTED || self.not_kept_of.contains_key(&token))
        {
            *self.not_kept_of.entry(token).or_default() += 1;
        }
    }

    fn json(&self) -> String {
        let records: Vec<&str> = self.records.iter().map(|(_, json)| json.as_str()).collect();
        let of_tokens = serde_json::to_string(&self.not_kept_of).unwrap_or_else(|_| "{}".to_owned());
        format!(
            "{{\"not_kept\":{},\"not_kept_of\":{of_tokens},\"records\":[\n{}\n]}}\n",
            self.not_kept,
            records.join(",\n")
        )
    }
}

impl Hours {
    /// Adds a record to the hour of `now`.
    pub(super) fn push(&mut self, now: DateTime<Utc>, record: &RefusedUpload) {
        self.at(now).push(record);
    }

    /// Counts an upload that is not kept.
    pub(super) fn leave_out(&mut self, now: DateTime<Utc>, token: Option<TokenId>) {
        self.at(now).leave_out(token);
    }

    /// Returns the hour of `now`. An hour that was once written completely never comes back, because it would overwrite its object.
    fn at(&mut self, now: DateTime<Utc>) -> &mut Hour {
        let begin = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let is_new = self.0.back().is_none_or(|last| last.begin < begin);
        if is_new {
            self.0.retain(|hour| hour.written < hour.changes());
            if self.0.len() == MAX_HOURS
                && let Some(lost) = self.0.pop_front()
            {
                let (records, hour) = (lost.records.len(), lost.begin);
                tracing::warn!(records, %hour, "refused uploads of an hour are lost, because the bucket does not take them");
            }
            self.0.push_back(Hour {
                begin,
                records: Vec::new(),
                bytes: 0,
                of_tokens: HashMap::new(),
                not_kept: 0,
                not_kept_of: BTreeMap::new(),
                added: 0,
                written: 0,
                written_added: 0,
                written_at: None,
            });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Returns the hours that changed since they were written. A change of what is only counted waits for a while, unless it is the end.
    pub(super) fn unwritten(&self, now: DateTime<Utc>, is_end: bool) -> Vec<Unwritten> {
        let changed = self.0.iter().filter(|hour| hour.must_be_written(now, is_end));
        changed
            .map(|hour| Unwritten {
                hour: hour.begin,
                json: hour.json().into(),
                changes: hour.changes(),
                added: hour.added,
            })
            .collect()
    }

    /// Takes note that an hour was written.
    pub(super) fn written(&mut self, written: &Unwritten, now: DateTime<Utc>) {
        for hour in &mut self.0 {
            if hour.begin == written.hour {
                hour.written = written.changes;
                hour.written_added = written.added;
                hour.written_at = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bucket::RefusedOfHour;
    use schemas::TokenState;
    use uuid::Uuid;

    use super::*;

    fn record(token: u128, reason: &str) -> RefusedUpload {
        RefusedUpload {
            time: DateTime::default(),
            status: 422,
            account_id: None,
            token_id: TokenId(Uuid::from_u128(token)),
            token_name: None,
            token_state: TokenState::Active,
            environment: None,
            environment_id: None,
            file: None,
            size: 0,
            reason: reason.to_owned(),
            client: None,
            user_agent: None,
            route: "POST /manifests".to_owned(),
            request_id: None,
        }
    }

    fn read(hours: &Hours) -> Vec<RefusedOfHour> {
        let unwritten = hours.unwritten(DateTime::default(), true);
        assert!(
            unwritten
                .iter()
                .all(|hour| hour.json.len() < MAX_BYTES + MAX_RECORDS * 2 + MAX_COUNTED * 60 + 100)
        );
        let read = unwritten.iter().map(|hour| serde_json::from_slice(&hour.json).unwrap());
        read.collect()
    }

    #[test]
    fn an_hour_is_bounded() {
        let now = DateTime::default();
        let mut hours = Hours::default();
        for number in 0..1_500 {
            hours.push(now, &record(number / 250, "short"));
        }
        let [hour] = &read(&hours)[..] else { panic!("one hour") };
        assert_eq!((hour.records.len(), hour.not_kept), (1_000, 500));
        // Those that came first gave way to the others.
        let token = |number| TokenId(Uuid::from_u128(number));
        for number in 0..6 {
            let kept = hour.records.iter().filter(|record| record.token_id == token(number));
            let kept = kept.count() as u64;
            assert!((166..=167).contains(&kept), "{kept}");
            assert_eq!(kept + hour.not_kept_of[&token(number)], 250);
        }

        let mut hours = Hours::default();
        for _ in 0..300 {
            hours.push(now, &record(1, "a token that tries again and again"));
        }
        hours.push(now, &record(2, "another"));
        hours.leave_out(now, None);
        let [hour] = &read(&hours)[..] else { panic!("one hour") };
        assert_eq!((hour.records.len(), hour.not_kept), (251, 51));
        assert_eq!(hour.records[250], record(2, "another"));
        assert_eq!(hour.not_kept_of, [(token(1), 50)].into());

        let mut hours = Hours::default();
        for number in 0..1_000 {
            hours.push(now, &record(number, &"\\u{1b}".repeat(500)));
        }
        let [hour] = &read(&hours)[..] else { panic!("one hour") };
        assert!((200..400).contains(&hour.records.len()), "{}", hour.records.len());
        assert_eq!(hour.records.len() as u64 + hour.not_kept, 1_000);
    }

    #[test]
    fn hours_wait_for_the_bucket_but_not_forever() {
        let now = |hour: i64| DateTime::<Utc>::default() + TimeDelta::hours(hour) + TimeDelta::minutes(7);
        let mut hours = Hours::default();
        for hour in 0..10 {
            hours.push(now(hour), &record(1, &hour.to_string()));
        }
        let waiting = read(&hours);
        assert_eq!(waiting.len(), MAX_HOURS);
        assert_eq!(waiting[0].records[0].reason, "6");
        for unwritten in hours.unwritten(now(9), false) {
            hours.written(&unwritten, now(9));
        }
        assert!(hours.unwritten(now(9), true).is_empty());
        // What is only counted waits for a minute.
        hours.leave_out(now(9), None);
        assert!(hours.unwritten(now(9), false).is_empty());
        assert_eq!(hours.unwritten(now(9) + COUNTED_EVERY, false).len(), 1);
        assert_eq!(hours.unwritten(now(9), true).len(), 1);

        // More of the last hour, which was already written, is added to it; so is what a clock that goes back adds.
        hours.push(now(9), &record(1, "more"));
        hours.push(now(3), &record(1, "back"));
        let reasons = |hours: &Hours| -> Vec<Vec<String>> {
            let read = read(hours).into_iter();
            read.map(|hour| hour.records.into_iter().map(|record| record.reason).collect())
                .collect()
        };
        assert_eq!(reasons(&hours), [["9", "more", "back"]]);
        // A change during the write is written later.
        let unwritten = hours.unwritten(now(9), true);
        hours.push(now(10), &record(1, "10"));
        hours.written(&unwritten[0], now(10));
        assert_eq!(reasons(&hours), [["10"]]);
    }
}
