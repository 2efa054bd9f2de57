//! Implements `dbt-api events`.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use bucket::{Bucket, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use futures_util::StreamExt;
use operator::events::{newest_events, read_back};
use operator::readable;
use projector::Selection;
use schemas::{Event, EventId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::EventsCommand;
use crate::output::Output;
use crate::selection::selection_of;
use crate::settings::Settings;

/// How often `tail` lists the journal.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How far before the last listing `tail` still looks for events, because several processes write them, each with its own clock.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);

/// The fields that people see. They can pass the id to `events show`.
const COLUMNS: &[&str] = &["time", "id", "type", "env", "files", "run", "subject"];

pub(crate) async fn run(settings: &Settings, command: EventsCommand, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    match command {
        EventsCommand::List {
            selection,
            waiting,
            limit,
        } => {
            let selection = selection_of(&bucket, &selection).await?;
            let mut left = usize::MAX;
            let mut events = match waiting {
                true => those_that_wait(settings, &bucket, &selection, limit).await?,
                false => newest_events(&bucket, &selection, limit, &mut left).await?,
            };
            events.sort_by_key(|event| (event.time, event.id));
            let lines = events.iter().skip(events.len().saturating_sub(limit)).map(Line::of);
            match output {
                Output::Json => output.many(&lines.collect::<Vec<_>>(), COLUMNS, ""),
                Output::Text => {
                    let none = match waiting {
                        true => "No matching event waits.",
                        false => "There are no matching events.",
                    };
                    output.many(&lines.map(Line::for_people).collect::<Vec<_>>(), COLUMNS, none)
                }
            }
        }
        EventsCommand::Show { event } => {
            let event = event_of(&bucket, event).await?;
            output.one(&event)
        }
        EventsCommand::Tail { selection } => {
            let selection = selection_of(&bucket, &selection).await?;
            tail(&bucket, &selection, output).await
        }
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
    /// The kinds of the files of an upload.
    files: Vec<Value>,
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
            files: data["files"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|file| file["kind"].clone())
                .collect(),
        }
    }

    /// The same with short titles.
    fn for_people(self) -> Value {
        json!({
            "time": self.time,
            "id": self.id,
            "type": self.kind,
            "env": self.environment_id,
            "files": if self.files.is_empty() { Value::Null } else { Value::Array(self.files) },
            "run": self.run_id,
            "subject": self.subject,
        })
    }
}

/// Reads the newest selected events that no projector has applied yet.
async fn those_that_wait(
    settings: &Settings,
    bucket: &Bucket,
    selection: &Selection,
    limit: usize,
) -> anyhow::Result<Vec<Event>> {
    settings.ensure_usable().await?;
    let waiting = settings.projector(read_model::SEARCH_PATH)?.waiting_events().await?;
    let (mut events, mut left) = (Vec::new(), usize::MAX);
    for (journal, ids) in waiting {
        let mut found = Vec::new();
        read_back(bucket, selection, journal, ids, limit, &mut left, &mut found).await?;
        events.extend(found);
    }
    Ok(events)
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
            match output {
                Output::Json => output.line(&Line::of(event), COLUMNS)?,
                Output::Text => output.line(&Line::of(event).for_people(), COLUMNS)?,
            }
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
