//! `dbt-api dead-letters`

use anyhow::{Context, ensure};
use bucket::Journal;
use projector::Outcome;
use read_model::{DeadLetter, dead_letter, dead_letters, drop_dead_letter};
use schemas::EventId;
use serde_json::json;

use crate::args::DeadLettersCommand;
use crate::operator::Operator;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: DeadLettersCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        DeadLettersCommand::List { account } => {
            let letters = dead_letters(&mut *operator.connection().await?, account).await?;
            output.many(&letters, "There are no dead letters.")
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
                dead_letters(&mut *operator.connection().await?, None).await?
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
    letter.with_context(|| format!("there is no dead letter {event}; `dbt-api dead-letters list` lists them"))
}

/// Applies each; those that cannot be do not keep the others from being tried, and stay dead letters.
async fn retry(settings: &Settings, operator: &Operator, letters: &[DeadLetter], output: Output) -> anyhow::Result<()> {
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let (mut applied, mut buried, mut waiting) = (0, 0, Vec::new());
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
            Ok(Outcome::DeadLetter) => buried += 1,
            Ok(Outcome::Busy) => waiting.push(format!("{id}: another process is at it")),
            Err(error) => waiting.push(format!("{id}: {error:#}")),
        }
    }
    output.one(&json!({ "applied": applied, "dead_again": buried, "not_tried": waiting.len() }))?;
    ensure!(
        buried == 0,
        "{buried} of {} are dead letters again; `dbt-api dead-letters list` says why",
        letters.len()
    );
    ensure!(
        waiting.is_empty(),
        "{} of {} could not be tried and stay dead letters:\n  - {}",
        waiting.len(),
        letters.len(),
        waiting.join("\n  - ")
    );
    Ok(())
}
