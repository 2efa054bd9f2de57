//! Events as the stream brings them.

use std::time::Duration;

use schemas::Event;
use stream::{Message, Messages, Stream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Outcome, Projector};

/// How many events are worked upon at once. What bounds the work is memory, which is admitted by bytes; this only bounds the connections.
const AT_ONCE: usize = 4;

/// Between two tries while something is away. Meanwhile nothing more is taken from the stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the stream is told that the work upon an event goes on; well below the 30 s after which it would give it to another.
const PROGRESS: Duration = Duration::from_secs(10);

/// Takes events from the stream until the shutdown.
pub(crate) async fn run(projector: &Projector, stream: &Stream, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        let ended = match stream.consume().await {
            Ok(mut messages) => take(projector, &mut messages, shutdown).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "NATS does not bring events; the sweep finds them meanwhile");
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

/// Applies one event, however long what it needs is away, and acknowledges it.
async fn handle(projector: &Projector, message: &Message, shutdown: &CancellationToken) {
    let event = match Event::from_json(message.payload()) {
        Ok(event) => event,
        Err(error) => {
            // The journal holds what was accepted, and the sweep applies it: nothing is lost by letting this go.
            tracing::error!(%error, "the stream brought something that is no event");
            acknowledge(message).await;
            return;
        }
    };
    let mut away = false;
    loop {
        let applied = {
            let work = projector.apply(&event);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    result = &mut work => break result,
                    () = tokio::time::sleep(PROGRESS) => tell_progress(message).await,
                }
            }
        };
        match applied {
            Ok(Outcome::Busy) => {
                // Brought again, in case that the other dies; till then others have this one's place.
                if let Err(error) = message.retry_later(PROGRESS).await {
                    tracing::debug!(%error, "an event could not be given back");
                }
                return;
            }
            Ok(Outcome::Applied | Outcome::Known | Outcome::Buried) => {
                acknowledge(message).await;
                return;
            }
            Err(error) => {
                if !away {
                    tracing::warn!(event_id = %event.id, %error, "an event waits for what it needs");
                    away = true;
                }
                tell_progress(message).await;
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
        // It is brought again, and then found in the ledger.
        tracing::debug!(%error, "an event could not be acknowledged");
    }
}

async fn tell_progress(message: &Message) {
    if let Err(error) = message.progress().await {
        tracing::debug!(%error, "NATS could not be told of progress");
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
