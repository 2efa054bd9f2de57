//! Sends twice the load that the service can handle for `SOAK_SECONDS` (default 20). Memory must stay flat, no accepted upload may be lost,
//! and the service must recover at once when the load ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use testkit::{System, wait_until};
use tokio::task::JoinSet;

use crate::history::pool_of;
use crate::installation::{Installation, SLUG, newest_manifest, prepare};
use crate::number;

/// One in this many requests is an upload.
const UPLOAD_EVERY: u64 = 20;

/// The number of clients that measure the capacity. More would not find more, because they share the cores with the service.
const CLIENTS: usize = 16;

/// dbt-coves waits this long.
const CLIENT: Duration = Duration::from_secs(5);

/// Counts the requests and their outcomes.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    accepted: AtomicU64,
}

impl Tally {
    fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Where and with what the clients send requests.
struct Load {
    client: Client,
    url: String,
    key: String,
    manifest: String,
    tally: Tally,
}

impl Load {
    /// Sends one request: for a page of runs, for a page of nodes, or an upload of a new manifest.
    async fn ask(&self) {
        let number = self.tally.asked.fetch_add(1, Ordering::Relaxed);
        let upload = number.is_multiple_of(UPLOAD_EVERY);
        let request = if upload {
            let invocation = format!("00000000-0000-4000-8000-{number:012x}");
            let manifest = self.manifest.replace("INVOCATION", &invocation);
            let form = Form::new()
                .text("environment_slug", SLUG)
                .text("run_id", format!("soak-{number}"))
                .part("file", Part::bytes(manifest.into_bytes()).file_name("file"));
            self.client
                .post(format!("{}/api/internal/manifests", self.url))
                .multipart(form)
        } else if number.is_multiple_of(3) {
            self.client.get(format!(
                "{}/api/v2/accounts/1/environments/1/nodes/?limit=100",
                self.url
            ))
        } else {
            self.client
                .get(format!("{}/api/v2/accounts/1/runs/?limit=100&order_by=-id", self.url))
        };
        let answer = async {
            request
                .bearer_auth(&self.key)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await
        };
        let tally = &self.tally;
        let counter = match tokio::time::timeout(CLIENT, answer).await {
            Ok(Ok(_)) => {
                if upload {
                    tally.accepted.fetch_add(1, Ordering::Relaxed);
                }
                &tally.done
            }
            Ok(Err(error)) => match error.status() {
                Some(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => &tally.refused,
                Some(status) => panic!("answered with {status}"),
                None => &tally.timed_out,
            },
            Err(_) => &tally.timed_out,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the resident memory of the process in MiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// What was seen while twice the capacity was sent.
struct Overload {
    asked: u64,
    answered: u64,
    /// The resident memory of the service in each second, in MiB.
    memory: Vec<u64>,
    ended: Instant,
}

/// Sends twice the capacity without waiting for answers. If every request is answered, the capacity was measured too low, as happens while
/// pools are cold or another process holds the cores. What was answered is then at least the capacity, and twice of that is sent.
///
/// Returns the capacity and what was seen at twice of it.
async fn overload(load: &Arc<Load>, mut capacity: f64, seconds: u64, process: u32) -> (f64, Overload) {
    for _ in 0..5 {
        let seen = send(load, 2.0 * capacity, seconds, process).await;
        if seen.answered < seen.asked {
            return (capacity, seen);
        }
        capacity = seen.answered as f64 / seconds as f64;
    }
    panic!("the service handled every request at {capacity:.0}/s, so this was not an overload")
}

/// Sends `rate` requests a second for `seconds` without waiting for answers, then waits for all answers.
async fn send(load: &Arc<Load>, rate: f64, seconds: u64, process: u32) -> Overload {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (mut requests, mut memory) = (JoinSet::new(), Vec::new());
    let before = (Tally::count(&load.tally.asked), Tally::count(&load.tally.done));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        let load = Arc::clone(load);
        requests.spawn(async move { load.ask().await });
        while let Some(ended) = requests.try_join_next() {
            ended.unwrap();
        }
        if memory.len() < usize::try_from(begun.elapsed().as_secs()).unwrap() {
            memory.push(resident(process));
        }
    }
    let ended = Instant::now();
    while let Some(ended) = requests.join_next().await {
        ended.unwrap();
    }
    Overload {
        asked: Tally::count(&load.tally.asked) - before.0,
        answered: Tally::count(&load.tally.done) - before.1,
        memory,
        ended,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_the_capacity_leaves_memory_flat_and_loses_nothing() {
    let seconds = number("SOAK_SECONDS", 20);
    let mut system = System::start().await;
    for name in ["READS_PER_MINUTE", "UPLOADS_PER_MINUTE"] {
        // The rate limit of a token is not what is tested here.
        system.variables.push((name.to_owned(), "1000000".to_owned()));
    }
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let mut manifest: serde_json::Value = serde_json::from_slice(&newest_manifest()).unwrap();
    manifest["metadata"]["invocation_id"] = "INVOCATION".into();
    let load = Arc::new(Load {
        client: Client::new(),
        url: installation.service.url.clone(),
        key: token.key.clone(),
        manifest: manifest.to_string(),
        tally: Tally::default(),
    });

    // The capacity: each client sends its next request as soon as the last was answered.
    let begun = Instant::now();
    let measured = Duration::from_secs((seconds / 10).clamp(3, 30));
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (load, done) = (Arc::clone(&load), Arc::clone(&done));
        clients.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                load.ask().await;
            }
        });
    }
    tokio::time::sleep(measured).await;
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let carried = Tally::count(&load.tally.done) as f64 / begun.elapsed().as_secs_f64();

    let (carried, overload) = overload(&load, carried, seconds, installation.service.process_id()).await;
    let Overload {
        asked,
        answered,
        memory,
        ended,
    } = overload;

    // Directly after the load.
    let begun = Instant::now();
    installation.upload_manifest(&token, "after", newest_manifest()).await;
    assert_eq!(
        installation.get(&token, "/api/v2/accounts/1/runs/?limit=100").await.0,
        200
    );
    let recovered = begun.elapsed();
    assert!(recovered < CLIENT, "{recovered:?}");
    let accepted = i64::try_from(Tally::count(&load.tally.accepted)).unwrap();
    let pool = pool_of(&installation.system);
    let shown = async || -> i64 {
        let runs = "SELECT count(*) FROM runs WHERE airflow_run_id LIKE 'soak-%'";
        sqlx::query_scalar(runs).fetch_one(&pool).await.unwrap()
    };
    let mut last = (shown().await, Instant::now());
    while last.0 < accepted {
        // A long soak leaves much to project. The test waits for as long as there is progress.
        let next = wait_until("more uploads are projected", async || {
            Some(shown().await).filter(|now| *now > last.0)
        })
        .await;
        last = (next, Instant::now());
    }
    let projected = last.1 - ended;
    let third = memory.len() / 3;
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or_default();
    let (middle, end) = (most(&memory[third..2 * third]), most(&memory[2 * third..]));
    println!(
        "capacity {carried:.0} requests/s; for {seconds} s {:.0}/s sent, {:.0}/s answered, {} refused, {} timed out at clients; {accepted} uploads \
         accepted; memory {} MiB at first, at most {middle} MiB in the middle and {end} MiB at the end; a read and an upload {recovered:?} after the \
         end, all uploads shown {projected:.1?} after it",
        asked as f64 / seconds as f64,
        answered as f64 / seconds as f64,
        Tally::count(&load.tally.refused),
        Tally::count(&load.tally.timed_out),
        memory[0],
    );
    // In the first minute, pools and buffers still fill.
    let spare = if seconds < 60 { middle / 4 + 16 } else { middle / 8 + 8 };
    assert!(end <= middle + spare, "memory grows: {memory:?}");
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}
