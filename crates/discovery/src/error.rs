//! Why a query is not answered, or only in part.

use async_graphql::Pos;
use serde_json::{Value, json};

/// An error as GraphQL clients see it: an entry in the `errors` of an answer with the HTTP status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What is wrong.
    pub message: String,
    /// A word for programs, such as `NOT_FOUND`.
    pub code: &'static str,
    /// The response key of the field that has the error.
    pub path: Vec<String>,
    /// Lines and columns in the query, counted from 1.
    pub locations: Vec<(usize, usize)>,
}

impl QueryError {
    /// The query is not understood, or asks for too much.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("BAD_USER_INPUT", message)
    }

    /// What the query names does not exist, or the token does not see it.
    pub(crate) fn not_found(what: &str, id: i64) -> Self {
        Self::new("NOT_FOUND", format!("{what} {id} was not found"))
    }

    /// There is nothing yet from which the query could be answered.
    pub(crate) fn no_data(message: impl Into<String>) -> Self {
        Self::new("NO_DATA", message)
    }

    /// Metrics are asked for their values, which only a warehouse has.
    pub(crate) fn no_warehouse() -> Self {
        Self::new(
            "NO_WAREHOUSE",
            "dbt-api has no connection to a warehouse: it lists metrics, dimensions, entities and saved queries, but cannot query them or compile \
             them to SQL",
        )
    }

    /// The query would cost more than is allowed.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new("QUERY_TOO_LARGE", message)
    }

    /// The request did not arrive as a whole.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::new("BAD_USER_INPUT", message)
    }

    /// The answer takes too long.
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self::new("TIMEOUT", message)
    }

    /// No account of the token is active.
    #[must_use]
    pub fn no_account() -> Self {
        Self::new("NOT_FOUND", "no account of this token is active")
    }

    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code,
            path: Vec::new(),
            locations: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, position: Pos) -> Self {
        self.locations.push((position.line, position.column));
        self
    }

    /// Whether something that the query names was not found.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code == "NOT_FOUND"
    }

    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "message": self.message, "extensions": { "code": self.code } });
        if !self.path.is_empty() {
            error["path"] = self.path.clone().into();
        }
        if !self.locations.is_empty() {
            let locations = self.locations.iter();
            error["locations"] = locations
                .map(|(line, column)| json!({ "line": line, "column": column }))
                .collect();
        }
        error
    }
}

impl From<async_graphql::ServerError> for QueryError {
    fn from(error: async_graphql::ServerError) -> Self {
        Self {
            message: error.message,
            code: "GRAPHQL_VALIDATION_FAILED",
            path: Vec::new(),
            locations: error.locations.iter().map(|at| (at.line, at.column)).collect(),
        }
    }
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's query is at fault.
    #[error("the query is invalid")]
    Query(Vec<QueryError>),
    /// A statement failed.
    #[error("a query of the database failed: {0}")]
    Database(sqlx::Error),
    /// Too much memory is in use by other answers.
    #[error("other answers take all memory")]
    Busy,
    /// The answer took too long.
    #[error("the answer took too long")]
    Late,
    /// The answer cannot be serialized, which is a bug.
    #[error("cannot write the answer: {0}")]
    Internal(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        // PostgreSQL ended the statement after its own time limit.
        match read_model::outage::is_timeout(&error) {
            true => Self::Late,
            false => Self::Database(error),
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::Query(vec![error])
    }
}
