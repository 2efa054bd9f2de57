//! Everything that is known about a node while it is written.

use std::borrow::Cow;
use std::cell::OnceCell;

use artifacts::NodeResult;
use chrono::{DateTime, Utc};
use read_model::queries::discovery::{Freshness, Outcome};
use serde_json::value::RawValue;

use crate::doc::Doc;
use crate::graph::{Attributes, GraphNode};
use crate::scope::Scope;
use crate::write::Frames;

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
    /// The last success, if it is not the last attempt.
    pub(crate) earlier_success: Option<Attempt<'a>>,
    /// For a test, the status of the last attempt that was not skipped, or else of the last attempt.
    pub(crate) last_known_result: Option<&'a str>,
    pub(crate) freshness: Option<Check<'a>>,
    /// The statuses of the node's tests by their ids.
    pub(crate) test_statuses: Vec<(&'a str, &'a str)>,
}

/// An attempt at a node.
pub(crate) struct Attempt<'a> {
    pub(crate) row: &'a Outcome,
    frames: &'a Frames,
    result: OnceCell<NodeResult>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(row: &'a Outcome, frames: &'a Frames) -> Self {
        Self {
            row,
            frames,
            result: OnceCell::new(),
        }
    }

    /// What dbt wrote about it. It is read when it is needed, because the status is in the row.
    pub(crate) fn result(&self) -> &NodeResult {
        self.result
            .get_or_init(|| self.frames.result(&self.row.doc, &self.row.unique_id))
    }
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
    pub(crate) doc: Doc<'a>,
}

impl<'a> Facts<'a> {
    /// The last success.
    pub(crate) fn success(&self) -> Option<&Attempt<'a>> {
        let last = self.last.as_ref().filter(|last| last.row.is_success);
        last.or(self.earlier_success.as_ref())
    }

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

/// An object whose fields are made only if the query asks for them: a page may have thousands of them.
pub(crate) struct Object<'a>(Box<dyn Fn(&str) -> Value<'a> + 'a>);

impl<'a> Object<'a> {
    /// An object that reads its fields by their names in the schema.
    pub(crate) fn new(read: impl Fn(&str) -> Value<'a> + 'a) -> Self {
        Self(Box::new(read))
    }

    pub(crate) fn field(&self, name: &str) -> Value<'a> {
        (self.0)(name)
    }
}

/// The value of a field.
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Time(DateTime<Utc>),
    /// JSON as dbt wrote it.
    Raw(&'a RawValue),
    Texts(Vec<Cow<'a, str>>),
    Object(Object<'a>),
    Objects(Vec<Object<'a>>),
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
        Self::Texts(texts)
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
