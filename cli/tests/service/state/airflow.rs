//! Airflow decides the status of runs; dbt's results decide which manifest to defer to.

use serde_json::json;
use testkit::airflow::RecordedAirflow;
use testkit::wait_until;

use super::{Environment, build, manifest};
use crate::airflow::observing;
use crate::installation::{Installation, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn airflow_decides_run_statuses_and_results_decide_deferral() {
    let airflow = RecordedAirflow::start("v1").await;
    let system = observing(prepared().await, &airflow);
    let mut environment = Environment::of(Installation::of(system, "serve").await);
    wait_until("Airflow is observed", async || {
        (environment.statuses().await.len() == 4).then_some(())
    })
    .await;
    // A task that may fail, a task that failed after dbt, and a run that has not ended.
    let runs = [
        (10, "shop", "scheduled__2026-11-23T00:00:00+00:00", "error", 10),
        (20, "broken", "manual__2026-11-24T21:34:13.553148+00:00", "success", 20),
        (30, "waiting", "manual__2026-11-24T21:34:13.918693+00:00", "success", 3),
    ];
    for (minute, dag, run, result, status) in runs {
        let node = format!("model.shop.of_{dag}");
        let fields = [("dag_id", dag), ("run_id", run)];
        environment
            .send_with(&fields, &manifest(minute, &[(&node, json!({}))]))
            .await;
        environment.send_with(&fields, &build(minute, &[(&node, result)])).await;
        assert_eq!(environment.run(run).await["status"], status, "{dag}");
        assert_eq!(environment.node(&node).await["last_result"]["status"], result, "{dag}");
        let steps = environment.get("runs/?include_related=run_steps").await;
        let has_failed = |run: &serde_json::Value| run["run_steps"][0]["status"] == 20;
        assert!(
            steps.as_array().unwrap().iter().any(has_failed),
            "dbt's step failed, whatever Airflow says"
        );
        assert_eq!(environment.deferral("").await, [node], "{dag}");
    }
    let fields = [("dag_id", "waiting"), ("run_id", runs[2].2)];
    environment
        .send_with(&fields, &build(31, &[("model.shop.of_waiting", "error")]))
        .await;
    assert_eq!(environment.deferral("").await, ["model.shop.of_broken"]);
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
