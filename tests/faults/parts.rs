//! Servers that stop, hang or lose their data, and full disks.

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use testkit::{Gate, Passage, Service, wait_until};

use crate::history::{Dice, pool_of};
use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepared};

/// The client of dbt-coves waits this long.
const CLIENT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_accepted_while_postgres_hangs_or_is_stopped() {
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
async fn no_upload_is_lost_when_nats_loses_its_data() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    wait_until("the stream exists", async || {
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
    // The stream and its consumer exist again and deliver: an upload that is applied this fast did not come from the sweep.
    wait_until("the stream delivers again", async || {
        let begun = Instant::now();
        let run = format!("{begun:?}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        wait_until("the upload is applied", async || {
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
async fn a_full_disk_is_reported_and_leaves_nothing_half_written() {
    let system = prepared().await;
    // No file may be larger than 256 KiB. Writing beyond that fails, as on a full disk.
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

    // With enough space again, uploads succeed.
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
