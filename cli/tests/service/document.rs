//! The OpenAPI document, and whether the service does what it says of all routes.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::repository_file;

use crate::installation::Installation;

/// The fields of this schema, and of those in it, that are named like times, with their descriptions.
fn times<'a>(schema: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
    match schema {
        Value::Object(parts) => {
            let fields = parts.get("properties").and_then(Value::as_object);
            for (name, field) in fields.into_iter().flatten() {
                if name.ends_with("_at") {
                    found.push((name.as_str(), field));
                }
            }
            for part in parts.values() {
                times(part, found);
            }
        }
        Value::Array(parts) => {
            for part in parts {
                times(part, found);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_all_times_and_errors() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let (status, document) = installation.get(&token, "/api/v2/openapi").await;
    assert_eq!(status, StatusCode::OK);

    let mut found = Vec::new();
    times(&document["components"]["schemas"], &mut found);
    assert!(found.iter().any(|(name, _)| *name == "inserted_at"), "{found:?}");
    for (name, field) in found {
        assert_eq!(field["format"], "date-time", "{name}: {field}");
    }

    let mut with_body = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let describes = |status: &str| operation["responses"][status].is_object();
            assert!(describes("414"), "{method} {path}");
            assert!(describes("400") || !path.contains('{'), "{method} {path}");
            assert!(
                describes("408") || operation["requestBody"].is_null(),
                "{method} {path}"
            );
            assert!(describes("304") || !path.ends_with("/download"), "{method} {path}");
            with_body += usize::from(!operation["requestBody"].is_null());
        }
    }
    assert!(with_body > 5, "{with_body} operations with a body");
    let download = &document["paths"]["/api/private/manifests/{signed}"]["get"]["responses"];
    assert!(download["304"].is_object() && download["503"].is_object(), "{download}");

    let long = "a".repeat(9_000);
    for (path, status) in [
        ("/api/v2/accounts/%00".to_owned(), StatusCode::BAD_REQUEST),
        ("/api/v2/accounts/1/connections/%00".to_owned(), StatusCode::BAD_REQUEST),
        (format!("/?{long}"), StatusCode::URI_TOO_LONG),
        (format!("/api/v2/accounts/1/runs?name={long}"), StatusCode::URI_TOO_LONG),
    ] {
        let (answered, _) = installation.send(Method::GET, &token, &path).await;
        assert_eq!(answered, status, "{path:.60}");
    }
}

/// The routes that are registered without a description, so that the walks over the document do not try them. Other tests do.
const NOT_DESCRIBED: [&str; 14] = [
    "/api/v2/accounts/{account_id}/jobs/{job_id}/run",
    "/api/v2/accounts/{account_id}/jobs/{job_id}/rerun",
    "/api/v2/accounts/{account_id}/runs/{run_id}/cancel",
    "/api/v2/accounts/{account_id}/runs/{run_id}/retry",
    "/graphql",
    "/graphql/graphiql/{name}",
    "/beta/graphql",
    "/api/graphql",
    "/api/v2/openapi",
    "/api/v2/swaggerui",
    "/api/v2/swaggerui/{*file}",
    "/healthz/ready",
    "/healthz/live",
    "/metrics",
];

#[test]
fn only_known_routes_are_not_described() {
    let mut found = Vec::new();
    for file in [
        "api/src/routes.rs",
        "api/src/openapi.rs",
        "api/src/lib.rs",
        "ingest/src/lib.rs",
        "crates/service/src/health.rs",
        "cli/src/roles.rs",
    ] {
        let text = std::fs::read_to_string(repository_file(file)).unwrap();
        for (_, rest) in text
            .match_indices(".route(")
            .map(|(at, call)| text[at..].split_at(call.len()))
        {
            let path = rest
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            found.push(
                path.unwrap_or_else(|| panic!("{file}: a route whose path is not a text"))
                    .to_owned(),
            );
        }
    }
    for path in &found {
        assert!(
            NOT_DESCRIBED.contains(&path.as_str()),
            "{path} is not in the OpenAPI document: register it with `routes!`, or test it elsewhere and name it here"
        );
    }
    for path in NOT_DESCRIBED {
        assert!(
            found.iter().any(|found| found == path),
            "{path} is not a route any more"
        );
    }
}
