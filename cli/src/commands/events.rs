//! Implements `dbt-api events`.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use bucket::{Bucket, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use futures_util::StreamExt;
use projector::Selection;
use schemas::{Event, EventId};
use serde::Serialize;
use serde_json::Value;

use super::replay::selection_of;
use crate::args::EventsCommand;
use crate::output::Output;
use crate::settings::Settings;

/// The fewest events that are read together.
const MIN_PART: usize = 16;

/// The most events that are read together.
const MAX_PART: usize = 4_096;

/// How often `tail` lists the journal.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How far before the last listing `tail` still looks for events, because several processes write them, each with its own clock.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);

pub(crate) async fn run(settings: &Settings, command: EventsCommand, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    match command {
        EventsCommand::List { selection, limit } => {
            let mut events = newest(&bucket, &selection_of(&selection), limit).await?;
            events.sort_by_key(|event| (event.time, event.id));
            let lines: Vec<Line> = events
                .iter()
                .skip(events.len().saturating_sub(limit))
                .map(Line::of)
                .collect();
            output.many(&lines, "There are no matching events.")
        }
        EventsCommand::Show { event } => {
            let event = event_of(&bucket, event).await?;
            output.one(&event)
        }
        EventsCommand::Tail { selection } => tail(&bucket, &selection_of(&selection), output).await,
    }
}

/// An event as a line of the list.
#[derive(Serialize)]
struct Line {
    time: DateTime<Utc>,
    id: EventId,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    /// The environment of an upload; null for other events.
    environment_id: Value,
    run_id: Value,
}

impl Line {
    fn of(event: &Event) -> Self {
        let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
        Self {
            time: event.time,
            id: event.id,
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            environment_id: data["environment_id"].clone(),
            run_id: data["run_id"].clone(),
        }
    }
}

/// Reads the newest selected events, at most `limit` from each part of the journal. Older events are not read.
async fn newest(bucket: &Bucket, selection: &Selection, limit: usize) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    for journal in selection.journals() {
        let mut found = Vec::new();
        match journal {
            Journal::Directory => {
                let ids = bucket.list_directory_events().await?;
                read_back(bucket, selection, *journal, ids, limit, &mut found).await?;
            }
            Journal::Uploads => {
                let mut hours = selection.hours_back(bucket);
                while found.len() < limit
                    && let Some((_, ids)) = hours.next().await?
                {
                    read_back(bucket, selection, *journal, ids, limit, &mut found).await?;
                }
            }
        }
        events.extend(found);
    }
    Ok(events)
}

/// Reads events from the last to the first, until `limit` selected ones have been found.
async fn read_back(
    bucket: &Bucket,
    selection: &Selection,
    journal: Journal,
    mut ids: Vec<EventId>,
    limit: usize,
    found: &mut Vec<Event>,
) -> anyhow::Result<()> {
    ids.retain(|id| selection.may_mean(*id));
    ids.reverse();
    // No more are read than are wanted, unless only few of them are selected.
    let mut part = limit.clamp(MIN_PART, MAX_PART);
    let mut rest = ids.as_slice();
    while !rest.is_empty() && found.len() < limit {
        let (next, others) = rest.split_at(part.min(rest.len()));
        let mut events = bucket.read_events(journal, next.to_vec());
        while found.len() < limit
            && let Some((id, event)) = events.next().await
        {
            found.extend(readable(id, event)?.filter(|event| selection.matches(event)));
        }
        rest = others;
        part = (part * 2).min(MAX_PART);
    }
    Ok(())
}

/// Returns no event if it is unreadable, so that the other events are still shown.
fn readable(id: EventId, event: Result<Event, bucket::Error>) -> anyhow::Result<Option<Event>> {
    match event {
        Ok(event) => Ok(Some(event)),
        Err(error) if error.is_unavailable() => Err(error).context("the bucket is unavailable"),
        Err(error) => {
            tracing::warn!(event_id = %id, %error, "skipped an unreadable event in the journal");
            Ok(None)
        }
    }
}

async fn event_of(bucket: &Bucket, id: EventId) -> anyhow::Result<Event> {
    for journal in [Journal::Uploads, Journal::Directory] {
        match bucket.get_event(journal, id).await {
            Ok(event) => return Ok(event),
            Err(error) if error.is_unavailable() => return Err(error).context("the bucket is unavailable"),
            Err(_) => {}
        }
    }
    bail!("unknown event `{id}`: `dbt-api events list` lists the events in the journal")
}

async fn tail(bucket: &Bucket, selection: &Selection, output: Output) -> anyhow::Result<()> {
    // All events that were read, shown or not, so that none is read twice.
    let mut seen = HashSet::new();
    let begin = selection.from.unwrap_or_else(|| Clock::System.now());
    let mut since = Selection {
        from: Some(begin),
        ..selection.clone()
    };
    loop {
        let now = Clock::System.now();
        let mut events: Vec<Event> = Vec::new();
        for journal in since.journals() {
            let mut ids = match journal {
                Journal::Directory => bucket.list_directory_events().await?,
                Journal::Uploads => {
                    let (mut ids, mut hours) = (Vec::new(), since.hours_back(bucket));
                    while let Some((_, of_hour)) = hours.next().await? {
                        ids.extend(of_hour);
                    }
                    ids.sort_unstable();
                    ids
                }
            };
            ids.retain(|id| since.may_mean(*id) && seen.insert(*id));
            let mut read = bucket.read_events(*journal, ids);
            while let Some((id, event)) = read.next().await {
                events.extend(readable(id, event)?.filter(|event| since.matches(event)));
            }
        }
        events.sort_by_key(|event| (event.time, event.id));
        for event in &events {
            output.line(&Line::of(event))?;
        }
        since.from = Some(begin.max(now - OVERLAP));
        // Older events are no longer listed, so they need not be remembered.
        seen.retain(|id| since.may_mean(*id));
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}
