//! Parts that are away.

use reqwest::{Client, StatusCode};
use testkit::{Service, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn what_nats_does_not_carry_the_sweep_finds() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.system.nats.stop();
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    // The next sweep is up to 30 s away.
    installation.run_with_total(&token, "1", 1).await;
    let ready = installation
        .client
        .get(format!("{}/healthz/ready", installation.service.url))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(ready["status"], "degraded");
    assert_eq!(ready["parts"]["stream"]["status"], "away");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_run_apart_and_stop_when_told() {
    let system = prepared().await;
    let ingest = Service::start(BINARY, "ingest", &system).await;
    let projector = Service::start(BINARY, "projector", &system).await;
    let api = Service::start(BINARY, "api", &system).await;
    let client = Client::new();
    for service in [&ingest, &projector, &api] {
        wait_until("the role is ready", async || {
            let ready = client.get(format!("{}/healthz/ready", service.url)).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
        let metrics = client.get(format!("{}/metrics", service.url)).send().await.unwrap();
        assert_eq!(metrics.status(), StatusCode::OK);
    }
    let mut installation = Installation {
        service: ingest,
        system,
        client,
    };
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let ingest = std::mem::replace(&mut installation.service, api);
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(ingest.stop().await, Some(0));
    assert_eq!(projector.stop().await, Some(0));
    assert_eq!(installation.service.stop().await, Some(0));
}
