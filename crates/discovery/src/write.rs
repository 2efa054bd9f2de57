//! Writes an answer as JSON, node by node, so that only its text and the stored data are in memory.

mod frames;
mod node;
mod output;

use std::time::Instant;

use serde_json::Value as Json;

use crate::data::Data;
use crate::error::Error;
use crate::memory::Memory;
use crate::plan::{Selected, TYPENAME};
use crate::semantic::Shared;
use crate::tree::{Edge, EdgeNode, Tree};
use crate::types::FieldType;
use output::Output;

pub(crate) use frames::Frames;
pub(crate) use output::MAX_ANSWER;
pub use output::Pieces;

/// Writes trees.
pub(crate) struct Writer<'a> {
    datas: &'a [Data],
    output: Output,
    frames: &'a Frames,
    deadline: Instant,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(datas: &'a [Data], frames: &'a Frames, deadline: Instant, memory: Memory) -> Self {
        Self {
            datas,
            output: Output::new(memory),
            frames,
            deadline,
        }
    }

    pub(crate) fn finish(self) -> (Pieces, Memory) {
        self.output.finish()
    }

    /// Writes text that is JSON already.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Error> {
        self.output.raw(text)
    }

    fn is_late(&self) -> Result<(), Error> {
        if Instant::now() > self.deadline {
            return Err(Error::Late);
        }
        Ok(())
    }

    pub(crate) fn tree(&mut self, tree: &Tree) -> Result<(), Error> {
        match tree {
            Tree::Null => self.raw("null"),
            Tree::Json(value, selected) => self.json(value, selected),
            Tree::Object(fields) => {
                self.raw("{")?;
                for (number, (key, value)) in fields.iter().enumerate() {
                    self.key(key, number == 0)?;
                    self.tree(value)?;
                }
                self.raw("}")
            }
            Tree::List(items) => {
                self.raw("[")?;
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.raw(",")?;
                    }
                    self.tree(item)?;
                }
                self.raw("]")
            }
            Tree::Nodes {
                data,
                shape,
                indices,
                selected,
            } => self.nodes(*data, *shape, indices, selected),
            Tree::Node {
                data,
                shape,
                index,
                selected,
            } => match index {
                Some(index) => self.node(*data, *shape, *index, selected),
                None => self.raw("null"),
            },
            Tree::Shared(shared, selected) => self.shared(shared, selected),
            Tree::Edges(edges, selected) => {
                self.raw("[")?;
                for (number, edge) in edges.iter().enumerate() {
                    if number > 0 {
                        self.raw(",")?;
                    }
                    self.edge(edge, selected)?;
                }
                self.raw("]")
            }
        }
    }

    fn shared(&mut self, shared: &Shared, selected: &Selected) -> Result<(), Error> {
        self.is_late()?;
        self.raw("[")?;
        for (number, item) in shared.items.iter().enumerate() {
            self.raw(if number == 0 { "{" } else { ",{" })?;
            for (number, field) in selected.only().fields.iter().enumerate() {
                self.key(&field.key, number == 0)?;
                match field.name.as_str() {
                    "name" | "qualifiedName" => self.output.text(&item.name)?,
                    _ => self.field_of_json(&item.value, field, selected)?,
                }
            }
            self.raw("}")?;
        }
        self.raw("]")
    }

    fn edge(&mut self, edge: &Edge, selected: &Selected) -> Result<(), Error> {
        self.raw("{")?;
        for (number, field) in selected.only().fields.iter().enumerate() {
            self.key(&field.key, number == 0)?;
            match field.name.as_str() {
                "cursor" => self.output.text(&edge.cursor)?,
                "node" => self.edge_node(&edge.node, field)?,
                _ => self.output.text(base(selected.ty))?,
            }
        }
        self.raw("}")
    }

    fn edge_node(&mut self, node: &EdgeNode, selected: &Selected) -> Result<(), Error> {
        match node {
            EdgeNode::Node { data, shape, index } => self.node(*data, *shape, *index, selected),
            EdgeNode::Json(value) => self.json(value, selected),
            EdgeNode::Hit { data, index, about } => {
                self.raw("{")?;
                for (number, field) in selected.only().fields.iter().enumerate() {
                    self.key(&field.key, number == 0)?;
                    if field.name == "hit" {
                        self.node(*data, crate::kind::Shape::Applied, *index, field)?;
                    } else {
                        self.field_of_json(about, field, selected)?;
                    }
                }
                self.raw("}")
            }
        }
    }

    fn key(&mut self, key: &str, is_first: bool) -> Result<(), Error> {
        if !is_first {
            self.raw(",")?;
        }
        // Names of GraphQL need no escapes.
        self.raw("\"")?;
        self.raw(key)?;
        self.raw("\":")
    }

    /// Writes what is selected of a value, whose objects have the names of the schema.
    pub(crate) fn json(&mut self, value: &Json, selected: &Selected) -> Result<(), Error> {
        let is_list = selected.ty.is_some_and(|ty| ty.is_list);
        match value {
            Json::Array(items) if is_list => {
                self.raw("[")?;
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.raw(",")?;
                    }
                    self.item(item, selected)?;
                }
                self.raw("]")
            }
            value if value.is_null() || is_list => self.null(selected),
            value => self.item(value, selected),
        }
    }

    fn item(&mut self, value: &Json, selected: &Selected) -> Result<(), Error> {
        let base = base(selected.ty);
        // Only what has fields can be asked for fields, and must be.
        if !selected.sub.is_empty() {
            self.raw("{")?;
            for (number, field) in selected.only().fields.iter().enumerate() {
                self.key(&field.key, number == 0)?;
                self.field_of_json(value, field, selected)?;
            }
            return self.raw("}");
        }
        match (base, value) {
            ("String", Json::Number(_) | Json::Bool(_)) => self.output.text(&value.to_string()),
            ("String", Json::Object(_) | Json::Array(_)) => self.output.text(&value.to_string()),
            ("Int" | "BigInt" | "Float", value) if !value.is_number() => self.null(selected),
            ("Boolean", value) if !value.is_boolean() => self.null(selected),
            ("JSONObject", value) if !value.is_object() => self.null(selected),
            (_, Json::String(text)) => self.output.text(text),
            (_, value) => self.output.json(value),
        }
    }

    fn field_of_json(&mut self, object: &Json, field: &Selected, of: &Selected) -> Result<(), Error> {
        if field.name == TYPENAME {
            return self.output.text(base(of.ty));
        }
        self.json(&object[field.name.as_str()], field)
    }

    /// Writes null, or its substitute if the schema does not allow null.
    fn null(&mut self, selected: &Selected) -> Result<(), Error> {
        let Some(ty) = selected.ty.filter(|ty| ty.is_non_null) else {
            return self.raw("null");
        };
        match ty.base.as_str() {
            _ if ty.is_list => self.raw("[]"),
            "String" => self.raw("\"\""),
            "Int" | "BigInt" | "Float" => self.raw("0"),
            "Boolean" => self.raw("false"),
            "JSONObject" => self.raw("{}"),
            base if selected.sub.contains_key(base) => self.item(&Json::Null, selected),
            _ => self.raw("null"),
        }
    }
}

fn base(ty: Option<&'static FieldType>) -> &'static str {
    ty.map(|ty| ty.base.as_str()).unwrap_or_default()
}
