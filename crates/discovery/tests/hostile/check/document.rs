//! What must hold for every query. A fuzz target checks the same.

use std::sync::LazyLock;

use discovery::{Answer, Api, Discovery, Error, Query};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static DISCOVERY: LazyLock<Discovery> = LazyLock::new(Discovery::default);

/// The largest answer about the schema, in bytes. It reserves as much memory.
const MAX_ANSWER: usize = 64 << 20;

/// Checks a query with variables: what follows the first NUL, if it is JSON.
pub(crate) fn check(text: &str) {
    let (query, variables) = text.split_once('\0').unwrap_or((text, ""));
    let variables: Value = serde_json::from_str(variables).unwrap_or_default();
    let body = json!({ "query": query, "variables": variables }).to_string();
    for api in [Api::Discovery, Api::SemanticLayer] {
        RUNTIME.block_on(check_with(api, body.as_bytes()));
    }
}

async fn check_with(api: Api, body: &[u8]) {
    let query = match Query::read(api, body).await {
        Ok(query) => query,
        Err(Error::Query(errors)) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.message.is_empty()));
            let answer = text_of(Answer::of_errors(&errors));
            assert_eq!(
                answer["errors"].as_array().map(Vec::len),
                Some(errors.len()),
                "{answer}"
            );
            return;
        }
        Err(error) => panic!("{error}"),
    };
    if let Some(answer) = DISCOVERY.introspection(&query).await.unwrap() {
        assert!(answer.pieces.len() <= MAX_ANSWER, "{} bytes", answer.pieces.len());
        assert!(text_of(answer).is_object());
    }
}

fn text_of(answer: Answer) -> Value {
    let text: Vec<u8> = answer.pieces.into_iter().flatten().collect();
    serde_json::from_slice(&text).unwrap()
}
