//! Nodes of manifests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use read_model::doc::decode_doc;
use read_model::queries;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Error;

/// A node as dbt wrote it into the manifest, without what changes at every parse. Its other fields depend on its type and on the version of
/// dbt: see dbt's JSON schema of manifests.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Node(Box<RawValue>);

impl Node {
    pub(crate) fn new(row: &queries::nodes::Node) -> Result<Self, Error> {
        let doc = decode_doc(&row.doc)?;
        let present: Present = serde_json::from_slice(&doc).map_err(|error| unreadable(row, &error))?;
        let whole = if present.unique_id.is_some() && present.resource_type.is_some() {
            let text = String::from_utf8(doc).map_err(|error| unreadable(row, &error))?;
            RawValue::from_string(text)
        } else {
            to_raw_value(&Fields::new(row)?)
        };
        whole.map(Self).map_err(|error| unreadable(row, &error))
    }
}

fn unreadable(row: &queries::nodes::Node, error: &dyn Display) -> Error {
    Error::unreadable(&format_args!(
        "the stored node `{}` is not an object: {error}",
        row.unique_id
    ))
}

/// Which of the fields that every node has here are in its definition.
#[derive(Deserialize)]
struct Present {
    unique_id: Option<IgnoredAny>,
    resource_type: Option<IgnoredAny>,
}

/// A node field by field.
#[derive(Debug, Serialize)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    pub(crate) fn new(row: &queries::nodes::Node) -> Result<Self, Error> {
        let doc = decode_doc(&row.doc)?;
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&doc).map_err(|error| unreadable(row, &error))?;
        // Old versions of dbt wrote nodes without these.
        for (name, value) in [("unique_id", &row.unique_id), ("resource_type", &row.resource_type)] {
            if !fields.contains_key(name) {
                let value = to_raw_value(value).map_err(|error| unreadable(row, &error))?;
                fields.insert(name.to_owned(), value);
            }
        }
        Ok(Self(fields))
    }

    /// A field as it is in the manifest; none if it is absent or null.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&RawValue> {
        self.0.get(key).map(AsRef::as_ref).filter(|value| value.get() != "null")
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }
}

/// The fields of nodes that most types have in most versions of dbt.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON that is passed on as dbt wrote it")]
struct NodeFields {
    /// dbt's id, such as `model.shop.orders`.
    unique_id: String,
    /// Such as `model`, `test`, `source` or `macro`.
    resource_type: String,
    /// The name within its package.
    name: Option<String>,
    /// The dbt project or package that defines it.
    package_name: Option<String>,
    /// Where it is defined, from the project's folder.
    original_file_path: Option<String>,
    description: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    /// The name of its table or view.
    alias: Option<String>,
    relation_name: Option<String>,
    /// The code with its Jinja; before dbt 1.3 `raw_sql`.
    raw_code: Option<String>,
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    meta: Option<()>,
    #[schema(value_type = Option<Object>)]
    config: Option<()>,
    /// The declared columns by name.
    #[schema(value_type = Option<Object>)]
    columns: Option<()>,
    #[schema(value_type = Option<Object>)]
    depends_on: Option<()>,
}

fn open_schema() -> RefOr<Schema> {
    let mut schema = NodeFields::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
    }
    schema
}

impl PartialSchema for Node {
    fn schema() -> RefOr<Schema> {
        open_schema()
    }
}

impl ToSchema for Node {
    fn name() -> Cow<'static, str> {
        "Node".into()
    }
}

impl PartialSchema for Fields {
    fn schema() -> RefOr<Schema> {
        open_schema()
    }
}

impl ToSchema for Fields {
    fn name() -> Cow<'static, str> {
        "Node".into()
    }
}
