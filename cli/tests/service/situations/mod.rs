//! For recorded situations of real dbt, the service shows what dbt did, in whatever order the files arrive.

mod expected;
mod recording;

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::{Database, run_command, wait_until};

use crate::artifacts_ingest::put_zip;
use crate::installation::{BINARY, Installation, Token, prepared};
use expected::{check_nodes, check_runs};
use recording::{Situation, Upload, Way, orders, situations};

/// The number of orders tried at the same time.
const AT_ONCE: usize = 4;

/// The number of tokens that share the uploads.
const TOKENS: usize = 5;

/// The situations are split into parts, so that they run in parallel.
macro_rules! parts {
    ($($name:ident = $part:literal),*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                shown_as_dbt_ended($part).await;
            }
        )*
        const PARTS: usize = [$($part),*].len();
    };
}

parts!(
    recorded_situations_are_shown_as_dbt_ended_00 = 0,
    recorded_situations_are_shown_as_dbt_ended_01 = 1,
    recorded_situations_are_shown_as_dbt_ended_02 = 2,
    recorded_situations_are_shown_as_dbt_ended_03 = 3,
    recorded_situations_are_shown_as_dbt_ended_04 = 4,
    recorded_situations_are_shown_as_dbt_ended_05 = 5,
    recorded_situations_are_shown_as_dbt_ended_06 = 6,
    recorded_situations_are_shown_as_dbt_ended_07 = 7,
    recorded_situations_are_shown_as_dbt_ended_08 = 8,
    recorded_situations_are_shown_as_dbt_ended_09 = 9,
    recorded_situations_are_shown_as_dbt_ended_10 = 10,
    recorded_situations_are_shown_as_dbt_ended_11 = 11
);

async fn shown_as_dbt_ended(part: usize) {
    let installation = Installation::of(prepared().await, "serve").await;
    // Several tokens, because each has a limit of uploads per minute.
    let tokens: Vec<Token> = (0..TOKENS)
        .map(|_| installation.token("1", "read,upload", &[]))
        .collect();
    let all = situations();
    assert!(all.len() >= 40, "{} situations", all.len());
    let situations: Vec<Situation> = all.into_iter().skip(part).step_by(PARTS).collect();
    let mut tries = Vec::new();
    for situation in &situations {
        for way in [Way::OwnUpload, Way::Files] {
            for order in orders(&situation.uploads(way)) {
                tries.push((situation, way, order));
            }
        }
    }
    let mut environments = Vec::new();
    for number in 0..tries.len() {
        environments.push(new_environment(&installation, number));
    }
    let shown: Vec<Shown> = stream::iter(tries.into_iter().zip(environments).zip(tokens.iter().cycle()))
        .map(|(((situation, way, order), environment), token)| {
            show(&installation, token, situation, way, order, environment)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut wrong: Vec<String> = Vec::new();
    let mut firsts: BTreeMap<(&str, Way), &Shown> = BTreeMap::new();
    for one in &shown {
        wrong.extend(
            one.wrong
                .iter()
                .map(|wrong| format!("{}, {:?}: {wrong}", one.situation, one.way)),
        );
        let first = firsts.entry((&one.situation, one.way)).or_insert(one);
        if first.state != one.state {
            let difference = difference(&first.state, &one.state, "");
            wrong.push(format!("{}, {:?}: another order: {difference}", one.situation, one.way));
        }
    }
    print_table(firsts.values());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));

    let verified = run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");

    if !part.is_multiple_of(3) {
        return; // Recovery takes as long as the rest of the test.
    }
    // Recovers an empty database from the bucket alone.
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    system.database = Database::create_empty().await;
    run_command(BINARY, &["recover"], &system);
    let recovered = Installation::of(system, "serve").await;
    for (first, token) in firsts.values().zip(tokens.iter().cycle()) {
        let runs = runs(&recovered, token, first.environment).await;
        let nodes = nodes(&recovered, token, first.environment).await;
        let state = state_of(&runs, &nodes);
        let difference = difference(&first.state, &state, "");
        assert!(
            state == first.state,
            "{}, after recovery: {difference}",
            first.situation
        );
    }
}

/// What the service shows of a situation.
struct Shown {
    situation: String,
    way: Way,
    environment: i64,
    /// The part that does not depend on when the files arrived.
    state: Value,
    exit_codes: Vec<i64>,
    wrong: Vec<String>,
}

fn state_of(runs: &[Value], nodes: &BTreeMap<String, Value>) -> Value {
    json!({ "runs": runs, "nodes": nodes })
}

fn new_environment(installation: &Installation, number: usize) -> (i64, String) {
    let slug = format!("situation-{number}");
    let added = installation.command(&[
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "1",
        "--name",
        &slug,
        "--slug",
        &slug,
    ]);
    (added["id"].as_i64().unwrap(), slug)
}

