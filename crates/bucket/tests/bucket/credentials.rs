//! Credentials that the environment gives: a server in the test is what gives them. For S3, the store is the S3 server of all tests; for Azure
//! and Google, it is the same small server, which knows only how to create an object.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ::settings::Source;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bucket::{Bucket, Problem, Settings};
use tempfile::TempDir;
use testkit::s3::S3Server;
use tokio::net::TcpListener;

/// What is in the file that proves who asks.
const PROOF: &str = "proof";

/// The token that the server gives to who proves it, and which its store wants.
const TOKEN: &str = "Bearer given";

/// A server that gives credentials and is a store.
#[derive(Clone, Default)]
struct Given {
    /// The access key for S3.
    key: String,
    secret: String,
    /// The requests for credentials: method and path.
    asked: Arc<Mutex<Vec<String>>>,
    objects: Arc<Mutex<HashSet<String>>>,
}

impl Given {
    async fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The credentials of a role, as Amazon's servers answer.
    fn aws(&self) -> Response {
        let expiration = "2999-01-01T00:00:00Z";
        let (key, secret) = (&self.key, &self.secret);
        format!(
            r#"{{"AccessKeyId": "{key}", "SecretAccessKey": "{secret}", "Token": "t", "Expiration": "{expiration}"}}"#
        )
        .into_response()
    }

    /// Creates an object, unless it exists.
    fn create(&self, path: &str, headers: &HeaderMap) -> Response {
        let has = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
        let is_azure = has("if-none-match", "*");
        if !has("authorization", TOKEN) && !path.contains("unsigned") {
            return StatusCode::FORBIDDEN.into_response();
        }
        assert!(is_azure || has("x-goog-if-generation-match", "0"), "{headers:?}");
        if self.objects.lock().unwrap().insert(path.to_owned()) {
            return (StatusCode::CREATED, [("etag", "\"1\""), ("x-goog-generation", "1")]).into_response();
        }
        if is_azure {
            StatusCode::CONFLICT
        } else {
            StatusCode::PRECONDITION_FAILED
        }
        .into_response()
    }
}

