//! Everything that is known about a node while it is written.

use std::borrow::Cow;

use artifacts::NodeResult;
use chrono::{DateTime, Utc};
use read_model::queries::discovery::{Freshness, Outcome};
use serde_json::value::RawValue;

use crate::doc::Doc;
use crate::graph::{Attributes, GraphNode};
use crate::scope::Scope;

/// A node with the data that the query needs of it.
pub(crate) struct Facts<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) node: &'a GraphNode,
    pub(crate) attributes: Option<&'a Attributes>,
    pub(crate) doc: Doc<'a>,
    /// The compiled code.
    pub(crate) code: Option<&'a str>,
    /// The macros that the node calls, as a JSON list, if they were asked for.
    pub(crate) macros: Option<&'a str>,
    pub(crate) catalog: Option<Catalog<'a>>,
    pub(crate) last: Option<Attempt<'a>>,
    pub(crate) success: Option<Attempt<'a>>,
    pub(crate) freshness: Option<Check<'a>>,
    /// The statuses of the node's tests by their ids.
    pub(crate) test_statuses: Vec<(&'a str, &'a str)>,
}

/// An attempt at a node.
pub(crate) struct Attempt<'a> {
    pub(crate) row: &'a Outcome,
    pub(crate) result: NodeResult,
}

/// A freshness check.
pub(crate) struct Check<'a> {
    pub(crate) row: &'a Freshness,
    pub(crate) result: NodeResult,
}

/// A catalog entry.
pub(crate) struct Catalog<'a> {
    pub(crate) generated_at: DateTime<Utc>,
    pub(crate) run_id: Option<i64>,
    pub(crate) json: &'a str,
    pub(crate) doc: Doc<'a>,
}

impl<'a> Facts<'a> {
    pub(crate) fn config(&self) -> Doc<'a> {
        self.doc.object("config").unwrap_or_default()
    }

    /// A text of the definition, or else of its configuration.
    pub(crate) fn configured(&self, key: &str) -> Value<'a> {
        Value::of_text(self.doc.text(key).or_else(|| self.config().text(key)))
    }

    /// The macros that the node calls, by dbt's ids.
    pub(crate) fn macros(&self) -> Vec<String> {
        let list = self.macros.and_then(|list| serde_json::from_str(list).ok());
        list.unwrap_or_default()
    }

    pub(crate) fn text(&self, key: &str) -> Value<'a> {
        Value::of_text(self.doc.text(key))
    }

    /// The first of these fields that has a text: names changed between versions of dbt.
    pub(crate) fn first_text(&self, keys: &[&str]) -> Value<'a> {
        Value::of_text(keys.iter().find_map(|key| self.doc.text(key)))
    }
}

/// The value of a field.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Time(DateTime<Utc>),
    /// JSON as dbt wrote it.
    Raw(&'a RawValue),
    /// A JSON value. Its objects have the names of the schema.
    Json(serde_json::Value),
}

impl<'a> Value<'a> {
    pub(crate) fn of_text(text: Option<Cow<'a, str>>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    pub(crate) fn of_str(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(Cow::Borrowed(text)))
    }

    pub(crate) fn of_int(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }

    pub(crate) fn of_float(value: Option<f64>) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::Null, Self::Float)
    }

    pub(crate) fn of_bool(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    pub(crate) fn of_time(value: Option<DateTime<Utc>>) -> Self {
        value.map_or(Self::Null, Self::Time)
    }

    pub(crate) fn of_raw(value: Option<&'a RawValue>) -> Self {
        value.map_or(Self::Null, Self::Raw)
    }

    pub(crate) fn of_texts(texts: Vec<Cow<'a, str>>) -> Self {
        Self::Json(
            texts
                .into_iter()
                .map(|text| serde_json::Value::from(text.into_owned()))
                .collect(),
        )
    }
}

/// A time as the schema's `DateTime`.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The same as a JSON value.
pub(crate) fn time_json(at: Option<DateTime<Utc>>) -> serde_json::Value {
    at.map_or(serde_json::Value::Null, |at| time(at).into())
}
