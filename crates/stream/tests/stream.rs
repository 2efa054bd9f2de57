//! Tests publishing and consuming with a real NATS server.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::FromConsumer;
use clock::Clock;
use schemas::{Event, EventId};
use settings::Source;
use stream::{Announcer, Error, Messages, Settings, Stream};
use testkit::nats::NatsServer;
use testkit::{deletion, wait_until};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

fn event() -> Event {
    deletion(Clock::System.now())
}

async fn connected(server: &NatsServer) -> Stream {
    let settings = Source::of(&[("NATS_URL", &server.url())]).read(Settings::read).unwrap();
    let stream = Stream::connect(&settings).await.unwrap();
    answers(&stream).await;
    stream
}

async fn answers(stream: &Stream) {
    wait_until("NATS answers", async || stream.check().await.ok()).await;
}

/// Acknowledges the next event and returns its id, or `None` if none comes within a second.
async fn next(messages: &mut Messages) -> Option<EventId> {
    let message = timeout(Duration::from_secs(1), messages.next_batch(1))
        .await
        .ok()?
        .unwrap()
        .remove(0);
    message.ack().await.unwrap();
    Some(Event::from_json(message.payload()).unwrap().id)
}

#[tokio::test]
async fn an_event_reaches_one_of_all_consumers_once() {
    let server = NatsServer::start().await;
    let stream = connected(&server).await;
    let (mut one, mut other) = (stream.consume().await.unwrap(), stream.consume().await.unwrap());
    let event = event();
    // The second is dropped as a duplicate.
    stream.publish(&event).await.unwrap();
    stream.publish(&event).await.unwrap();
    let (first, second) = tokio::join!(next(&mut one), next(&mut other));
    let delivered: Vec<EventId> = first.into_iter().chain(second).collect();
    assert_eq!(delivered, [event.id]);
}

#[tokio::test]
async fn a_stream_that_cannot_be_created_is_reported() {
    let server = NatsServer::start().await;
    let settings = Source::of(&[("NATS_URL", &server.url()), ("NATS_REPLICAS", "3")]);
    let stream = Stream::connect(&settings.read(Settings::read).unwrap()).await.unwrap();
    answers(&stream).await;
    let refusal = stream.prepare().await.unwrap_err();
    assert!(
        matches!(&refusal, Error::Refused(reason) if reason.contains("replicas")),
        "{refusal}"
    );
    let checked = stream.check().await.unwrap_err();
    assert_eq!(checked.to_string(), refusal.to_string());
}

#[tokio::test]
async fn an_event_that_was_not_handled_is_delivered_again() {
    let server = NatsServer::start().await;
    let stream = connected(&server).await;
    let event = event();
    stream.publish(&event).await.unwrap();
    let mut messages = stream.consume().await.unwrap();
    let message = messages.next_batch(1).await.unwrap().remove(0);
    message.progress().await.unwrap();
    message.retry_later(Duration::from_millis(10)).await.unwrap();
    assert_eq!(next(&mut messages).await, Some(event.id));
    assert_eq!(next(&mut messages).await, None);
}

#[tokio::test]
async fn events_published_before_there_is_a_consumer_are_delivered() {
    let server = NatsServer::start().await;
    let stream = connected(&server).await;
    let events = [event(), event(), event()];
    for event in &events {
        stream.publish(event).await.unwrap();
    }
    let mut messages = stream.consume().await.unwrap();
    for event in &events {
        assert_eq!(next(&mut messages).await, Some(event.id));
    }
}

#[tokio::test]
async fn publishing_fails_fast_while_the_server_is_down_and_works_again_later() {
    let mut server = NatsServer::start().await;
    let stream = connected(&server).await;
    server.stop();
    assert!(matches!(stream.publish(&event()).await, Err(Error::Unavailable(_))));
    wait_until("the outage is noticed", async || stream.check().await.err()).await;
    server.restart().await;
    answers(&stream).await;
    let event = event();
    wait_until("the event is published", async || stream.publish(&event).await.ok()).await;
    let mut messages = stream.consume().await.unwrap();
    wait_until("the event is delivered", async || {
        (next(&mut messages).await == Some(event.id)).then_some(())
    })
    .await;
}

/// Announces events, and expects that at most the first of them waits for the stream.
async fn announce(announcer: &Announcer, events: &[Event]) {
    let begun = Instant::now();
    for event in events {
        announcer.announce(event).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(events.len() as u64 / 2));
}

