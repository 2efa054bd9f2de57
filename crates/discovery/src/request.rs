//! The request: a query and its variables.

use async_graphql_value::{ConstValue, Name, Variables};
use serde::Deserialize;
use serde_json::Value;

use crate::error::QueryError;

/// The longest body that is read, in bytes.
pub const MAX_BODY: usize = 256 << 10;

/// What a client asks.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Variables,
}

#[derive(Deserialize)]
struct Body {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Value>,
}

impl Request {
    /// Reads the body of a request.
    pub(crate) fn read(body: &[u8]) -> Result<Self, QueryError> {
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(QueryError::invalid(
                "batched requests are not supported: send one query per request, which may have several fields",
            ));
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            QueryError::invalid(format!("invalid request: expected a JSON object with `query`: {error}"))
        })?;
        let query = body
            .query
            .ok_or_else(|| QueryError::invalid("missing `query`: expected a JSON object with `query`"))?;
        let variables = match body.variables {
            None | Some(Value::Null) => Variables::default(),
            // Some clients send them as a text.
            Some(Value::String(text)) if text.trim().is_empty() => Variables::default(),
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(variables) => variables_of(variables)?,
                Err(error) => return Err(QueryError::invalid(format!("invalid `variables`: {error}"))),
            },
            Some(variables) => variables_of(variables)?,
        };
        Ok(Self {
            query,
            operation_name: body.operation_name.filter(|name| !name.is_empty()),
            variables,
        })
    }
}

fn variables_of(json: Value) -> Result<Variables, QueryError> {
    let Value::Object(fields) = json else {
        return Err(QueryError::invalid("invalid `variables`: expected a JSON object"));
    };
    let mut variables = Variables::default();
    for (name, value) in fields {
        let value = ConstValue::from_json(value)
            .map_err(|error| QueryError::invalid(format!("invalid variable `{name}`: {error}")))?;
        variables.insert(Name::new(name), value);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_leniently() {
        let body = br#"{"query": "{a}", "variables": {"id": "2", "after": null, "x": [1]}, "extra": 1}"#;
        let request = Request::read(body).unwrap();
        assert_eq!(request.query, "{a}");
        assert_eq!(request.variables.len(), 3);
        for body in [
            r#"{"query":"{a}","variables":null}"#,
            r#"{"query":"{a}","variables":"{\"a\":1}","operationName":""}"#,
        ] {
            assert_eq!(Request::read(body.as_bytes()).unwrap().operation_name, None);
        }
    }

    #[test]
    fn other_bodies_are_errors_that_say_why() {
        for (body, expected) in [
            (r#" [{"query":"{a}"}]"#, "batched"),
            ("nothing", "expected a JSON object"),
            ("{}", "missing `query`"),
            (r#"{"query":"{a}","variables":3}"#, "`variables`"),
        ] {
            let error = Request::read(body.as_bytes()).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }
}
