//! Writes a node.

use artifacts::NodeResult;
use read_model::queries::discovery::Outcome;
use serde_json::Value as Json;

use super::{Writer, base};
use crate::data::Data;
use crate::doc::Doc;
use crate::error::Error;
use crate::facts::{Attempt, Catalog, Check, Facts, Value, time};
use crate::graph::NodeIndex;
use crate::kind::Shape;
use crate::needs::Needs;
use crate::plan::{Selected, TYPENAME};
use crate::related::related;
use crate::types::TYPES;
use crate::values::Reader;

impl Writer<'_> {
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
        let definition = self.json_of(
            data,
            index,
            needs.has(Needs::DEFINITION).then(|| data.definitions.get(&index)),
        );
        let code = self.json_of(data, index, needs.has(Needs::CODE).then(|| data.codes.get(&index)));
        let macros = self.json_of(data, index, data.macros.get(&index).map(Some));
        let entry = data.catalogs.get(&index).filter(|_| needs.has(Needs::CATALOG));
        let catalog = self.json_of(data, index, entry.map(|entry| Some(&entry.doc)));
        let outcomes = (data.last.get(&index), data.success(index));
        let (last, success) = if needs.has(Needs::RESULTS) {
            outcomes
        } else {
            (None, None)
        };
        let check = data.freshness.get(&index).filter(|_| needs.has(Needs::FRESHNESS));
        let of_check = match check {
            Some(row) => self.result_of(data, index, &row.doc),
            None => NodeResult::default(),
        };
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
                json,
                doc: Doc::of(json),
            }),
            last: last.map(|row| self.attempt_of(data, index, row)),
            success: success.map(|row| self.attempt_of(data, index, row)),
            freshness: check.map(|row| Check { row, result: of_check }),
            test_statuses,
        };
        self.raw("{")?;
        for (number, field) in selection.fields.iter().enumerate() {
            self.key(&field.key, number == 0)?;
            match field.reader {
                Some(Reader::Value(_, read)) => self.value(read(&facts), field)?,
                Some(Reader::Nodes(relation)) => {
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

    fn value(&mut self, value: Value<'_>, field: &Selected) -> Result<(), Error> {
        match value {
            Value::Null => self.null(field),
            Value::Bool(value) => self.raw(if value { "true" } else { "false" }),
            Value::Int(value) => self.output.display(value),
            Value::Float(value) => self.output.json(&Json::from(value)),
            Value::Text(text) => self.output.text(&text),
            Value::Time(at) => self.output.text(&time(at)),
            Value::Raw(raw) => self.raw(raw.get()),
            Value::Json(Json::Null) => self.null(field),
            Value::Json(value) if TYPES.is_composite(base(field.ty)) => self.json(&value, field),
            Value::Json(value) => self.output.json(&value),
        }
    }

    /// Decompresses a stored text, if the query needs it and there is one.
    fn json_of(&mut self, data: &Data, index: NodeIndex, frame: Option<Option<&Vec<u8>>>) -> Option<String> {
        let frame = frame??;
        let read = self.decoder.decode(frame).map_err(|error| error.to_string());
        match read.and_then(|json| String::from_utf8(json).map_err(|error| error.to_string())) {
            Ok(json) => Some(json),
            Err(error) => {
                let id = data.graph().id(index);
                self.unreadable
                    .get_or_insert_with(|| format!("cannot read what is stored of `{id}`: {error}"));
                None
            }
        }
    }

    fn result_of(&mut self, data: &Data, index: NodeIndex, frame: &Vec<u8>) -> NodeResult {
        let json = self.json_of(data, index, Some(Some(frame)));
        json.and_then(|json| NodeResult::from_json(json.as_bytes()))
            .unwrap_or_default()
    }

    fn attempt_of<'r>(&mut self, data: &Data, index: NodeIndex, row: &'r Outcome) -> Attempt<'r> {
        Attempt {
            row,
            result: self.result_of(data, index, &row.doc),
        }
    }
}

/// The last statuses of a node's tests, by their ids.
fn statuses(data: &Data, index: NodeIndex) -> Vec<(&str, &str)> {
    let tests = data.graph().node(index).tests.iter();
    let statuses = tests.filter_map(|test| Some((data.graph().id(*test), data.last.get(test)?.status.as_str())));
    statuses.collect()
}
