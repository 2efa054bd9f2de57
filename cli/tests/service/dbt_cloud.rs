//! Checks that every route in dbt's descriptions answers in the envelope: those that are served, empty, missing, or would write.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::conformance::operations;

use crate::installation::{Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_dbt_cloud_is_answered_in_its_envelope() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let (mut served, mut absent) = (0, 0);
    for (method, template) in operations() {
        let path: Vec<&str> = template
            .split('/')
            .map(|part| match part {
                "{remainder}" => "manifest.json",
                part if part.starts_with('{') => "1",
                part => part,
            })
            .collect();
        let path = path.join("/");
        let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let (status, body) = installation.send(verb, &token, &path).await;
        let body: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        if method != "get" {
            let (of_read, _) = installation.send(Method::GET, &token, &path).await;
            let starts_runs = ["/run/", "/rerun/", "/cancel/", "/retry/"]
                .iter()
                .any(|end| path.ends_with(end));
            let expected = if of_read == StatusCode::OK || starts_runs {
                StatusCode::METHOD_NOT_ALLOWED
            } else {
                StatusCode::NOT_FOUND
            };
            assert_eq!(status, expected, "{method} {path}");
        } else if status == StatusCode::OK {
            served += 1;
        } else {
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            absent += 1;
        }
        if !template.contains("{remainder}") || status != StatusCode::OK {
            assert_eq!(body["status"]["code"], status.as_u16(), "{method} {path}");
        }
    }
    // Without dbt's descriptions there are no routes to check; a message says so.
    assert!(
        (served > 35 && absent > 40) || (served, absent) == (0, 0),
        "{served} {absent}"
    );
}
