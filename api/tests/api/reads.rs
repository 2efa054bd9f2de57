//! Answers about runs, jobs and the directory.

use crate::support::Api;
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn runs_have_a_total_order_with_nulls_last() {
    let api = Api::start().await;
    let ids = async |query: &str| api.get(&format!("/api/v2/accounts/1/runs/?{query}")).await.ids();
    assert_eq!(ids("").await, [1, 2, 3, 4]);
    assert_eq!(ids("order_by=-id").await, [4, 3, 2, 1]);
    assert_eq!(ids("order_by=created_at").await, [4, 1, 2, 3]);
    assert_eq!(ids("order_by=finished_at").await, [1, 2, 4, 3]);
    assert_eq!(ids("order_by=-finished_at").await, [4, 2, 1, 3]);
    assert_eq!(ids("order_by=-finished_at&limit=2&offset=1").await, [2, 1]);
    assert_eq!(ids("order_by=updated_at").await, [4, 1, 2, 3]);
    assert_eq!(ids("order_by=-updated_at&limit=2").await, [3, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_filtered_and_counted() {
    let api = Api::start().await;
    let get = async |query: &str| api.get(&format!("/api/v2/accounts/1/runs/?{query}")).await;
    for (query, ids, total) in [
        ("job_definition_id=5", &[1, 2, 3][..], 3),
        ("environment_id=101", &[4], 1),
        ("project_id=10&status=10", &[1, 4], 2),
        ("status__in=[10,20]&id__gt=1", &[2, 4], 2),
        ("status=99999999999", &[], 0),
        ("limit=2", &[1, 2], 4),
        ("limit=2&offset=3", &[4], 4),
        ("limit=2&offset=50", &[], 4),
        ("offset=9223372036854775807", &[], 4),
        (
            "job_definition_id=5&status=10&order_by=-finished_at&limit=1&unknown=1",
            &[1],
            1,
        ),
    ] {
        let answer = get(query).await;
        assert_eq!((answer.ids(), answer.total()), (ids.to_vec(), total), "{query}");
    }
    let extra = get("limit=1&status__in=[10]&order_by=-id").await.json()["extra"].clone();
    let expected = json!({
        "filters": {"limit": 1, "offset": 0, "account_id": 1, "status__in": [10]},
        "order_by": "-id",
        "pagination": {"count": 1, "total_count": 2},
    });
    assert_eq!(extra, expected);
    let answer = get("status=done").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.json()["status"]["user_message"]
            .as_str()
            .unwrap()
            .contains("got `done`")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_all_fields_of_dbt_cloud() {
    let api = Api::start().await;
    let run = api.get("//api/v2/accounts/1/runs/1/").await.json()["data"].clone();
    let expected = json!({
        "status_humanized": "Success", "is_success": true, "is_complete": true, "in_progress": false,
        "created_at": "2026-11-09 12:02:00.000000+00:00", "created_at_humanized": "2 weeks ago",
        "started_at": "2026-11-09 12:00:00.000000+00:00",
        "duration": "00:01:50", "duration_humanized": "1 minute, 50 seconds", "queued_duration": "00:00:00",
        "run_duration": "00:01:50", "artifacts_saved": true, "has_docs_generated": false, "run_steps": [], "job": null,
        "trigger": null, "git_sha": null, "environment": null, "audit": null,
        "href": "https://dbt.example/console/1/runs/1",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&run[name], value, "{name}");
    }
    let running = api.get("/api/v2/accounts/1/runs/3").await.json()["data"].clone();
    assert_eq!(running["finished_at"], json!(null));
    assert_eq!(running["artifacts_saved"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn related_objects_are_included_on_request() {
    let api = Api::start().await;
    let path = "/api/v2/accounts/1/runs/?include_related=[\"job\",\"environment\",\"run_steps\",\"nothing\"]";
    let runs = api.get(&path.replace('"', "%22")).await.json();
    let run = &runs["data"][0];
    assert_eq!(run["job"]["name"], "daily");
    assert_eq!(run["environment"]["deployment_type"], "production");
    assert_eq!(run["environment"]["dbt_version"], "1.9.1");
    let steps: Vec<_> = run["run_steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (&step["id"], &step["index"]))
        .collect();
    assert_eq!(steps, [(&json!(9001), &json!(1)), (&json!(8001), &json!(2))]);
    assert_eq!(runs["data"][3]["job"]["name"], "(unknown DAG)");
    assert_eq!(runs["data"][3]["run_steps"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_with_its_fields() {
    let api = Api::start().await;
    assert_eq!(api.get("/api/v2/accounts/1/jobs/?order_by=-name").await.ids(), [5, 6]);
    assert_eq!(api.get("/api/v2/accounts/1/jobs/?environment_id=101").await.ids(), [6]);
    let job = api.get("/api/v2/accounts/1/jobs/5/").await.json()["data"].clone();
    assert_eq!(job["created_at"], "2026-11-09T09:00:00.000000+00:00");
    assert_eq!(job["triggers"]["schedule"], false);
    assert!(job["schedule"]["cron"].is_string() && job["execute_steps"].is_array());
    assert_eq!(job["schedule"]["date"], json!({"type": "every_day"}));
    assert_eq!(job["schedule"]["time"], json!({"type": "every_hour", "interval": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_include_their_most_recent_runs() {
    let api = Api::start().await;
    let path = "/api/v2/accounts/1/jobs/?include_related=['most_recent_run','most_recent_completed_run']&include_related=environment";
    let jobs = api.get(path).await.json();
    let job = &jobs["data"][0];
    assert_eq!(job["most_recent_run"]["id"], 3);
    assert_eq!(job["most_recent_completed_run"]["id"], 2);
    assert_eq!(job["environment"]["id"], 100);
    assert_eq!(job["dbt_version"], "1.9.1");
    assert_eq!(job["execute_steps"], json!([]));
    let without = api.get("/api/v2/accounts/1/jobs/5/").await.json();
    assert_eq!(without["data"]["most_recent_run"], json!(null));
    for (query, ids) in [
        ("name__icontains=DAI", vec![5]),
        ("project_id__in=[10]&pk=6", vec![6]),
        ("state=2", vec![]),
        ("is_system=true", vec![]),
    ] {
        assert_eq!(
            api.get(&format!("/api/v2/accounts/1/jobs/?{query}")).await.ids(),
            ids,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_runs_works() {
    let api = Api::start().await;
    for (query, ids) in [
        (
            "finished_at__range=[%222026-11-10T12:01:00Z%22,%229999-12-31%22]",
            vec![2, 4],
        ),
        ("created_at__range=['2026-11-09','2026-11-10+12:00:00']", vec![1, 2]),
        (
            "updated_at__range=['2026-11-09T12:03:00Z','2026-11-10T12:00:00Z']&order_by=-updated_at",
            vec![2, 1],
        ),
        ("dbt_version=1.9.1", vec![1, 2]),
        ("dbt_version__in=[%221.8%22,%221.9.1%22]", vec![1, 2]),
        ("has_docs_generated=true", vec![]),
        ("has_docs_generated=false&pk__in=[1,2]", vec![1, 2]),
        ("project_id__in=[10,11]&status=20", vec![2]),
        ("state=2", vec![]),
        ("state=all", vec![1, 2, 3, 4]),
        ("deferring_run_id=1", vec![]),
    ] {
        let answer = api.get(&format!("/api/v2/accounts/1/runs/?{query}")).await;
        assert_eq!(answer.ids(), ids, "{query}");
        assert_eq!(answer.total(), i64::try_from(ids.len()).unwrap(), "{query}");
    }
    let first = api.get("/api/v2/accounts/1/runs/?limit=1&status__in=[10,20]").await;
    assert_eq!(first.total(), 3, "counted without reading all");
    let bad = api.get("/api/v2/accounts/1/runs/?finished_at__range=[1]").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let triggered = api
        .get("/api/v2/accounts/1/runs/1/?include_related=trigger")
        .await
        .json();
    assert_eq!(triggered["data"]["trigger"]["cause"], "Airflow: a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_step_is_shown() {
    let api = Api::start().await;
    let step = api.get("/api/v2/accounts/1/steps/8001/").await.json();
    assert_eq!(
        (&step["data"]["index"], &step["data"]["run_id"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        api.get("/api/v2/accounts/1/steps/1/").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn version_3_also_shows_the_directory() {
    let api = Api::start().await;
    assert_eq!(api.get("/api/v3/accounts/").await.ids(), [1]);
    assert_eq!(
        api.get("/api/v3/accounts/1/projects/?name__icontains=").await.ids(),
        [10]
    );
    assert_eq!(
        api.get("/api/v3/accounts/1/projects/?name__icontains=nothing")
            .await
            .total(),
        0
    );
    let project = api
        .get("/api/v3/accounts/1/projects/10/?include_related=environments")
        .await
        .json();
    assert_eq!(project["data"]["connection"]["adapter_version"], "snowflake_v0");
    assert_eq!(project["data"]["environments"].as_array().unwrap().len(), 2);
    assert_eq!(
        api.get("/api/v3/accounts/1/projects/10/environments/?deployment_type=production")
            .await
            .ids(),
        [100]
    );
    // The path names the project.
    let page = api
        .get("/api/v3/accounts/1/projects/10/environments/?project_id=11&project_id__in=11&pk=101")
        .await;
    assert_eq!(page.ids(), [101]);
    assert_eq!(
        page.json()["extra"]["filters"],
        json!({ "account_id": 1, "pk": 101, "limit": 100, "offset": 0 })
    );
    let page = api.get("/api/v3/accounts/1/environments/?project_id=10&pk=101").await;
    assert_eq!(
        page.json()["extra"]["filters"],
        json!({ "account_id": 1, "project_id": 10, "pk": 101, "limit": 100, "offset": 0 })
    );
    assert_eq!(
        api.get("/api/v3/accounts/1/environments/?type=development").await.ids(),
        [101]
    );
    assert_eq!(
        api.get("/api/v3/accounts/1/projects/10/environments/100/").await.json()["data"]["id"],
        100
    );
    for path in ["connections/", "connections/10/"] {
        let answer = async |version| api.get(&format!("/api/{version}/accounts/1/{path}")).await.json()["data"].clone();
        let (v2, v3) = (answer("v2").await, answer("v3").await);
        assert_eq!(v2, v3, "{path}");
        let connection = v3.get(0).unwrap_or(&v3);
        assert_eq!(
            (&connection["id"], &connection["type"]),
            (&json!(10), &json!("snowflake"))
        );
    }
    for path in [
        "projects/20/",
        "projects/20/environments/",
        "projects/11/environments/100/",
        "connections/20/",
        "nothing/",
        "groups/1/",
    ] {
        let answer = api.get(&format!("/api/v3/accounts/1/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["status"]["code"], 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_that_do_not_exist_here_are_empty() {
    let api = Api::start().await;
    for path in [
        "v2/accounts/1/users",
        "v2/accounts/1/repositories",
        "v3/accounts/1/groups",
        "v3/accounts/1/projects/10/repositories",
    ] {
        let answer = api.get(&format!("/api/{path}/?limit=5")).await;
        assert_eq!(answer.total(), 0, "{path}");
        assert_eq!(answer.json()["extra"]["filters"]["limit"], 5);
    }
    let variables = api
        .get("/api/v3/accounts/1/projects/10/environment-variables/job/?job_definition_id=5")
        .await;
    assert_eq!(variables.json()["data"], json!({}));
    assert_eq!(
        api.get("/api/v2/whoami/").await.json()["data"]["user"]["first_name"],
        "Token of One"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_and_environments_are_shown() {
    let api = Api::start().await;
    let project = api.get("/api/v2/accounts/1/projects/10/").await.json()["data"].clone();
    assert_eq!(project["updated_at"], "2026-11-02 00:00:00.500000+00:00");
    assert_eq!(project["connection"]["type"], "snowflake");
    assert_eq!(api.get("/api/v2/accounts/1/projects/").await.ids(), [10]);
    assert_eq!(
        api.get("/api/v2/accounts/1/environments/?project_id=10&order_by=-id")
            .await
            .ids(),
        [101, 100]
    );
    assert_eq!(
        api.get("/api/v2/accounts/1/environments/?project_id=11").await.total(),
        0
    );
    let environment = api.get("/api/v2/accounts/1/environments/101/").await.json()["data"].clone();
    assert_eq!(
        (&environment["type"], &environment["state"]),
        (&json!("development"), &json!(2))
    );
    assert_eq!(api.get("/api/v2/accounts/1/").await.json()["data"]["name"], "One");
    assert_eq!(
        api.get("/api/v2/accounts/1/projects/20/").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_from_the_newest_manifest() {
    let api = Api::start().await;
    let get = async |query: &str| {
        api.get(&format!("/api/v2/accounts/1/environments/100/nodes/?{query}"))
            .await
    };
    let names = async |query: &str| {
        let answer = get(query).await;
        let json = answer.json();
        let nodes = json["data"].as_array().unwrap().iter();
        let names: String = nodes
            .map(|node| node["name"].as_str().unwrap().trim_start_matches("Node_"))
            .collect();
        (names, answer.total())
    };
    for (query, expected, total) in [
        ("", "abcde", 5),
        ("limit=2", "ab", 5),
        ("limit=2&offset=2", "cd", 5),
        ("limit=2&offset=4", "e", 5),
        ("offset=9223372036854775807", "", 5),
        ("resource_type=model&limit=2&offset=1", "bc", 3),
        ("resource_type=nothing", "", 0),
        ("name__icontains=nODE_B", "b", 1),
        ("name__icontains=_&limit=2&offset=2", "cd", 5),
        ("unique_id=source.balboa.d", "d", 1),
        ("unique_id=source.balboa.d&resource_type=model", "", 0),
    ] {
        assert_eq!(names(query).await, (expected.to_owned(), total), "{query}");
    }
    let silent = get("unique_id=model.balboa.c").await.json()["data"][0].clone();
    let expected = json!({
        "name": "Node_c", "unique_id": "model.balboa.c", "resource_type": "model", "size": 18_446_744_073_709_551_615_u64,
    });
    assert_eq!(silent, expected);
    assert_eq!(api.get("/api/v2/accounts/1/environments/101/nodes/").await.total(), 0);
}
