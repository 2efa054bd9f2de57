//! A fake of Datacoves' server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::{HeaderMap, StatusCode as Code};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use crate::installation::Token;

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Answers,
    Fails,
    Redirects,
    AdmitsAll,
}

/// A server that verifies keys, and records which keys it was asked about.
#[derive(Clone)]
pub(crate) struct Datacoves(Arc<Mutex<Inner>>);

struct Inner {
    keys: HashMap<String, Value>,
    asked: Vec<String>,
    mood: Mood,
    followed: usize,
    url: String,
}

impl Datacoves {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/verify", listener.local_addr().unwrap());
        let this = Self(Arc::new(Mutex::new(Inner {
            keys: HashMap::new(),
            asked: Vec::new(),
            mood: Mood::Answers,
            followed: 0,
            url,
        })));
        let (asked, followed) = (this.clone(), this.clone());
        let router = axum::Router::new()
            .route(
                "/api/verify",
                axum::routing::get(async move |headers: HeaderMap| asked.answer(&headers)),
            )
            .route(
                "/elsewhere",
                axum::routing::get(async move || {
                    followed.0.lock().unwrap().followed += 1;
                    Json(json!({ "account_ids": [1] }))
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut inner = self.0.lock().unwrap();
        let key = headers["authorization"].to_str().unwrap().to_owned();
        inner.asked.push(key.clone());
        match (inner.mood, inner.keys.get(key.trim_start_matches("Token "))) {
            (Mood::Fails, _) => Code::BAD_GATEWAY.into_response(),
            (Mood::Redirects, _) => Redirect::temporary("/elsewhere").into_response(),
            (Mood::AdmitsAll, _) => Json(json!({ "account_ids": [1] })).into_response(),
            (Mood::Answers, Some(answer)) => Json(answer.clone()).into_response(),
            (Mood::Answers, None) => Code::UNAUTHORIZED.into_response(),
        }
    }

    /// Admits the key with this answer from now on.
    pub(crate) fn admit(&self, key: &str, answer: Value) -> Token {
        self.0.lock().unwrap().keys.insert(key.to_owned(), answer);
        Token {
            id: String::new(),
            key: key.to_owned(),
        }
    }

    pub(super) fn withdraw(&self, key: &str) {
        self.0.lock().unwrap().keys.remove(key);
    }

    pub(super) fn set(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    pub(super) fn url(&self) -> String {
        self.0.lock().unwrap().url.clone()
    }

    /// How often a redirect was followed.
    pub(super) fn followed(&self) -> usize {
        self.0.lock().unwrap().followed
    }
}
