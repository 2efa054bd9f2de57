//! Implements `dbt-api dead-letters`.

use anyhow::{Context, ensure};
use bucket::Journal;
use operator::Operator;
use projector::Outcome;
use read_model::dead_letters::{DeadLetter, dead_letter, dead_letters, drop_dead_letter};
use schemas::EventId;
use serde_json::json;

use crate::args::DeadLettersCommand;
use crate::output::Output;
use crate::settings::Settings;

/// Commands list and retry all of them.
const NO_LIMIT: i64 = i64::MAX;

pub(crate) async fn run(settings: &Settings, command: DeadLettersCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        DeadLettersCommand::List { account } => {
            let letters = dead_letters(&mut *operator.connection().await?, account, NO_LIMIT).await?;
            output.many(
                &letters,
                &["event_id", "cause", "event_time"],
                "There are no dead letters.",
            )
        }
        DeadLettersCommand::Show { event } => {
            let letter = letter_of(&operator, event).await?;
            let event = operator
                .bucket
                .get_event(Journal::of_type(&letter.event_type), event)
                .await?;
            output.one(&json!({ "dead_letter": letter, "event": event }))
        }
        DeadLettersCommand::Drop { events } => {
            for event in &events {
                letter_of(&operator, *event).await?;
            }
            for event in &events {
                drop_dead_letter(&mut *operator.connection().await?, *event).await?;
            }
            output.one(&json!({ "dropped": events.len() }))
        }
        DeadLettersCommand::Retry { events, all } => {
            let letters = if all {
                dead_letters(&mut *operator.connection().await?, None, NO_LIMIT).await?
            } else {
                let mut letters = Vec::new();
                for event in events {
                    letters.push(letter_of(&operator, event).await?);
                }
                letters
            };
            retry(settings, &operator, &letters, output).await
        }
    }
}

async fn letter_of(operator: &Operator, event: EventId) -> anyhow::Result<DeadLetter> {
    let letter = dead_letter(&mut *operator.connection().await?, event).await?;
    letter.with_context(|| format!("unknown dead letter `{event}`: `dbt-api dead-letters list` lists all dead letters"))
}

/// Applies each dead letter. Those that cannot be applied remain dead letters, and do not stop the others from being tried.
async fn retry(settings: &Settings, operator: &Operator, letters: &[DeadLetter], output: Output) -> anyhow::Result<()> {
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let (mut applied, mut dead_again, mut not_tried) = (0, 0, Vec::new());
    for letter in letters {
        let id = EventId(letter.event_id);
        let event = operator
            .bucket
            .get_event(Journal::of_type(&letter.event_type), id)
            .await;
        let outcome = match event {
            Ok(event) => projector.retry(&event).await.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(Outcome::Applied | Outcome::Known) => applied += 1,
            Ok(Outcome::DeadLetter) => dead_again += 1,
            Ok(Outcome::Busy) => not_tried.push(format!("{id}: another process is applying it")),
            Err(error) => not_tried.push(format!("{id}: {error:#}")),
        }
    }
    output.one(&json!({ "applied": applied, "dead_again": dead_again, "not_tried": not_tried.len() }))?;
    ensure!(
        dead_again == 0,
        "{dead_again} of {} are dead letters again: `dbt-api dead-letters list` says why",
        letters.len()
    );
    ensure!(
        not_tried.is_empty(),
        "{} of {} could not be tried and remain dead letters:\n  - {}",
        not_tried.len(),
        letters.len(),
        not_tried.join("\n  - ")
    );
    Ok(())
}
