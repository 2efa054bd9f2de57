//! `dbt-api events`

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use bucket::{Bucket, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};
use projector::Selection;
use schemas::{Event, EventId};
use serde::Serialize;
use serde_json::Value;

use super::replay::selection_of;
use crate::args::EventsCommand;
use crate::output::Output;
use crate::settings::Settings;

/// How many events are read from the bucket at a time.
const READ_AT_ONCE: usize = 16;

/// Between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much older than the last look the events are that are looked for: several processes write, each with its own clock.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);

pub(crate) async fn run(settings: &Settings, command: EventsCommand, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    match command {
        EventsCommand::List { selection, limit } => {
            let mut events = find(&bucket, &selection_of(&selection), &HashSet::new()).await?;
            events.sort_by_key(|event| (event.time, event.id));
            let lines: Vec<Line> = events
                .iter()
                .skip(events.len().saturating_sub(limit))
                .map(Line::of)
                .collect();
            output.many(&lines, "There are no such events.")
        }
        EventsCommand::Show { event } => {
            let event = event_of(&bucket, event).await?;
            output.one(&event)
        }
        EventsCommand::Tail { selection } => tail(&bucket, &selection_of(&selection), output).await,
    }
}

/// A line of a list.
#[derive(Serialize)]
struct Line {
    time: DateTime<Utc>,
    id: EventId,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    /// What tells it from others, of uploads.
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

async fn find(bucket: &Bucket, selection: &Selection, seen: &HashSet<EventId>) -> anyhow::Result<Vec<Event>> {
    let ids = selection.find(bucket, Clock::System.now()).await?;
    let new = ids.into_iter().filter(|(_, id)| !seen.contains(id));
    let events: Vec<Event> = stream::iter(new)
        .map(|(journal, id)| bucket.get_event(journal, id))
        .buffer_unordered(READ_AT_ONCE)
        .try_filter(|event| std::future::ready(selection.matches(event)))
        .try_collect()
        .await?;
    Ok(events)
}

async fn event_of(bucket: &Bucket, id: EventId) -> anyhow::Result<Event> {
    for journal in [Journal::Uploads, Journal::Directory] {
        match bucket.get_event(journal, id).await {
            Ok(event) => return Ok(event),
            Err(error) if error.is_unavailable() => return Err(error).context("the bucket does not answer"),
            Err(_) => {}
        }
    }
    bail!("the journal has no event {id}; `dbt-api events list` lists them")
}

async fn tail(bucket: &Bucket, selection: &Selection, output: Output) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    let begin = selection.from.unwrap_or_else(|| Clock::System.now());
    let mut from = begin;
    loop {
        let now = Clock::System.now();
        let since = Selection {
            from: Some(from),
            ..selection.clone()
        };
        let mut events = find(bucket, &since, &seen).await?;
        events.sort_by_key(|event| (event.time, event.id));
        for event in &events {
            output.line(&Line::of(event))?;
        }
        seen.extend(events.iter().map(|event| event.id));
        from = begin.max(now - OVERLAP);
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