async fn answer(State(given): State<Given>, request: Request) -> Response {
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let is_proven = headers.get("authorization").is_some_and(|value| value == PROOF);
    let has_session = headers
        .get("x-aws-ec2-metadata-token")
        .is_some_and(|value| value == "session");
    let is_put = request.method() == Method::PUT;
    let token = r#"{"access_token": "given", "expires_in": 3600, "expires_on": "32472144000"}"#;
    if !path.ends_with("/check") {
        given.asked.lock().unwrap().push(format!("{} {path}", request.method()));
    }
    match path.as_str() {
        "/pod" if is_proven => given.aws(),
        "/latest/api/token" if is_put => "session".into_response(),
        "/latest/meta-data/iam/security-credentials/" if has_session => "role".into_response(),
        "/latest/meta-data/iam/security-credentials/role" if has_session => given.aws(),
        "/identity" => token.into_response(),
        "/tenant/oauth2/v2.0/token" => {
            let form = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
            let form = String::from_utf8(form.to_vec()).unwrap();
            let is_proven = form.contains("client_id=client") && form.contains(&format!("client_assertion={PROOF}"));
            if is_proven {
                token.into_response()
            } else {
                StatusCode::UNAUTHORIZED.into_response()
            }
        }
        path if is_put => given.create(path, &headers),
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

fn open(variables: &[(&str, &str)]) -> Bucket {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Bucket::open(&Source::of(variables).read(Settings::read).unwrap()).unwrap()
}

/// A file with the proof, or with something else.
fn file(content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// An S3 server, its bucket without keys, and a server that gives the keys.
async fn s3() -> (S3Server, Vec<(String, String)>, Given) {
    let server = S3Server::start().await.unwrap();
    let mut variables = server.variables("artifacts").unwrap();
    let mut take = |name: &str| {
        let at = variables.iter().position(|(found, _)| found == name).unwrap();
        variables.remove(at).1
    };
    let given = Given {
        key: take("S3_ACCESS_KEY"),
        secret: take("S3_SECRET_ACCESS_KEY"),
        ..Given::default()
    };
    (server, variables, given)
}

fn with<'a>(variables: &'a [(String, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let given = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    given.chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn the_role_of_a_pod_opens_s3() {
    let (_server, variables, given) = s3().await;
    let url = format!("{}/pod", given.clone().start().await);
    for (content, is_accepted) in [(PROOF, true), ("other", false)] {
        let (_folder, path) = file(content);
        let pod = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.to_str().unwrap()),
        ];
        let checked = open(&with(&variables, &pod)).check().await;
        assert_eq!(checked.is_ok(), is_accepted, "{checked:?}");
    }
    assert_eq!(given.asked()[0], "GET /pod");
}

#[tokio::test]
async fn the_role_of_a_machine_opens_s3() {
    let (_server, variables, given) = s3().await;
    let url = given.clone().start().await;
    let bucket = open(&with(&variables, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]));
    bucket.check().await.unwrap();
    bucket.check().await.unwrap();
    let role = "GET /latest/meta-data/iam/security-credentials/";
    let expected = [
        "PUT /latest/api/token".to_owned(),
        role.to_owned(),
        format!("{role}role"),
    ];
    assert_eq!(given.asked(), expected, "the credentials are kept until they expire");
}

#[tokio::test]
async fn temporary_keys_open_s3() {
    let (_server, variables, given) = s3().await;
    let keys = [
        ("AWS_ACCESS_KEY_ID", given.key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &given.secret),
        ("AWS_SESSION_TOKEN", "t"),
    ];
    open(&with(&variables, &keys)).check().await.unwrap();
}

#[tokio::test]
async fn the_identity_of_a_machine_opens_azure() {
    let given = Given::default();
    let url = given.clone().start().await;
    let connection = format!("AccountName=acme;BlobEndpoint={url}/acme");
    let identity = format!("{url}/identity");
    let bucket = open(&[
        ("STORAGE_ADAPTER", "blob"),
        ("BLOB_CONTAINER", "artifacts"),
        ("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", &connection),
        ("IDENTITY_ENDPOINT", &identity),
        ("AZURE_CLIENT_ID", "client"),
    ]);
    bucket.check().await.unwrap();
    assert_eq!(given.asked(), ["GET /identity"]);
    assert!(given.objects.lock().unwrap().contains("/acme/artifacts/check"));
}

#[tokio::test]
async fn the_identity_of_a_pod_opens_azure() {
    let given = Given::default();
    let url = given.clone().start().await;
    let connection = format!("AccountName=acme;BlobEndpoint={url}/acme");
    for (content, is_accepted) in [(PROOF, true), ("other", false)] {
        let (_folder, path) = file(content);
        let bucket = open(&[
            ("STORAGE_ADAPTER", "blob"),
            ("BLOB_CONTAINER", "artifacts"),
            ("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", &connection),
            ("AZURE_AUTHORITY_HOST", &url),
            ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap()),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
        ]);
        let checked = bucket.check().await;
        assert_eq!(checked.is_ok(), is_accepted, "{checked:?}");
    }
    assert_eq!(given.asked()[0], "POST /tenant/oauth2/v2.0/token");
}

/// Without a token: Google's address for tokens is in object_store. The file of a service account may name another address of the store.
#[tokio::test]
async fn google_creates_only_what_does_not_exist() {
    let url = Given::default().start().await;
    let key = format!(
        r#"{{"private_key": "k", "private_key_id": "i", "client_email": "e", "disable_oauth": true, "gcs_base_url": "{url}"}}"#
    );
    let (_folder, path) = file(&key);
    let variables = [
        ("STORAGE_ADAPTER", "gcs"),
        ("GCS_BUCKET_NAME", "unsigned"),
        ("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap()),
    ];
    let bucket = open(&variables);
    bucket.check().await.unwrap();
    bucket.check().await.unwrap();

    let mut refused = variables;
    refused[1].1 = "closed";
    let error = open(&refused).check().await.unwrap_err();
    assert!(
        matches!(
            error,
            bucket::Error::Unavailable {
                problem: Problem::Refused,
                ..
            }
        ),
        "{error:?}"
    );
}
