//! Runs that Airflow reports.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::airflow::{PASSWORD, RecordedAirflow, USER};
use testkit::{System, try_command, wait_until};

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest, prepared};

const SHOP_RUN: &str = "scheduled__2026-11-23T00:00:00+00:00";

/// A run of the DAG `waiting`.
const RUNNING: &str = "manual__2026-11-24T21:34:13.918693+00:00";

/// Configures the system to observe this Airflow for the environment of account 1.
pub(crate) fn observing(mut system: System, airflow: &RecordedAirflow) -> System {
    let file = system.storage().with_extension("airflow.toml");
    let secret = system.storage().with_extension("airflow-password");
    std::fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let text = format!(
        "[dev]\naccount = 1\nenvironment = '{SLUG}'\nurl = '{}'\nusername = '{USER}'\npassword_file = '{}'\n",
        airflow.url,
        secret.display()
    );
    std::fs::write(&file, text).unwrap();
    system
        .variables
        .push(("AIRFLOW_CONFIG".to_owned(), file.display().to_string()));
    system
        .variables
        .push(("AIRFLOW_POLL_SECONDS".to_owned(), "1".to_owned()));
    system
}

async fn runs(installation: &Installation, token: &Token) -> Vec<Value> {
    let path = "/api/v2/accounts/1/runs/?include_related=job&limit=100";
    let (status, page) = installation.get(token, path).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["data"].as_array().unwrap().clone()
}

/// Waits until the runs have these DAGs and statuses, then returns them in their order.
async fn runs_become(installation: &Installation, token: &Token, expected: &[(&str, &str)]) -> Vec<Value> {
    wait_until("the runs are as Airflow reports them", async || {
        let runs = runs(installation, token).await;
        let mut shown: Vec<(String, String)> = runs
            .iter()
            .map(|run| (text(&run["job"]["name"]), text(&run["status_humanized"])))
            .collect();
        shown.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|(dag, status)| (dag.to_string(), status.to_string()))
            .collect();
        (shown == expected).then_some(runs)
    })
    .await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn of_dag<'a>(runs: &'a [Value], dag: &str) -> &'a Value {
    runs.iter().find(|run| run["job"]["name"] == dag).unwrap()
}

fn observations(installation: &Installation) -> usize {
    let events = installation.command(&[
        "events",
        "list",
        "--account",
        "1",
        "--type",
        "airflow.",
        "--limit",
        "1000",
    ]);
    events.as_array().unwrap().len()
}

