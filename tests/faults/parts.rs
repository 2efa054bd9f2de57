//! Servers that stop, hang or lose their data, and disks that are full.

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use testkit::{Gate, Passage, Service, wait_until};

use crate::history::{Dice, pool_of};
use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepared};

/// The client of dbt-coves waits this long.
const CLIENT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_hangs_or_is_stopped_turns_no_upload_away() {
    let mut system = prepared().await;
    let gate = Gate::before(system.database.address()).await;
    let through = system.database.url_through(&gate.address);
    system.variables.push(("DB_URL".to_owned(), through));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;

    for (number, passage) in [Passage::Closed, Passage::Silent].into_iter().enumerate() {
        gate.set(passage);
        for upload in 0..3 {
            let begun = Instant::now();
            let run = format!("{passage:?}-{upload}");
            installation.upload_manifest(&token, &run, newest_manifest()).await;
            assert!(begun.elapsed() < CLIENT, "{passage:?}: {:?}", begun.elapsed());
        }
        let url = format!("{}/api/v2/accounts/1/runs/", installation.service.url);
        let read = installation
            .client
            .get(url)
            .bearer_auth(&token.key)
            .send()
            .await
            .unwrap();
        assert_eq!(read.status(), 503, "{passage:?}");
        assert!(read.headers().contains_key("retry-after"));
        gate.set(Passage::Open);
        installation
            .run_with_total(&token, "1", 1 + 3 * (i64::try_from(number).unwrap() + 1))
            .await;
    }
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_that_loses_its_data_loses_no_upload() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    wait_until("the stream is there", async || {
        (installation.readiness().await["status"] == "ready").then_some(())
    })
    .await;
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;

    installation.system.nats.stop();
    installation
        .upload_manifest(&token, "while it is stopped", newest_manifest())
        .await;
    installation.system.nats.wipe();
    installation.system.nats.restart().await;
    installation
        .upload_manifest(&token, "after the wipe", newest_manifest())
        .await;
    let begun = Instant::now();
    installation.run_with_total(&token, "1", 3).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // The stream and its consumer are there again, and carry: what is applied at once was not swept.
    wait_until("the stream carries again", async || {
        let begun = Instant::now();
        let run = format!("{begun:?}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        wait_until("it is applied", async || {
            let count = "SELECT count(*) FROM runs WHERE airflow_run_id = $1";
            let shown: i64 = sqlx::query_scalar(count)
                .bind(&run)
                .fetch_one(&pool_of(&installation.system))
                .await
                .unwrap();
            (shown == 1).then_some(())
        })
        .await;
        (begun.elapsed() < Duration::from_secs(3)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_is_said_and_leaves_nothing_half_done() {
    let system = prepared().await;
    // No file may be larger than 256 KiB: what is beyond it cannot be written, as on a full disk.
    let service = Service::start_limited(BINARY, "serve", "-f 256", &system).await;
    let installation = Installation {
        service,
        system,
        client: reqwest::Client::new(),
    };
    let token = installation.token("1", "read,upload", &[]);
    let mut large: serde_json::Value = serde_json::from_slice(&newest_manifest()).unwrap();
    let mut dice = Dice::new(3);
    let noise: String = (0..4 << 20)
        .map(|_| char::from(b'!' + u8::try_from(dice.roll(90)).unwrap()))
        .collect();
    large["noise"] = noise.into();
    let form = || {
        Form::new().text("environment_slug", SLUG).text("run_id", "large").part(
            "file",
            Part::bytes(serde_json::to_vec(&large).unwrap()).file_name("file"),
        )
    };
    let (status, answer) = installation.upload(&token, form()).await;
    assert_eq!(status, 503, "{answer}");
    installation.upload_manifest(&token, "small", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let artifacts = walk(&installation.system.storage().join("artifacts"));
    assert_eq!(artifacts.len(), 1, "{artifacts:?}");

    // With room again, all goes.
    assert_eq!(installation.service.stop().await, Some(0));
    let installation = Installation::of(installation.system, "serve").await;
    let (status, answer) = installation.upload(&token, form()).await;
    assert_eq!(status, 201, "{answer}");
    installation.run_with_total(&token, "1", 2).await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files
}
