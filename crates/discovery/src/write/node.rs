//! Writes a node.

use read_model::queries::discovery::Outcome;
use serde_json::Value as Json;

use super::{Writer, base};
use crate::data::Data;
use crate::doc::Doc;
use crate::error::Error;
use crate::facts::{Attempt, Catalog, Check, Facts, Object, Value, time};
use crate::graph::NodeIndex;
use crate::kind::Shape;
use crate::needs::Needs;
use crate::plan::{Selected, TYPENAME};
use crate::related::related;
use crate::types::TYPES;
use crate::values::Reader;

impl<'w> Writer<'w> {
    pub(super) fn nodes(
        &mut self,
        data: usize,
        shape: Shape,
        indices: &[NodeIndex],
        selected: &Selected,
    ) -> Result<(), Error> {
        self.raw("[")?;
        for (number, index) in indices.iter().enumerate() {
            if number > 0 {
                self.raw(",")?;
            }
            self.node(data, shape, *index, selected)?;
        }
        self.raw("]")
    }

    pub(super) fn node(
        &mut self,
        data_number: usize,
        shape: Shape,
        index: NodeIndex,
        selected: &Selected,
    ) -> Result<(), Error> {
        self.is_late()?;
        let datas = self.datas;
        let data = &datas[data_number];
        let node = data.graph().node(index);
        let type_name = node.kind.and_then(|kind| shape.type_name(kind));
        let Some((type_name, selection)) = type_name.and_then(|name| Some((name, selected.sub.get(name)?))) else {
            return self.raw("null");
        };
        let needs = selection.needs;
        let frames = self.frames;
        let read = |frame: Option<&Vec<u8>>| frame.and_then(|frame| frames.json(frame, &node.unique_id));
        let definition = read(
            data.stored
                .definitions
                .get(&index)
                .filter(|_| needs.has(Needs::DEFINITION)),
        );
        let code = read(data.stored.codes.get(&index).filter(|_| needs.has(Needs::CODE)));
        let macros = read(data.stored.macros.get(&index));
        let entry = data.stored.catalogs.get(&index).filter(|_| needs.has(Needs::CATALOG));
        let catalog = read(entry.map(|entry| &entry.doc));
        let attempt = |row: Option<&'w Outcome>| {
            let row = row.filter(|_| needs.has(Needs::RESULTS));
            row.map(|row| Attempt::new(row, frames))
        };
        let check = data
            .stored
            .freshness
            .get(&index)
            .filter(|_| needs.has(Needs::FRESHNESS));
        let test_statuses = if needs.has(Needs::TESTS) {
            statuses(data, index)
        } else {
            Vec::new()
        };
        let attributes = data.graph().attributes();
        let facts = Facts {
            scope: &data.scope,
            node,
            attributes: attributes.map(|attributes| &attributes[index as usize]),
            doc: definition.as_deref().map(Doc::of).unwrap_or_default(),
            code: code.as_deref(),
            macros: macros.as_deref(),
            catalog: entry.zip(catalog.as_deref()).map(|(entry, json)| Catalog {
                generated_at: entry.generated_at,
                run_id: entry.run_id,
                doc: Doc::of(json),
            }),
            last: attempt(data.last.get(&index)),
            earlier_success: attempt(data.earlier_success.get(&index)),
            last_known_result: data.last_known_result(index),
            freshness: check.map(|row| Check {
                row,
                result: frames.result(&row.doc, &node.unique_id),
            }),
            test_statuses,
        };
        self.raw("{")?;
        for (number, field) in selection.fields.iter().enumerate() {
            self.key(&field.key, number == 0)?;
            match field.reader {
                Some(Reader::Value(_, read)) => self.value(read(&facts), field)?,
                Some(Reader::Nodes(relation)) => {
                    self.is_late()?;
                    let others = related(data.graph(), index, shape, relation, field);
                    if field.ty.is_some_and(|ty| ty.is_list) {
                        self.nodes(data_number, shape.nested(), &others, field)?;
                    } else {
                        match others.first() {
                            Some(other) => self.node(data_number, shape.nested(), *other, field)?,
                            None => self.raw("null")?,
                        }
                    }
                }
                None if field.name == TYPENAME => self.output.text(type_name)?,
                None => self.raw("null")?,
            }
        }
        self.raw("}")
    }

    fn object(&mut self, object: &Object<'_>, selected: &Selected) -> Result<(), Error> {
        self.raw("{")?;
        for (number, field) in selected.only().fields.iter().enumerate() {
            self.key(&field.key, number == 0)?;
            if field.name == TYPENAME {
                self.output.text(base(selected.ty))?;
            } else {
                self.value(object.field(&field.name), field)?;
            }
        }
        self.raw("}")
    }

    fn value(&mut self, value: Value<'_>, field: &Selected) -> Result<(), Error> {
        match value {
            Value::Null => self.null(field),
            Value::Bool(value) => self.raw(if value { "true" } else { "false" }),
            Value::Int(value) => self.output.display(value),
            Value::Float(value) => self.output.json(&Json::from(value)),
            Value::Text(text) => self.output.text(&text),
            Value::Time(at) => self.output.text(&time(at)),
            Value::Raw(raw) => self.raw(raw.get()),
            Value::Texts(texts) => {
                self.raw("[")?;
                for (number, text) in texts.iter().enumerate() {
                    if number > 0 {
                        self.raw(",")?;
                    }
                    self.output.text(text)?;
                }
                self.raw("]")
            }
            Value::Object(object) => self.object(&object, field),
            Value::Objects(objects) => {
                self.raw("[")?;
                for (number, object) in objects.iter().enumerate() {
                    if number > 0 {
                        self.raw(",")?;
                    }
                    self.object(object, field)?;
                }
                self.raw("]")
            }
            Value::Json(Json::Null) => self.null(field),
            Value::Json(value) if TYPES.is_composite(base(field.ty)) => self.json(&value, field),
            Value::Json(value) => self.output.json(&value),
        }
    }
}

/// The last statuses of a node's tests, by their ids.
fn statuses(data: &Data, index: NodeIndex) -> Vec<(&str, &str)> {
    let tests = data.graph().node(index).tests.iter();
    let statuses = tests.filter_map(|test| Some((data.graph().id(*test), data.last.get(test)?.status.as_str())));
    statuses.collect()
}
