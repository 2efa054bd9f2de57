//! What operators do: each action is an event that names the token.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Database, run_command, try_command, wait_until};

use super::browser::{Browser, form_token};
use super::{operator, operator_token, with_dead_letter};
use crate::installation::{BINARY, Installation, Token, newest_manifest};

/// The actions in the journal, the oldest first.
fn actions(installation: &Installation) -> Vec<Value> {
    let listed = installation.command(&["events", "list", "--type", "operator."]);
    let ids = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned());
    ids.map(|id| installation.command(&["events", "show", &id])["data"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_retried_and_the_event_names_the_token() {
    let (installation, event, restore) = with_dead_letter().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    let status = browser.open("/console/operate").await;
    assert!(status.text.contains("1 event could not be applied"), "{}", status.text);
    let list = browser.open("/console/operate/dead-letters").await;
    assert!(
        list.text.contains(&event) && list.text.contains("the bucket"),
        "{}",
        list.text
    );

    let uploads = browser.json("/console/operate/uploads").await;
    assert_eq!(uploads["uploads"][0]["state"], "dead_letter", "{uploads}");

    let retry = format!("/console/operate/dead-letters/{event}/retry");
    let again = browser.send(&list, &retry, &[]).await;
    assert_eq!(
        (again.status, again.path),
        (
            StatusCode::OK,
            format!("/console/operate/dead-letters/{event}?done=again")
        )
    );
    restore();
    let applied = browser.send(&list, &retry, &[]).await;
    assert_eq!(
        (applied.status, applied.path.as_str()),
        (StatusCode::OK, "/console/operate/dead-letters?done=applied")
    );
    assert!(applied.text.contains("There are no dead letters"), "{}", applied.text);
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
    let reader = installation.token("1", "read", &[]);
    installation.run_with_total(&reader, "1", 1).await;
    assert_eq!(
        browser.send(&list, &retry, &[]).await.status,
        StatusCode::NOT_FOUND,
        "it is not a dead letter"
    );

    let named = json!({ "operator": token.id, "account_id": 1, "action": { "dead_letter_retried": event } });
    assert_eq!(actions(&installation), [named.clone(), named]);
    let shown = browser.json("/console/operate/actions").await;
    assert_eq!(shown["actions"][0]["action"], "dead_letter_retried", "{shown}");
    assert_eq!(shown["actions"][0]["operator"], token.id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_dead_letter_stays_dropped_after_a_recovery() {
    let (mut installation, event, _) = with_dead_letter().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    let page = browser.open(&format!("/console/operate/dead-letters/{event}")).await;
    assert!(
        page.text.contains(&event) && !page.text.contains("key_sha256"),
        "{}",
        page.text
    );
    let dropped = browser
        .send(&page, &format!("/console/operate/dead-letters/{event}/drop"), &[])
        .await;
    assert_eq!(
        (dropped.status, dropped.path.as_str()),
        (StatusCode::OK, "/console/operate/dead-letters?done=dropped")
    );
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
    let named = json!({ "operator": token.id, "account_id": 1, "action": { "dead_letter_dropped": event } });
    assert_eq!(actions(&installation), [named]);

    installation.system.database = Database::create_empty().await;
    // It says that the event could not be applied, which was dropped for that.
    let (_, _, errors) = try_command(BINARY, &["recover"], &installation.system);
    assert!(errors.contains("1 event could not be applied"), "{errors}");
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 1);
    let installation = Installation::of(installation.system, "serve").await;
    operator(&installation, &token).await;
    let verified = run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_accounts_are_created_and_revoked_but_none_for_operators() {
    let installation = Installation::start().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    let account = browser.open("/console/operate/accounts/1").await;
    let create = "/console/operate/accounts/1/tokens";
    for (fields, reason) in [
        (&[("name", "ci"), ("scope", "operate")][..], "expected read or upload"),
        (
            &[("name", "ci"), ("scope", "read"), ("scope", "operate")],
            "expected read or upload",
        ),
        (&[("name", "a\0c"), ("scope", "read")], "no control characters"),
        (&[("name", "ci")], "missing `scope`"),
        (&[("name", "ci"), ("scope", "read"), ("days", "2")], "invalid `days`"),
        (
            &[("name", "ci"), ("scope", "read"), ("environment", "99")],
            "unknown environment",
        ),
    ] {
        let refused = browser.send(&account, create, fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        assert!(refused.text.contains(reason), "{reason}: {}", refused.text);
    }
    let unknown = browser
        .send(&account, "/console/operate/accounts/9/tokens", &[("scope", "read")])
        .await;
    assert!(unknown.status.is_client_error(), "{}", unknown.status);
    assert!(actions(&installation).is_empty());

    let fields = [
        ("name", "<i>ci</i>"),
        ("scope", "upload"),
        ("scope", "read"),
        ("environment", "1"),
        ("days", "7"),
    ];
    let created = browser.send(&account, create, &fields).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    assert!(!created.text.contains("<i>ci</i>"), "a name is shown as text");
    let (_, key) = created.text.split_once("dbtapi_").unwrap();
    let key = format!("dbtapi_{}", &key[..64]);
    let tokens = installation.command(&["token", "list", "--account", "1"]);
    let new = Token {
        id: tokens[0]["id"].as_str().unwrap().to_owned(),
        key,
    };
    assert_eq!(
        (&tokens[0]["scopes"], &tokens[0]["environment"]),
        (&json!(["read", "upload"]), &json!("dev123"))
    );
    installation.upload_manifest(&new, "run", newest_manifest()).await;
    installation.run_with_total(&new, "1", 1).await;
    let account = browser.open("/console/operate/accounts/1").await;
    assert!(!account.text.contains(&new.key), "the key is shown once");

    let revoked = browser
        .send(
            &account,
            &format!("/console/operate/tokens/{}/revoke", new.id),
            &[("account", "1")],
        )
        .await;
    assert_eq!(
        (revoked.status, revoked.path.as_str()),
        (StatusCode::OK, "/console/operate/accounts/1?done=revoked")
    );
    assert_eq!(
        installation.get(&new, "/api/v2/accounts/1/runs/").await.0,
        StatusCode::UNAUTHORIZED
    );
    let did = |action: &str| json!({ "operator": token.id, "account_id": 1, "action": { action: new.id } });
    assert_eq!(actions(&installation), [did("token_issued"), did("token_revoked")]);
    wait_until("the actions are shown", async || {
        let shown = browser.json("/console/operate/actions").await;
        (shown["actions"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    assert!(!installation.service.log().join("\n").contains(&new.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_and_without_a_token_change_nothing() {
    let installation = Installation::start().await;
    let token = operator_token(&installation.system, "1d");
    let reader = installation.token("1", "read", &[]);
    let browser = operator(&installation, &token).await;
    let page = browser.open("/console/operate/accounts/1").await;
    let own = form_token(&page);
    let other_browser = Browser::new(&installation.service.url);
    let of_other = form_token(&other_browser.open("/console/sign-in").await);
    let here = installation.service.url.clone();
    let revoke = format!("/console/operate/tokens/{}/revoke", reader.id);
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("https://elsewhere.example", &[("form_token", &own)]),
        ("null", &[("form_token", &own)]),
        (&here, &[]),
        (&here, &[("form_token", &of_other)]),
    ];
    for action in [
        revoke.as_str(),
        "/console/operate/accounts/1/tokens",
        "/console/operate/dead-letters/0/retry",
    ] {
        for (origin, fields) in cases {
            let fields = [fields, &[("scope", "read"), ("name", "x")]].concat();
            let refused = browser.post(action, origin, &fields).await;
            let of_unknown = action.ends_with("retry") && refused.status == StatusCode::NOT_FOUND;
            assert!(
                refused.status == StatusCode::FORBIDDEN || of_unknown,
                "{action} from {origin}: {}",
                refused.status
            );
        }
    }
    assert_eq!(
        installation.get(&reader, "/api/v2/accounts/1/runs/").await.0,
        StatusCode::OK
    );
    assert!(actions(&installation).is_empty());
    // A key in the header does not replace the form's token.
    let client = &installation.client;
    let direct = client
        .post(format!("{here}{revoke}"))
        .bearer_auth(&token.key)
        .send()
        .await
        .unwrap();
    assert_eq!(direct.status(), StatusCode::FORBIDDEN);
}
