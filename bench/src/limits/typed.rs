//! A manifest as a typed reader parses it.
#![expect(dead_code, reason = "only reading is measured; most fields are not used")]

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A text that is borrowed if it has no escapes.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The parts of a manifest that a reader needs.
#[derive(Deserialize)]
pub(super) struct Manifest<'a> {
    #[serde(borrow)]
    metadata: HashMap<Text<'a>, &'a RawValue>,
    #[serde(borrow)]
    pub(super) nodes: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    sources: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    macros: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    exposures: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    docs: HashMap<Text<'a>, Node<'a>>,
    #[serde(borrow)]
    parent_map: HashMap<Text<'a>, Vec<Text<'a>>>,
    #[serde(borrow)]
    child_map: HashMap<Text<'a>, Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Node<'a> {
    #[serde(borrow)]
    unique_id: Option<Text<'a>>,
    #[serde(borrow)]
    resource_type: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    package_name: Option<Text<'a>>,
    #[serde(borrow)]
    original_file_path: Option<Text<'a>>,
    #[serde(borrow)]
    relation_name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    fqn: Vec<Text<'a>>,
    #[serde(borrow)]
    tags: Vec<Text<'a>>,
    #[serde(borrow)]
    config: HashMap<Text<'a>, &'a RawValue>,
    #[serde(borrow)]
    columns: HashMap<Text<'a>, Column<'a>>,
    #[serde(borrow)]
    raw_code: Option<Text<'a>>,
    #[serde(borrow)]
    compiled_code: Option<Text<'a>>,
    #[serde(borrow)]
    depends_on: DependsOn<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DependsOn<'a> {
    #[serde(borrow)]
    macros: Vec<Text<'a>>,
    #[serde(borrow)]
    nodes: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Column<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    data_type: Option<Text<'a>>,
}
