//! Whole answers, compared with the recorded ones in `snapshots/`. After a wanted change, `INSTA_UPDATE=always` records them again.

use insta::{Settings, assert_json_snapshot};
use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::installation::{Installation, SLUG, Token};
use crate::nodes::with_a_build;

/// The fields that differ between two runs of the test, because they depend on the time of the uploads or on the service's port.
const VARYING: [&str; 7] = [
    "created_at",
    "created_at_humanized",
    "updated_at",
    "finished_at_humanized",
    "href",
    "event_id",
    "uploaded_at",
];

/// Replaces what differs between two runs of the test. Null stays, since it says that there is no value.
fn redacted(answer: Value) -> Value {
    match answer {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let varies = VARYING.contains(&name.as_str()) && !value.is_null();
                let value = if varies {
                    Value::from("[varies]")
                } else {
                    redacted(value)
                };
                (name, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(redacted).collect(),
        other => other,
    }
}

/// Compares an answer with `snapshots/NAME.snap`.
fn check(name: &str, answer: Value) {
    let mut settings = Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| assert_json_snapshot!(name, redacted(answer)));
}

async fn get(installation: &Installation, token: &Token, path: &str) -> Value {
    let (status, answer) = installation.get(token, &format!("/api/v2/accounts/1/{path}")).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_recorded_ones() {
    let (installation, token) = with_a_build().await;
    for (name, path) in [
        ("run", "runs/1/?include_related=trigger,job,environment,run_steps"),
        ("job", "jobs/1/"),
        ("node", "environments/1/nodes/model.shop.orders/"),
        ("lineage", "environments/1/lineage/?unique_id=model.shop.orders&depth=1"),
    ] {
        check(name, get(&installation, &token, path).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_recorded_ones() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let (_, missing) = installation.get(&token, "/api/v2/accounts/1/runs/7/").await;
    let form = Form::new().text("environment_slug", SLUG);
    let (_, refused) = installation.upload(&token, form).await;
    let (_, not_signed) = installation
        .send(Method::PUT, &token, "/api/private/ingests/not-signed/")
        .await;
    let not_signed: Value = serde_json::from_slice(&not_signed).unwrap();
    for (name, answer) in [
        ("error_of_a_read", missing),
        ("error_of_an_upload", refused),
        ("error_of_an_upload_by_dbt", not_signed),
    ] {
        check(name, answer);
    }
}
