//! Processes are killed with `kill -9` at any moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testkit::{Service, System, run_command, wait_until};

use crate::history::{Dice, pool_of};
use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepared};
use crate::number;

#[tokio::test(flavor = "multi_thread")]
async fn each_accepted_upload_is_shown_once_after_any_process_is_killed() {
    let mut system = prepared().await;
    // The port must stay the same, because the clients know it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    system.variables.push(("PORT".to_owned(), port.to_string()));
    let token = {
        let installation = Installation::of(system, "ingest").await;
        let token = installation.token("1", "read,upload", &[]);
        system = installation.system;
        token
    };
    let url = format!("http://127.0.0.1:{port}/api/internal/manifests");
    let done = Arc::new(AtomicBool::new(false));
    let uploaders = (0..4).map(|uploader| {
        let (url, key, done) = (url.clone(), token.key.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let client = Client::new();
            let (mut accepted, mut number) = (Vec::new(), 0);
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let run_id = format!("run-{uploader}-{number}");
                let form = Form::new()
                    .text("environment_slug", SLUG)
                    .text("run_id", run_id.clone())
                    .part("file", Part::bytes(newest_manifest()).file_name("file"));
                // dbt-coves does not retry either.
                let sent = client
                    .post(&url)
                    .bearer_auth(&key)
                    .multipart(form)
                    .timeout(Duration::from_secs(5));
                match sent.send().await {
                    Ok(answer) if answer.status().is_success() => accepted.push(run_id),
                    _ => tokio::task::yield_now().await,
                }
            }
            accepted
        })
    });
    let uploaders: Vec<_> = uploaders.collect();

    let mut running: BTreeMap<&str, Service> = BTreeMap::new();
    let mut dice = Dice::new(number("FAULTS_SEED", 5));
    let mut kills = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(number("FAULTS_SECONDS", 15)) {
        for role in ["ingest", "projector", "api"] {
            if !running.contains_key(role) {
                running.insert(role, start(role, &mut system).await);
            }
        }
        // This does not wait for a condition: the moment of the kill should vary.
        tokio::time::sleep(Duration::from_millis(100 + dice.roll(900))).await;
        match dice.roll(8) {
            0 | 1 => kill(&mut running, "ingest"),
            2 | 3 => kill(&mut running, "projector"),
            4 => kill(&mut running, "api"),
            5 => {
                // Like a crash of PostgreSQL: everything that is not committed is undone.
                system.database.close().await;
                system.database.open().await;
            }
            _ => {
                system.nats.stop();
                system.nats.restart().await;
            }
        }
        kills += 1;
    }
    done.store(true, Ordering::Relaxed);
    let mut accepted = Vec::new();
    for uploader in uploaders {
        accepted.extend(uploader.await.unwrap());
    }
    drop(running);
    assert!(
        kills >= 5 && accepted.len() > 20,
        "{kills} kills, {} accepted",
        accepted.len()
    );

    // Two more projectors take over the work of the killed ones.
    let _projectors = [
        start("projector", &mut system).await,
        start("projector", &mut system).await,
    ];
    let pool = pool_of(&system);
    wait_until("each accepted upload is shown once", async || {
        let shown: Vec<(String, i64)> = sqlx::query_as(
            "SELECT r.airflow_run_id, count(a.event_id) FROM runs r JOIN artifacts a ON a.run_id = r.id GROUP BY r.id, 1",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        let shown: BTreeMap<String, i64> = shown.into_iter().collect();
        accepted.iter().all(|run| shown.get(run) == Some(&1)).then_some(())
    })
    .await;
    let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(letters, 0);
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    println!("{kills} kills, {} uploads accepted, each shown once", accepted.len());
}

/// Starts a role. Only ingest has the port that the clients know; the others listen on any port.
async fn start(role: &str, system: &mut System) -> Service {
    if role == "ingest" {
        return Service::start(BINARY, role, system).await;
    }
    let port = system.variables.pop().unwrap();
    let service = Service::start(BINARY, role, system).await;
    system.variables.push(port);
    service
}

fn kill(running: &mut BTreeMap<&str, Service>, role: &str) {
    if let Some(service) = running.remove(role) {
        service.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_its_projector_becomes_a_dead_letter_and_blocks_nothing() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    // Larger than the memory that the projector will be allowed.
    let mut huge = br#"{"metadata":{},"macros":{},"nodes":{"model.a.b":{"resource_type":"model","raw_code":""#.to_vec();
    huge.resize(700 << 20, b'x');
    huge.extend(br#""}}}"#);
    installation.upload_manifest(&token, "huge", huge).await;
    installation.upload_manifest(&token, "small", newest_manifest()).await;

    let mut deaths = 0;
    let mut projector = limited_projector(&installation.system).await;
    loop {
        let is_dead_letter = wait_until("the projector dies, or the event is a dead letter", async || {
            if installation.count("SELECT count(*) FROM dead_letters").await == 1 {
                return Some(true);
            }
            projector.has_ended().then_some(false)
        })
        .await;
        if is_dead_letter {
            break;
        }
        deaths += 1;
        assert!(deaths <= 5, "{deaths} deaths");
        projector = limited_projector(&installation.system).await;
    }
    assert!(deaths >= 4, "{deaths} deaths");
    wait_until("the other upload is shown", async || {
        (installation
            .count("SELECT count(*) FROM runs WHERE airflow_run_id = 'small'")
            .await
            == 1)
            .then_some(())
    })
    .await;
    let letters = installation.command(&["dead-letters", "list"]);
    assert!(
        letters[0]["cause"].as_str().unwrap().contains("kill its projector"),
        "{letters}"
    );
    let id = letters[0]["event_id"].as_str().unwrap();
    assert_eq!(installation.command(&["dead-letters", "drop", id])["dropped"], 1);
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
    // Even a projector with enough memory does not apply the dropped event.
    let _roomy = Service::start(BINARY, "projector", &installation.system).await;
    installation.upload_manifest(&token, "another", newest_manifest()).await;
    wait_until("the next upload is shown", async || {
        (installation
            .count("SELECT count(*) FROM runs WHERE airflow_run_id = 'another'")
            .await
            == 1)
            .then_some(())
    })
    .await;
    assert_eq!(
        installation
            .count("SELECT count(*) FROM runs WHERE airflow_run_id = 'huge'")
            .await,
        0
    );
}

/// Starts a projector that may use 700 MB of address space.
async fn limited_projector(system: &System) -> Service {
    Service::start_limited(BINARY, "projector", "-v 700000", system).await
}
