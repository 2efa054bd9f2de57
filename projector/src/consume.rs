//! Applies the events that the stream delivers.

use std::time::Duration;

use schemas::Event;
use stream::{Message, Messages, Stream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Outcome, Projector, trace};

/// The maximum number of events that are applied at the same time. Memory is limited separately by size, so this only limits connections.
const AT_ONCE: usize = 4;

/// The pause between two attempts while something is unavailable. Meanwhile, no more events are taken from the stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the stream is informed that an event is still being applied. This is well below the 30 s after which it would deliver the
/// event again.
const PROGRESS: Duration = Duration::from_secs(10);

/// Applies events from the stream until the shutdown.
pub(crate) async fn run(projector: &Projector, stream: &Stream, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        let ended = match stream.consume().await {
            Ok(mut messages) => take(projector, &mut messages, shutdown).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "cannot receive events from NATS; the sweep finds them in the meantime");
            pause(shutdown).await;
        }
    }
}

async fn take(
    projector: &Projector,
    messages: &mut Messages,
    shutdown: &CancellationToken,
) -> Result<(), stream::Error> {
    let mut tasks = JoinSet::new();
    let result = loop {
        while tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        let message = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            message = messages.next() => message,
        };
        match message {
            Ok(message) => {
                let (projector, shutdown) = (projector.clone(), shutdown.clone());
                tasks.spawn(async move { handle(&projector, &message, &shutdown).await });
            }
            Err(error) => break Err(error),
        }
    };
    while tasks.join_next().await.is_some() {}
    result
}

/// Applies the event of one message in the trace that the message names.
async fn handle(projector: &Projector, message: &Message, shutdown: &CancellationToken) {
    let event = match Event::from_json(message.payload()) {
        Ok(event) => event,
        Err(error) => {
            // The journal contains every accepted event, and the sweep applies it, so nothing is lost by skipping this message.
            tracing::error!(%error, "the stream delivered a message that is not an event");
            acknowledge(message).await;
            return;
        }
    };
    let span = trace::span_of(&event);
    traces::continue_from(&span, |name| message.header(name));
    settle(projector, message, &event, shutdown).instrument(span).await;
}

/// Applies one event, waiting as long as necessary for what is unavailable, and acknowledges it.
async fn settle(projector: &Projector, message: &Message, event: &Event, shutdown: &CancellationToken) {
    let mut is_waiting = false;
    loop {
        let applied = {
            let work = projector.apply(event);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    result = &mut work => break result,
                    () = tokio::time::sleep(PROGRESS) => report_progress(message).await,
                }
            }
        };
        match applied {
            Ok(Outcome::Busy) => {
                // The event is delivered again in case the other projector dies. Until then, other events take its slot.
                if let Err(error) = message.retry_later(PROGRESS).await {
                    tracing::debug!(%error, "could not return an event to the stream");
                }
                return;
            }
            Ok(Outcome::Applied | Outcome::Known | Outcome::DeadLetter) => {
                acknowledge(message).await;
                return;
            }
            Err(error) => {
                if !is_waiting {
                    tracing::warn!(event_id = %event.id, %error, "cannot apply an event yet; trying again");
                    is_waiting = true;
                }
                report_progress(message).await;
                pause(shutdown).await;
                if shutdown.is_cancelled() {
                    return;
                }
            }
        }
    }
}

async fn acknowledge(message: &Message) {
    if let Err(error) = message.ack().await {
        // The event is delivered again and then found in the ledger.
        tracing::debug!(%error, "could not acknowledge an event");
    }
}

async fn report_progress(message: &Message) {
    if let Err(error) = message.progress().await {
        tracing::debug!(%error, "could not report progress to NATS");
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
