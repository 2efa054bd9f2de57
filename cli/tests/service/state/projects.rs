//! Several dbt projects in one environment.

use serde_json::{Value, json};

use super::{Environment, manifest_of};
use crate::installation::SLUG;

#[tokio::test(flavor = "multi_thread")]
async fn dbt_projects_share_an_environment_until_one_is_retired() {
    let mut environment = Environment::start().await;
    let shared = |by: &str| {
        let macros = [format!("macro.{by}.m")];
        json!({"package_name": "beta", "description": by, "depends_on": {"macros": macros, "nodes": []}})
    };
    let alpha = [
        ("model.alpha.a", json!({})),
        ("model.beta.b", shared("alpha")),
        ("model.both.c", shared("alpha")),
    ];
    let beta = [
        ("model.beta.b", shared("beta")),
        ("model.both.c", json!({"package_name": "both", "description": "beta"})),
    ];
    environment.send("r1", &manifest_of("beta", 1, &beta)).await;
    environment.send("r1", &manifest_of("alpha", 2, &alpha)).await;
    let run = environment.run("r1").await["id"].clone();
    for owner in ["environments/1".to_owned(), format!("runs/{run}")] {
        let nodes = environment.get(&format!("{owner}/nodes/")).await;
        let of = |id: &str| {
            nodes
                .as_array()
                .unwrap()
                .iter()
                .find(|node| node["unique_id"] == id)
                .unwrap()["description"]
                .clone()
        };
        assert_eq!(nodes.as_array().unwrap().len(), 3, "{nodes}");
        assert_eq!(of("model.beta.b"), "beta", "the project that has its package");
        assert_eq!(of("model.both.c"), "alpha", "the newest");
    }
    assert_eq!(
        environment.node("model.beta.b").await["macros"],
        json!(["macro.beta.m"])
    );
    assert_eq!(
        environment.node("model.both.c").await["macros"],
        json!(["macro.alpha.m"])
    );
    assert_eq!(environment.deferral("").await.len(), 3);
    assert_eq!(environment.deferral("&dbt_project=beta").await.len(), 2);
    let command = ["environment", "retire-project", "--account", "1", SLUG];
    environment.installation.command(&[&command[..], &["alpha"]].concat());
    let nodes = environment.get("environments/1/nodes/").await;
    assert_eq!(nodes.as_array().unwrap().len(), 2, "{nodes}");
    assert_eq!(environment.deferral("").await.len(), 2);
    assert_eq!(
        environment
            .get(&format!("runs/{run}/nodes/"))
            .await
            .as_array()
            .unwrap()
            .len(),
        3,
        "runs keep their nodes"
    );
    let (code, _, error) = testkit::try_command(
        crate::installation::BINARY,
        &[&command[..], &["gamma"]].concat(),
        &environment.installation.system,
    );
    assert!(
        code == Some(1) && error.contains("`gamma`") && error.contains("alpha, beta"),
        "{error}"
    );
    let mut again = manifest_of("alpha", 3, &alpha);
    again["metadata"]["generated_at"] = Value::Null;
    environment.send("r2", &again).await;
    assert_eq!(
        environment.get("environments/1/nodes/").await.as_array().unwrap().len(),
        3,
        "the project was uploaded again"
    );
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
