//! What `config check --connect` says about the systems beside ours.

use serde_json::Value;
use testkit::airflow::{PASSWORD, RecordedAirflow, USER};
use testkit::{Database, System, try_command};

use crate::airflow::observing;
use crate::datacoves::{TABLES, execute};
use crate::installation::{BINARY, prepared};

/// Returns the attempt at this part, with other values of these variables.
pub(crate) fn attempt(system: &mut System, part: &str, changed: &[(&str, &str)]) -> (bool, String) {
    let before = system.variables.clone();
    for (name, value) in changed {
        system.variables.retain(|(set, _)| set != name);
        system.variables.push(((*name).to_owned(), (*value).to_owned()));
    }
    let (code, output, errors) = try_command(BINARY, &["config", "check", "--connect"], system);
    system.variables = before;
    let checked: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{errors}"));
    let attempts = checked["attempts"].as_array().unwrap();
    let found = attempts.iter().find(|attempt| attempt["part"] == part).unwrap();
    let is_ok = found["is_ok"] == true;
    assert_eq!(code, Some(i32::from(!is_ok)), "{checked}{errors}");
    (is_ok, found["result"].as_str().unwrap().to_owned())
}

pub(crate) fn names_all(result: &(bool, String), words: &[&str]) {
    assert!(!result.0, "{result:?}");
    for word in words {
        assert!(result.1.contains(word), "{word}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_datacoves_database_is_named() {
    let theirs = Database::create_empty().await;
    execute(&theirs, TABLES).await;
    let mut system = prepared().await;
    let url = theirs.url();
    system.variables.push(("DATACOVES_DB_URL".to_owned(), url.clone()));
    let of_datacoves = |system: &mut System, changed: &[(&str, &str)]| attempt(system, "datacoves", changed);
    assert_eq!(of_datacoves(&mut system, &[]), (true, "ok".to_owned()));

    let query = "SELECT id, name, slug FROM users_account";
    let result = of_datacoves(&mut system, &[("DATACOVES_ACCOUNTS_QUERY", query)]);
    names_all(
        &result,
        &[
            "DATACOVES_ACCOUNTS_QUERY",
            query,
            "deactivated_at does not exist",
            "expected a query with the columns id, name, slug, deactivated_at",
        ],
    );
    let query = "SELECT 'x' AS id, 7 AS project_id, 'a' AS name, 'a' AS slug, 'dev' AS type";
    let result = of_datacoves(&mut system, &[("DATACOVES_ENVIRONMENTS_QUERY", query)]);
    names_all(
        &result,
        &[
            "DATACOVES_ENVIRONMENTS_QUERY",
            query,
            "invalid input syntax for type bigint: \"x\"",
        ],
    );
    let missing = url.replace(url.rsplit('/').next().unwrap().split('?').next().unwrap(), "missing");
    let result = of_datacoves(&mut system, &[("DATACOVES_DB_URL", &missing)]);
    names_all(
        &result,
        &["DATACOVES_DB_URL", "127.0.0.1", "\"missing\" does not exist"],
    );
    let closed = "postgresql://reader:pa55@127.0.0.1:1/datacoves";
    let result = of_datacoves(&mut system, &[("DATACOVES_DB_URL", closed)]);
    names_all(
        &result,
        &[
            "DATACOVES_DB_URL",
            "127.0.0.1:1",
            "the user reader",
            "the database datacoves",
            "refused",
        ],
    );
    assert!(!result.1.contains("pa55"), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_airflow_is_named() {
    for version in ["v1", "v2"] {
        let airflow = RecordedAirflow::start(version).await;
        let mut system = observing(prepared().await, &airflow);
        let file = system
            .variables
            .iter()
            .find(|(name, _)| name == "AIRFLOW_CONFIG")
            .unwrap()
            .1
            .clone();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut of_airflow = |from: &str, to: &str| {
            std::fs::write(&file, text.replace(from, to)).unwrap();
            attempt(&mut system, "airflow of 1/dev123", &[])
        };
        assert_eq!(of_airflow("", ""), (true, "ok".to_owned()), "{version}");
        // The recorded Airflow 3 gives everybody a token.
        if version == "v1" {
            let result = of_airflow(USER, "somebody");
            names_all(
                &result,
                &[
                    "AIRFLOW_CONFIG",
                    &airflow.url,
                    "refuses the login (HTTP 401)",
                    "check its username and password",
                ],
            );
        }
        let result = of_airflow(&airflow.url, &format!("{}/elsewhere", airflow.url));
        names_all(
            &result,
            &[
                "AIRFLOW_CONFIG",
                "/elsewhere",
                "neither /api/v2/version nor /api/v1/version exists",
            ],
        );
        let result = of_airflow(&airflow.url, "http://127.0.0.1:1");
        names_all(
            &result,
            &["AIRFLOW_CONFIG", "http://127.0.0.1:1", "cannot be reached", "refused"],
        );
        assert!(!result.1.contains(PASSWORD), "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_reads_that_is_not_a_copy_of_the_primary_is_named() {
    let mut system = prepared().await;
    let same = system.database.url();
    assert!(attempt(&mut system, "replica", &[("DB_READ_URL", &same)]).0);
    // A database that was made from this one on the same server, and an empty one.
    for other in [system.database.copy().await, Database::create_empty().await] {
        let result = attempt(&mut system, "replica", &[("DB_READ_URL", &other.url())]);
        names_all(&result, &["DB_READ_URL leads to another database than DB_URL"]);
    }
}