/// Waits for this many more complete passes.
async fn passes(airflow: &RecordedAirflow, count: usize) {
    let begun = || {
        let requests = airflow.requests();
        requests
            .iter()
            .filter(|request| request.contains("updated_at_gte"))
            .count()
    };
    let before = begun();
    wait_until("Airflow is queried again", async || {
        (begun() > before + count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_have_the_status_and_times_of_airflow_and_their_uploads() {
    let airflow = RecordedAirflow::start("v1").await;
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    // It is not yet known which run this upload belongs to.
    installation.upload_manifest(&token, SHOP_RUN, newest_manifest()).await;
    let before = installation.run_with_total(&token, "1", 1).await["id"].clone();
    assert_eq!(installation.service.stop().await, Some(0));

    let installation = Installation::of(observing(installation.system, &airflow), "serve").await;
    let expected = [
        ("broken", "Error"),
        ("shop", "Success"),
        ("waiting", "Queued"),
        ("waiting", "Running"),
    ];
    let runs = runs_become(&installation, &token, &expected).await;
    let shop = of_dag(&runs, "shop");
    assert_eq!(
        (&shop["started_at"], &shop["finished_at"], &shop["artifacts_saved"]),
        (
            &json!("2026-11-24 21:34:13.234614+00:00"),
            &json!("2026-11-24 21:34:18.077086+00:00"),
            &json!(true)
        )
    );
    // The number that the run had before still refers to it.
    let (status, alias) = installation
        .get(&token, &format!("/api/v2/accounts/1/runs/{before}/"))
        .await;
    assert_eq!((status, &alias["data"]["id"]), (StatusCode::OK, &shop["id"]), "{alias}");
    let files = format!("/api/v2/accounts/1/runs/{before}/artifacts/");
    assert_eq!(
        installation.get(&token, &files).await.1["data"],
        json!(["manifest.json"])
    );

    let broken = of_dag(&runs, "broken");
    assert_eq!(
        (&broken["is_error"], &broken["artifacts_saved"]),
        (&json!(true), &json!(false))
    );
    let (_, jobs) = installation
        .get(&token, "/api/v2/accounts/1/jobs/?triggers_schedule=true")
        .await;
    let [job] = jobs["data"].as_array().unwrap().as_slice() else {
        panic!("{jobs}")
    };
    assert_eq!(
        (&job["name"], &job["schedule"]["cron"], &job["triggers"]["schedule"]),
        (&json!("shop"), &json!("0 0 * * *"), &json!(true))
    );

    // Unchanged runs make no event, neither in this process nor in the next.
    passes(&airflow, 2).await;
    assert_eq!(observations(&installation), 4);
    assert_eq!(installation.service.stop().await, Some(0));
    // A changed schedule does make one, together with the DAG's newest run.
    airflow.change_dags(|dags| dags[1]["schedule_interval"]["value"] = json!("5 4 * * *"));
    let installation = Installation::of(installation.system, "serve").await;
    wait_until("the schedule is the new one", async || {
        let (_, jobs) = installation
            .get(&token, "/api/v2/accounts/1/jobs/?triggers_schedule=true")
            .await;
        (jobs["data"][0]["schedule"]["cron"] == "5 4 * * *").then_some(())
    })
    .await;
    passes(&airflow, 2).await;
    assert_eq!(observations(&installation), 5);

    // An upload that arrives after the run was observed belongs to it at once.
    installation.upload_manifest(&token, RUNNING, newest_manifest()).await;
    airflow.change_runs(|runs| {
        for run in runs.iter_mut() {
            if run["state"] == "running" {
                run["state"] = json!("success");
                run["end_date"] = json!("2026-11-24T22:00:00+00:00");
            }
        }
        runs.retain(|run| run["state"] != "queued");
    });
    airflow
        .change_dags(|dags| dags[2]["schedule_interval"] = json!({ "__type": "CronExpression", "value": "5 4 * * *" }));
    let expected = [
        ("broken", "Error"),
        ("shop", "Success"),
        ("waiting", "Cancelled"),
        ("waiting", "Success"),
    ];
    let runs = runs_become(&installation, &token, &expected).await;
    let ended = runs
        .iter()
        .find(|run| run["job"]["name"] == "waiting" && run["is_success"] == true)
        .unwrap();
    assert_eq!(
        (&ended["finished_at"], &ended["artifacts_saved"]),
        (&json!("2026-11-24 22:00:00.000000+00:00"), &json!(true))
    );
    // A run that continues in a DAG that Airflow no longer lists stays as it was, and does not keep others from being observed.
    airflow.change_runs(|runs| {
        let at = runs.iter().position(|run| run["dag_id"] == "waiting").unwrap();
        runs[at]["state"] = json!("running");
        runs[at]["dag_run_id"] = json!("manual__goes_on");
        runs[at]["run_id"] = json!("manual__goes_on");
    });
    let waiting = |state: &'static str| ("waiting", state);
    let expected = |shop: &'static str| {
        let others = [waiting("Cancelled"), waiting("Running"), waiting("Success")];
        [vec![("broken", "Error"), ("shop", shop)], others.to_vec()].concat()
    };
    runs_become(&installation, &token, &expected("Success")).await;
    airflow.withhold("waiting");
    airflow.change_runs(|runs| {
        let shop = runs.iter_mut().find(|run| run["dag_id"] == "shop").unwrap();
        shop["state"] = json!("failed");
    });
    runs_become(&installation, &token, &expected("Error")).await;
    passes(&airflow, 2).await;
    let ready = installation.readiness().await;
    assert_eq!(ready["parts"]["airflow"]["status"], "ok", "{ready}");
    let verified = installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    let log = installation.service.log().join("\n");
    assert!(!log.contains(PASSWORD), "the password is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_works_while_airflow_is_unreachable() {
    let airflow = RecordedAirflow::start("v2").await;
    airflow.break_with(Some(StatusCode::BAD_GATEWAY));
    let installation = Installation::of(observing(prepared().await, &airflow), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    let ready = wait_until("readiness reports Airflow as unavailable", async || {
        let ready = installation.readiness().await;
        (ready["parts"]["airflow"]["status"] == "down").then_some(ready)
    })
    .await;
    assert_eq!(ready["status"], "degraded", "{ready}");
    let error = text(&ready["parts"]["airflow"]["error"]);
    assert!(
        error.contains("502") && error.contains(SLUG) && !error.contains(PASSWORD),
        "{error}"
    );
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    wait_until("Airflow is queried several times", async || {
        (airflow.requests().len() > 2).then_some(())
    })
    .await;
    let warnings = || {
        installation
            .service
            .log()
            .iter()
            .filter(|line| line.contains("cannot observe Airflow's runs"))
            .count()
    };
    assert_eq!(warnings(), 1, "one warning for one change");

    airflow.break_with(None);
    let expected = [
        ("(unknown DAG)", "Success"),
        ("broken", "Error"),
        ("shop", "Success"),
        ("waiting", "Queued"),
        ("waiting", "Running"),
    ];
    runs_become(&installation, &token, &expected).await;
    wait_until("readiness reports Airflow as reachable", async || {
        (installation.readiness().await["status"] == "ready").then_some(())
    })
    .await;
    let metrics = installation
        .client
        .get(format!("{}/metrics", installation.service.url))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("dbt_api_airflow_up{account=\"1\",environment=\"dev123\"} 1"),
        "{metrics}"
    );
    // Account 2 has an environment with the same slug, and sees none of it.
    let other = installation.token("2", "read", &[]);
    let (_, page) = installation.get(&other, "/api/v2/accounts/2/runs/").await;
    assert_eq!(page["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_observes_and_the_other_takes_over() {
    let airflow = RecordedAirflow::start("v1").await;
    let first = Installation::of(observing(prepared().await, &airflow), "serve").await;
    let token = first.token("1", "read,upload", &[]);
    let expected = [
        ("broken", "Error"),
        ("shop", "Success"),
        ("waiting", "Queued"),
        ("waiting", "Running"),
    ];
    runs_become(&first, &token, &expected).await;
    let second = testkit::Service::start(BINARY, "ingest", &first.system).await;
    passes(&airflow, 3).await;
    let observes = |log: Vec<String>| log.iter().any(|line| line.contains("this process observes Airflow"));
    assert!(observes(first.service.log()) && !observes(second.log()));
    first.service.kill();
    wait_until("the second takes over", async || observes(second.log()).then_some(())).await;
    passes(&airflow, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn config_check_reports_every_problem_of_the_airflow_file() {
    let mut system = prepared().await;
    let file = system.storage().with_extension("airflow.toml");
    std::fs::write(
        &file,
        "[dev]\naccount = 1\nurl = 'ftp://x'\npassword = 'pa55'\n[x]\nenvironment = 'a b'\n",
    )
    .unwrap();
    system
        .variables
        .push(("AIRFLOW_CONFIG".to_owned(), file.display().to_string()));
    system
        .variables
        .push(("AIRFLOW_POLL_SECONDS".to_owned(), "0".to_owned()));
    let (code, _, errors) = try_command(BINARY, &["config", "check"], &system);
    assert_eq!(code, Some(1), "{errors}");
    for part in [
        "[dev]: missing `environment`: this key is required",
        "[dev]: invalid `url`: expected",
        "[dev]: invalid login: expected either username and password, or token, got password",
        "[x]: missing `account`: this key is required",
        "invalid `AIRFLOW_POLL_SECONDS`: expected a number from 1 to 3600, got `0`",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(!errors.contains("pa55"), "{errors}");
}