async fn show(
    installation: &Installation,
    token: &Token,
    situation: &Situation,
    way: Way,
    order: Vec<Upload>,
    (environment, slug): (i64, String),
) -> Shown {
    let pool = installation.system.database.pool("dbt_api_projector");
    let mut files = 0;
    for upload in &order {
        files += i64::try_from(upload.files.len()).unwrap();
        match way {
            Way::OwnUpload => put_zip(installation, token, environment, &upload.files).await,
            Way::Files => put_files(installation, token, &slug, upload).await,
        }
        // Each upload is applied before the next is sent, so that the test determines the order.
        wait_until("the files are applied", async || {
            let applied = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM artifacts WHERE environment_id = $1")
                .bind(environment)
                .fetch_one(&pool)
                .await
                .unwrap();
            (applied == files).then_some(())
        })
        .await;
    }
    let runs = runs(installation, token, environment).await;
    let nodes = nodes(installation, token, environment).await;
    let mut wrong = Vec::new();
    check_runs(situation, way, &runs, &mut wrong);
    check_nodes(situation, way, &nodes, &mut wrong);
    Shown {
        situation: situation.name.clone(),
        way,
        environment,
        state: state_of(&runs, &nodes),
        exit_codes: situation.invocations.iter().map(|one| one.exit_code).collect(),
        wrong,
    }
}

async fn put_files(installation: &Installation, token: &Token, slug: &str, upload: &Upload) {
    for (name, content) in &upload.files {
        let form = Form::new()
            .text("environment_slug", slug.to_owned())
            .text("run_id", "manual__1")
            .text("dag_id", "bakery")
            .part("file", Part::bytes(content.clone()).file_name(name.clone()));
        let (status, answer) = installation.upload(token, form).await;
        assert_eq!(status, 201, "{name}: {answer}");
    }
}

/// Returns the runs in the order in which they started, without what depends on when the files arrived.
async fn runs(installation: &Installation, token: &Token, environment: i64) -> Vec<Value> {
    let path = format!("/api/v2/accounts/1/runs/?environment_id={environment}&include_related=run_steps");
    let (_, answer) = installation.get(token, &path).await;
    let mut runs = Vec::new();
    for run in answer["data"].as_array().unwrap() {
        let steps: Vec<Value> = run["run_steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| json!([step["name"], step["status"], step["started_at"]]))
            .collect();
        runs.push(json!({
            "started_at": run["started_at"], "finished_at": run["finished_at"], "status": run["status"], "steps": steps,
        }));
    }
    runs.sort_by_key(|run| run["started_at"].as_str().unwrap_or_default().to_owned());
    runs
}

/// Returns what is known of each node, without what depends on when the files arrived.
async fn nodes(installation: &Installation, token: &Token, environment: i64) -> BTreeMap<String, Value> {
    let base = format!("/api/v2/accounts/1/environments/{environment}/nodes");
    let (_, list) = installation.get(token, &format!("{base}/?limit=100")).await;
    let mut nodes = BTreeMap::new();
    for node in list["data"].as_array().unwrap() {
        let id = node["unique_id"].as_str().unwrap();
        if ["macro", "doc", "operation"].contains(&node["resource_type"].as_str().unwrap()) {
            continue;
        }
        let path = format!(
            "{base}/{}/",
            id.replace(' ', "%20").replace('%', "%25").replace("%2520", "%20")
        );
        let (status, answer) = installation.get(token, &path).await;
        assert_eq!(status, 200, "{id}: {answer}");
        let data = &answer["data"];
        let result = |name: &str| json!([data[name]["status"], data[name]["completed_at"], data[name]["message"]]);
        let tests = |name: &str| -> Vec<Value> {
            let tests = data[name].as_array().unwrap();
            tests
                .iter()
                .map(|test| json!([test["unique_id"], test["last_result"]["status"]]))
                .collect()
        };
        nodes.insert(
            id.to_owned(),
            json!({
                "last_result": result("last_result"), "last_success": result("last_success"), "freshness": data["freshness"]["status"],
                "compiled_code": data["compiled_code"], "columns": data["columns"], "tests": tests("tests"),
                "related_tests": tests("related_tests"),
            }),
        );
    }
    nodes
}

/// Returns the first difference between two states.
fn difference(one: &Value, other: &Value, path: &str) -> String {
    let keys = match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).cloned().collect(),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            (0..one.len()).map(|at| at.to_string()).collect()
        }
        _ => Vec::new(),
    };
    let get = |value: &Value, key: &str| match value {
        Value::Array(items) => items[key.parse::<usize>().unwrap()].clone(),
        other => other[key].clone(),
    };
    for key in keys {
        let (one, other) = (get(one, &key), get(other, &key));
        if one != other {
            return difference(&one, &other, &format!("{path}/{key}"));
        }
    }
    format!("{path}: {other} instead of {one}")
}

fn print_table<'s>(shown: impl Iterator<Item = &'s &'s Shown>) {
    println!("| situation | how it came | exit codes | shown |\n|---|---|---|---|");
    for one in shown {
        let runs: Vec<String> = one.state["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["status"].to_string())
            .collect();
        println!(
            "| {} | {:?} | {:?} | {} |",
            one.situation,
            one.way,
            one.exit_codes,
            runs.join(", ")
        );
    }
}
