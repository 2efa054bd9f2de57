//! Wrong clocks, and files that were stored long ago.

use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use serde_json::{Value, json};

use super::{A, Environment, build, manifest};
use crate::import::{key_of_run, put};
use crate::installation::SLUG;

fn at(time: DateTime<Utc>, mut file: Value) -> Value {
    let time = json!(time.to_rfc3339());
    file["metadata"]["generated_at"] = time.clone();
    for result in file["results"].as_array_mut().into_iter().flatten() {
        result["timing"] = json!([{"name": "execute", "started_at": time, "completed_at": time}]);
    }
    file
}

fn described(text: &str) -> Value {
    manifest(0, &[(A, json!({"description": text, "compiled_code": text}))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_five_minutes_fast_blocks_nothing() {
    let mut environment = Environment::start().await;
    let ahead = Clock::System.now() + TimeDelta::minutes(5);
    environment.send("fast", &at(ahead, described("of the fast one"))).await;
    environment.send("fast", &at(ahead, build(0, &[(A, "error")]))).await;
    let now = Clock::System.now();
    environment.send("right", &at(now, described("of the right one"))).await;
    environment.send("right", &at(now, build(0, &[(A, "success")]))).await;
    let node = environment.node(A).await;
    assert_eq!(
        (
            &node["node"]["description"],
            &node["compiled_code"],
            &node["last_result"]["status"]
        ),
        (
            &json!("of the right one"),
            &json!("of the right one"),
            &json!("success")
        )
    );
    // Five minutes slow: by its own clock the manifest is older, and the log says so.
    let behind = now - TimeDelta::minutes(5);
    environment
        .send("slow", &at(behind, described("of the slow one")))
        .await;
    environment.send("slow", &at(behind, build(0, &[(A, "error")]))).await;
    let after = environment.node(A).await;
    assert_eq!(
        (&after["node"]["description"], &after["last_result"]),
        (&node["node"]["description"], &node["last_result"])
    );
    let log = environment.installation.service.log().join("\n");
    assert!(log.contains("older than the newest by its own clock"), "{log}");
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_manifest_is_imported_without_replacing_newer_ones() {
    let mut environment = Environment::start().await;
    let now = Clock::System.now();
    environment.send("new", &at(now, described("new"))).await;
    environment.send("new", &at(now, build(0, &[(A, "success")]))).await;
    let before = environment.node(A).await;
    let bucket = environment.installation.system.storage();
    // One manifest was written by a clock in the future, another has no time.
    let stored: DateTime<Utc> = "2023-12-02T09:49:46Z".parse().unwrap();
    let future = at(now + TimeDelta::days(1), described("of the future"));
    let mut timeless = described("timeless");
    timeless["metadata"]["generated_at"] = Value::Null;
    for (run, file, time) in [
        ("manual__1", &future, stored),
        ("manual__2", &timeless, stored + TimeDelta::days(1)),
    ] {
        let key = key_of_run("1", SLUG, "load", run);
        put(bucket, &key, file.to_string().as_bytes(), time);
    }
    let report = environment.installation.command(&["import"]);
    assert_eq!(report["imported"], 2, "{report}");
    environment.sent += 2;
    environment.is_applied().await;
    assert_eq!(environment.node(A).await, before);
    assert_eq!(environment.deferral("").await, [A]);
    assert_eq!(environment.statuses().await, [10, 10, 10]);
    let newest = environment.get("runs/?order_by=-created_at&limit=1").await;
    assert_eq!(newest[0]["status"], 10);
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
