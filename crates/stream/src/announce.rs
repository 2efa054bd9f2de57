//! Announces events without waiting for a stream that takes none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use schemas::Event;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::publish::Outgoing;
use crate::{Error, Stream};

/// The most events that wait for the stream. The projectors' sweep finds the others.
const MAX_EVENTS: usize = 10_000;

/// The most bytes of the events that wait.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The pause between two attempts while the stream takes nothing.
const PAUSE: Duration = Duration::from_millis(250);

/// How many events are sent before the first of them is acknowledged, once the stream takes events again.
const AT_ONCE: usize = 256;

/// How long the last attempt takes before the process ends.
const LAST_ATTEMPT: Duration = Duration::from_secs(2);

/// Publishes events. While the stream takes none, they wait in memory, and a task publishes them as soon as it does. Cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    stream: Stream,
    queue: Arc<Mutex<Queue>>,
    added: Arc<Notify>,
}

/// The events that wait, by the order in which they were accepted.
#[derive(Default)]
struct Queue {
    last: u64,
    waiting: BTreeMap<u64, Outgoing>,
    bytes: usize,
}

impl Announcer {
    /// Creates an announcer. The caller must also run [`Announcer::run`].
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        metrics::gauge!("dbt_api_announcements_waiting").set(0.0);
        Self {
            stream,
            queue: Arc::default(),
            added: Arc::default(),
        }
    }

    /// Publishes an event, or leaves that to the task. It waits for the stream at most a second, and not at all while other events wait. An event
    /// that cannot be announced is in the journal, where the projectors' sweep finds it.
    pub async fn announce(&self, event: &Event) {
        if let Err(error) = self.publish_or_keep(event).await {
            tracing::warn!(event_id = %event.id, %error, "cannot announce an event; the projectors' sweep will find it");
        }
    }

    async fn publish_or_keep(&self, event: &Event) -> Result<(), Error> {
        let outgoing = Outgoing::of(event)?;
        let (number, others_wait) = self.queue().begin();
        if !others_wait {
            match self.publish(&outgoing).await {
                Err(error) if error.is_temporary() => {
                    tracing::warn!(%error, "cannot announce an event; trying again, together with the next ones");
                }
                result => return result,
            }
        }
        self.queue().add(number, outgoing)?;
        self.added.notify_one();
        Ok(())
    }

    /// Publishes an event if the client is connected.
    async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error> {
        self.stream.ensure_connected()?;
        self.stream.send(outgoing).await
    }

    /// Publishes what waits, until the shutdown. [`Announcer::finish`] publishes the last events.
    pub async fn run(self, shutdown: CancellationToken) {
        let publishing = async {
            loop {
                self.added.notified().await;
                while let Err(error) = self.publish_waiting().await {
                    tracing::debug!(%error, "cannot announce the events that wait");
                    sleep(PAUSE).await;
                }
                tracing::info!("NATS takes events again; none waits any longer");
            }
        };
        shutdown.run_until_cancelled(publishing).await;
    }

    /// Tries once to publish what waits, after the last event was accepted.
    pub async fn finish(self) {
        if !matches!(timeout(LAST_ATTEMPT, self.publish_waiting()).await, Ok(Ok(()))) {
            let waiting = self.queue().waiting.len();
            tracing::warn!(
                waiting,
                "NATS takes no events; the projectors' sweep will find those that wait"
            );
        }
    }

    /// Publishes what waits, the oldest first and at first alone, until nothing waits.
    async fn publish_waiting(&self) -> Result<(), Error> {
        let mut at_once = 1;
        loop {
            let oldest = self.queue().oldest(at_once);
            if oldest.is_empty() {
                return Ok(());
            }
            let mut results = iter(oldest)
                .map(|(number, outgoing)| async move { (number, self.publish(&outgoing).await) })
                .buffered(at_once);
            while let Some((number, result)) = results.next().await {
                match result {
                    Err(Error::Refused(cause)) if self.others_are_taken(number).await => {
                        tracing::warn!(cause, "NATS refuses an event; the projectors' sweep will find it");
                    }
                    Err(error) if error.is_temporary() => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, "cannot announce an event; the projectors' sweep will find it")
                    }
                    Ok(()) => {}
                }
                self.queue().remove(number);
            }
            at_once = AT_ONCE;
        }
    }

    /// Whether the next event is taken, so that the one with this number must not block it.
    async fn others_are_taken(&self, number: u64) -> bool {
        let next = self.queue().after(number);
        match next {
            Some((next, outgoing)) if self.publish(&outgoing).await.is_ok() => {
                self.queue().remove(next);
                true
            }
            _ => false,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Returns the place of a new event, and whether others wait.
    fn begin(&mut self) -> (u64, bool) {
        self.last += 1;
        (self.last, !self.waiting.is_empty())
    }

    fn add(&mut self, number: u64, outgoing: Outgoing) -> Result<(), Error> {
        let bytes = self.bytes + outgoing.size();
        if self.waiting.len() == MAX_EVENTS || bytes > MAX_BYTES {
            return Err(Error::TooManyWait);
        }
        self.bytes = bytes;
        self.waiting.insert(number, outgoing);
        self.show();
        Ok(())
    }

    fn oldest(&self, most: usize) -> Vec<(u64, Outgoing)> {
        let oldest = self.waiting.iter().take(most);
        oldest.map(|(number, outgoing)| (*number, outgoing.clone())).collect()
    }

    fn after(&self, number: u64) -> Option<(u64, Outgoing)> {
        let (next, outgoing) = self.waiting.range(number + 1..).next()?;
        Some((*next, outgoing.clone()))
    }

    fn remove(&mut self, number: u64) {
        if let Some(outgoing) = self.waiting.remove(&number) {
            self.bytes -= outgoing.size();
        }
        self.show();
    }

    fn show(&self) {
        metrics::gauge!("dbt_api_announcements_waiting").set(self.waiting.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use clock::Clock;
    use testkit::deletion;

    use super::*;

    #[test]
    fn the_queue_is_bounded_and_keeps_the_order_of_acceptance() {
        let outgoing = Outgoing::of(&deletion(Clock::System.now())).unwrap();
        let mut queue = Queue::default();
        let (first, others_wait) = queue.begin();
        assert!(!others_wait);
        let (second, _) = queue.begin();
        // The first one has waited for the stream, and comes later.
        queue.add(second, outgoing.clone()).unwrap();
        queue.add(first, outgoing.clone()).unwrap();
        let numbers: Vec<u64> = queue.oldest(9).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [first, second]);
        assert!(queue.begin().1);
        for _ in 2..MAX_EVENTS {
            let (number, _) = queue.begin();
            queue.add(number, outgoing.clone()).unwrap();
        }
        let (number, _) = queue.begin();
        assert!(matches!(queue.add(number, outgoing.clone()), Err(Error::TooManyWait)));
        queue.remove(first);
        queue.add(number, outgoing.clone()).unwrap();
        assert_eq!(queue.bytes, MAX_EVENTS * outgoing.size());
    }
}
