//! The addresses of pages, and of their twins in the API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemas::AccountId;

/// What a part of a path or of a query may not contain as it is (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path under which the pages for operators are.
pub(crate) const OPERATE: &str = "/console/operate";

/// Encodes a part of a path, or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The page of an account.
pub(crate) fn account(AccountId(account): AccountId) -> String {
    format!("/console/{account}")
}

/// The page of an account for operators.
pub(crate) fn operated_account(AccountId(account): AccountId) -> String {
    format!("{OPERATE}/accounts/{account}")
}

/// The page of an environment.
pub(crate) fn environment(AccountId(account): AccountId, environment: i64) -> String {
    format!("/console/{account}/environments/{environment}")
}

/// The page of a node of an environment.
pub(crate) fn node(account: AccountId, in_environment: i64, unique_id: &str) -> String {
    format!("{}/nodes/{}", environment(account, in_environment), encoded(unique_id))
}

/// The lineage of a node with all that depends on it.
pub(crate) fn downstream(account: AccountId, in_environment: i64, unique_id: &str) -> String {
    format!("{}&up=0&down=all", lineage(account, in_environment, unique_id))
}

/// What that lineage shows.
pub(crate) fn dependents(unique_id: &str) -> &'static str {
    if is_test(unique_id) {
        "What depends on what it tests"
    } else {
        "What depends on it"
    }
}

/// Whether this is the id of a test.
pub(crate) fn is_test(unique_id: &str) -> bool {
    unique_id.starts_with("test.") || unique_id.starts_with("unit_test.")
}

/// The lineage of what a selection of dbt names in an environment.
pub(crate) fn lineage(account: AccountId, in_environment: i64, select: &str) -> String {
    format!(
        "{}/lineage?select={}",
        environment(account, in_environment),
        encoded(select)
    )
}

/// The nodes of an environment that have some words.
pub(crate) fn search(account: AccountId, in_environment: i64, text: &str) -> String {
    format!("{}/search?q={}", environment(account, in_environment), encoded(text))
}

/// The runs of an account that meet filters, such as `environment=1`.
pub(crate) fn runs(AccountId(account): AccountId, filters: &str) -> String {
    let separator = if filters.is_empty() { "" } else { "?" };
    format!("/console/{account}/runs{separator}{filters}")
}

/// The page of a run.
pub(crate) fn run(AccountId(account): AccountId, run: i64) -> String {
    format!("/console/{account}/runs/{run}")
}

/// The comparison of the manifests of two runs.
pub(crate) fn compare(AccountId(account): AccountId, from: i64, to: i64) -> String {
    format!("/console/{account}/compare?run={from}&with={to}")
}

/// The form that compares an environment with another one, or two of its runs.
pub(crate) fn compare_environment(AccountId(account): AccountId, environment: i64) -> String {
    format!("/console/{account}/compare?environment={environment}")
}

/// The search in an account, which begins in one of its environments.
pub(crate) fn search_account(AccountId(account): AccountId) -> String {
    format!("/console/{account}/search")
}

/// The results of a run in the API.
pub(crate) fn results(AccountId(account): AccountId, run: i64) -> String {
    format!("/api/v2/accounts/{account}/runs/{run}/results")
}

/// A list in the API, with the numbers of the account.
pub(crate) fn twin(AccountId(account): AccountId, rest: &str) -> String {
    format!("/api/v3/accounts/{account}/{rest}")
}