/// Expects these events in this order.
async fn expect(stream: &Stream, events: &[Event]) {
    let mut messages = stream.consume().await.unwrap();
    let mut delivered = Vec::new();
    wait_until("the events are delivered", async || {
        delivered.extend(next(&mut messages).await);
        (delivered.len() >= events.len()).then_some(())
    })
    .await;
    let expected: Vec<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(delivered, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_did_not_take_is_announced_once_it_does() {
    let mut server = NatsServer::start().await;
    let stream = connected(&server).await;
    let announcer = Announcer::new(stream.clone());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(announcer.clone().run(shutdown.clone()));
    drop(stream.consume().await.unwrap());
    let events: Vec<Event> = (0..20).map(|_| event()).collect();

    server.stop();
    announce(&announcer, &events).await;
    server.restart().await;
    answers(&stream).await;
    expect(&stream, &events).await;

    // Connected, but without an answer, as during an election.
    let events: Vec<Event> = (0..20).map(|_| event()).collect();
    server.pause();
    announce(&announcer, &events).await;
    server.resume();
    answers(&stream).await;
    expect(&stream, &events).await;

    // The end does not wait for the stream.
    server.stop();
    announcer.announce(&event()).await;
    shutdown.cancel();
    timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_that_is_too_large_does_not_delay_others() {
    let server = NatsServer::start().await;
    let stream = connected(&server).await;
    let announcer = Announcer::new(stream.clone());
    tokio::spawn(announcer.clone().run(CancellationToken::new()));
    let (mut large, small) = (event(), event());
    large.data = serde_json::value::to_raw_value(&"x".repeat(2 * 1024 * 1024)).unwrap();
    assert!(matches!(stream.publish(&large).await, Err(Error::TooLarge(_))));
    server.pause();
    announcer.announce(&event()).await;
    announcer.announce(&large).await;
    announcer.announce(&small).await;
    server.resume();
    let mut messages = stream.consume().await.unwrap();
    wait_until("the small event is delivered", async || {
        (next(&mut messages).await == Some(small.id)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_lost_its_data_gets_a_new_stream() {
    let mut server = NatsServer::start().await;
    let stream = connected(&server).await;
    stream.publish(&event()).await.unwrap();
    server.stop();
    server.wipe();
    server.restart().await;
    answers(&stream).await;
    let event = event();
    wait_until("the event is published", async || stream.publish(&event).await.ok()).await;
    assert_eq!(next(&mut stream.consume().await.unwrap()).await, Some(event.id));
}

#[tokio::test]
async fn what_an_operator_changed_on_the_stream_is_kept() {
    let server = NatsServer::start().await;
    let stream = connected(&server).await;
    drop(stream.consume().await.unwrap());
    let operator = async_nats::connect(server.url()).await.unwrap();
    let operator = async_nats::jetstream::new(operator);
    let mut changed = operator
        .get_stream("DBT_EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    changed.max_bytes = 1 << 30;
    changed.max_age = Duration::from_secs(7 * 24 * 60 * 60);
    changed.description = Some("of the operator".to_owned());
    operator.update_stream(&changed).await.unwrap();
    let consumer = async || {
        let stream = operator.get_stream("DBT_EVENTS").await.unwrap();
        stream.consumer_info("projector").await.unwrap().config
    };
    let mut of_consumer = consumer().await;
    of_consumer.max_ack_pending = 20_000;
    of_consumer.description = Some("of the operator".to_owned());
    let stream_of_operator = operator.get_stream("DBT_EVENTS").await.unwrap();
    let pull = async_nats::jetstream::consumer::pull::Config::try_from_consumer_config(of_consumer.clone()).unwrap();
    stream_of_operator.update_consumer(pull).await.unwrap();

    let mut messages = stream.consume().await.unwrap();
    let config = async || {
        operator
            .get_stream("DBT_EVENTS")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone()
    };
    assert_eq!(config().await, changed);
    assert_eq!(consumer().await.max_ack_pending, 20_000);
    // What dbt-api needs is made good again.
    let mut broken = changed.clone();
    broken.duplicate_window = Duration::from_secs(1);
    operator.update_stream(&broken).await.unwrap();
    drop(stream.consume().await.unwrap());
    assert_eq!(config().await, changed);
    let event = event();
    stream.publish(&event).await.unwrap();
    assert_eq!(next(&mut messages).await, Some(event.id));
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_not_used() {
    service::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nats",
        ])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=CA:FALSE",
        ])
        .args(["-keyout", &file("key.pem"), "-out", &file("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let arguments = ["--tls", "--tlscert", &file("cert.pem"), "--tlskey", &file("key.pem")];
    let server = NatsServer::start_with(&arguments).await;
    let url = server.url().replace("nats://", "tls://");
    let connect = async |root: &str| {
        let source = Source::of(&[("NATS_URL", &url), ("NATS_ROOT_CERT", root)]);
        let settings = source.read(Settings::read).unwrap();
        Stream::connect(&settings).await.unwrap()
    };
    let trusting = connect(&file("cert.pem")).await;
    answers(&trusting).await;
    let event = event();
    trusting.publish(&event).await.unwrap();
    let mut messages = trusting.consume().await.unwrap();
    assert_eq!(next(&mut messages).await, Some(event.id));

    let distrusting = connect("").await;
    assert!(matches!(distrusting.publish(&event).await, Err(Error::Unavailable(_))));
}
