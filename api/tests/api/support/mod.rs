//! The API under test, with its own database and bucket.

mod rows;

use axum::body::{Body, to_bytes};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bucket::{Bucket, Compressed, Settings};
use clock::Clock;
use schemas::{AccountId, Sha256};
use serde_json::Value;
use testkit::Database;
use tower::ServiceExt;

/// The keys of the tokens in the database.
pub(crate) const ALL_OF_ACCOUNT_1: &str = "all";
pub(crate) const DEV_OF_ACCOUNT_1: &str = "dev";
pub(crate) const UPLOADER_OF_ACCOUNT_1: &str = "uploader";
pub(crate) const ALL_OF_ACCOUNT_2: &str = "other";

pub(crate) const MANIFEST: &[u8] = br#"{"nodes": {}, "macros": {}}"#;
pub(crate) const RUN_RESULTS: &[u8] = br#"{"metadata": {"env": {}}, "results": []}"#;
pub(crate) const OLDER_RUN_RESULTS: &[u8] = br#"{"results": []}"#;

pub(crate) struct Api {
    router: axum::Router,
    pub(crate) database: Database,
    _storage: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        let json = self.json();
        let rows = json["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_i64().unwrap()).collect()
    }

    pub(crate) fn total(&self) -> i64 {
        self.json()["extra"]["pagination"]["total_count"].as_i64().unwrap()
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        let database = Database::create().await;
        rows::insert(&database).await;
        let storage = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(&Settings::Local {
            path: storage.path().to_owned(),
        })
        .unwrap();
        for content in [MANIFEST, RUN_RESULTS, OLDER_RUN_RESULTS] {
            let frame = bytes::Bytes::from(zstd::encode_all(content, 3).unwrap());
            bucket
                .put_artifact(AccountId(1), Sha256::of(content), Compressed::Bytes(frame))
                .await
                .unwrap();
        }
        let router = api::router(api::State {
            reads: service::Reads::of_primary(database.read_pool(api::warm_up)),
            token_use: api::TokenUse::default(),
            deleted_tokens: bucket::DeletedTokens::new(bucket.clone()),
            bucket,
            public_url: "https://dbt.example".to_owned(),
            clock: Clock::Fixed("2026-11-24T12:00:00Z".parse().unwrap()),
            reading: edge::Shield::new("reads", 8),
            rate: std::sync::Arc::new(edge::RateLimit::per_minute(
                api::Settings::default().requests_per_minute,
            )),
            contents: api::ContentMemory::default(),
            trimmed_manifests: api::TrimmedManifests::default(),
            discovery: discovery::Discovery::default(),
            signer: std::sync::Arc::default(),
            verifier: None,
        });
        let (router, document) = router.split_for_parts();
        let router = router.merge(api::documentation(document)).fallback(edge::not_found);
        let router = edge::absorb_slashes(router);
        Self {
            router,
            database,
            _storage: storage,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn request(&self, method: Method, path: &str, key: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(AUTHORIZATION, format!("Token {key}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.request(Method::GET, path, ALL_OF_ACCOUNT_1).await;
        if answer.status == StatusCode::OK
            && let Ok(body) = serde_json::from_slice(&answer.body)
        {
            testkit::conformance::check_answer(path, &body);
        }
        answer
    }
}
