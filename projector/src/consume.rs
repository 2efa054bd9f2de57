//! Applies the events that the stream delivers.

use std::time::Duration;

use futures_util::future::join_all;
use schemas::Event;
use stream::{HEARTBEAT, Message, Messages, Stream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::batch::MAX_EVENTS;
use crate::{Outcome, Projector, trace};

/// The number of batches that are applied at the same time: one is written while the files of the other are read.
const AT_ONCE: usize = 2;

/// The pause between two attempts while something is unavailable. Meanwhile, no more events are taken from the stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How often events are tried before they go back to the stream, if none of a delivery can be applied. There are only two slots, so files of
/// one account that cannot be read must not take them forever.
const TRIES: u32 = 10;

/// How often the stream is informed that an event is still being applied. This is well below the 30 s after which it would deliver the
/// event again.
const PROGRESS: Duration = Duration::from_secs(10);

/// How long nothing may fail until the stream is trusted again: in this time, it would be noticed that the server is gone.
const TRUSTED_AFTER: Duration = HEARTBEAT.saturating_mul(3);

/// Applies events from the stream until the shutdown. `hearing` says whether the stream delivers them, as far as is known.
pub(crate) async fn run(
    projector: &Projector,
    stream: &Stream,
    hearing: &watch::Sender<bool>,
    shutdown: &CancellationToken,
) {
    while !shutdown.is_cancelled() {
        let ended = match stream.consume().await {
            Ok(mut messages) => take(projector, &mut messages, hearing, shutdown).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "cannot receive events from NATS; the sweep finds them in the meantime");
            hearing.send_replace(false);
            pause(shutdown).await;
        }
    }
}

async fn take(
    projector: &Projector,
    messages: &mut Messages,
    hearing: &watch::Sender<bool>,
    shutdown: &CancellationToken,
) -> Result<(), stream::Error> {
    let mut tasks = JoinSet::new();
    let result = loop {
        while tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        let batch = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            batch = messages.next_batch(MAX_EVENTS) => batch,
            () = tokio::time::sleep(TRUSTED_AFTER), if !*hearing.borrow() => {
                hearing.send_replace(true);
                continue;
            }
        };
        match batch {
            Ok(batch) => {
                let (projector, shutdown) = (projector.clone(), shutdown.clone());
                tasks.spawn(async move { handle(&projector, batch, &shutdown).await });
            }
            Err(error) => break Err(error),
        }
    };
    while tasks.join_next().await.is_some() {}
    result
}

/// A message with its event, and the event's span in the trace that the message names.
struct Delivery {
    message: Message,
    event: Event,
    span: Span,
}

/// Applies the events of messages.
async fn handle(projector: &Projector, messages: Vec<Message>, shutdown: &CancellationToken) {
    let mut deliveries = Vec::new();
    for message in messages {
        match Event::from_json(message.payload()) {
            Ok(event) => {
                let span = trace::span_of(&event);
                traces::continue_from(&span, |name| message.header(name));
                deliveries.push(Delivery { message, event, span });
            }
            Err(error) => {
                // The journal contains every accepted event, and the sweep applies it, so nothing is lost by skipping this message.
                tracing::error!(%error, "the stream delivered a message that is not an event");
                acknowledge(&message).await;
            }
        }
    }
    settle(projector, deliveries, shutdown).await;
}

/// Applies events and acknowledges them. Those that cannot be applied go back to the stream, so that others are not kept waiting: at once if
/// others of them were applied, or else after some tries, because usually nothing at all can be applied then.
async fn settle(projector: &Projector, mut deliveries: Vec<Delivery>, shutdown: &CancellationToken) {
    let (mut is_waiting, mut tries) = (false, 0);
    while !deliveries.is_empty() {
        tries += 1;
        let results = {
            let events: Vec<Event> = deliveries.iter().map(|delivery| delivery.event.clone()).collect();
            let span = deliveries[0].span.clone();
            let work = async { projector.apply_all(&events).await }.instrument(span);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    results = &mut work => break results,
                    () = tokio::time::sleep(PROGRESS) => report_progress(&deliveries).await,
                }
            }
        };
        let mut waiting = Vec::new();
        let mut ended = Vec::new();
        for (delivery, result) in deliveries.into_iter().zip(results) {
            trace::mark(&delivery.span, &result);
            match result {
                Ok(outcome) => ended.push((delivery, outcome)),
                Err(error) => {
                    if !is_waiting {
                        tracing::warn!(event_id = %delivery.event.id, %error, "cannot apply an event yet; trying again");
                        is_waiting = true;
                    }
                    waiting.push(delivery);
                }
            }
        }
        join_all(ended.iter().map(|(delivery, outcome)| end(delivery, *outcome))).await;
        if !ended.is_empty() || tries == TRIES {
            join_all(waiting.iter().map(|delivery| give_back(&delivery.message))).await;
            return;
        }
        deliveries = waiting;
        if !deliveries.is_empty() {
            report_progress(&deliveries).await;
            pause(shutdown).await;
            if shutdown.is_cancelled() {
                return;
            }
        }
    }
}

/// Answers the stream after an event was applied, or while another projector applies it.
async fn end(delivery: &Delivery, outcome: Outcome) {
    match outcome {
        // The event is delivered again in case the other projector dies. Until then, other events take its slot.
        Outcome::Busy => give_back(&delivery.message).await,
        Outcome::Applied | Outcome::Known | Outcome::DeadLetter => acknowledge(&delivery.message).await,
    }
}

/// Has an event delivered again later.
async fn give_back(message: &Message) {
    if let Err(error) = message.retry_later(PROGRESS).await {
        tracing::debug!(%error, "cannot return an event to the stream");
    }
}

async fn acknowledge(message: &Message) {
    if let Err(error) = message.ack().await {
        // The event is delivered again and then found in the ledger.
        tracing::debug!(%error, "cannot acknowledge an event");
    }
}

async fn report_progress(deliveries: &[Delivery]) {
    let reports = join_all(deliveries.iter().map(|delivery| delivery.message.progress())).await;
    for error in reports.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "cannot report progress to NATS");
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
