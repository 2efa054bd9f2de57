//! Manifests of dbt projects of any size, modelled on a real project.
//!
//! The nodes of a generated manifest are real nodes from the project's fixture, written by dbt 1.12, with other names, columns and code.
//! The proportions are those of real projects: 3.5 tests and 18 columns per model, 21 KB per model in all, and dbt's own macros once.

use std::io;

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Value, json};

/// The kinds of tests: each model has unique and not_null on its key and relationships; every second model has accepted_values.
const TESTS: [&str; 4] = ["not_null", "unique", "relationships", "accepted_values"];

/// The number of columns of a model.
const COLUMNS: usize = 18;

/// One in this many models is read by an exposure.
const EXPOSURE_EVERY: usize = 50;

/// One in this many models reads a source.
const SOURCE_EVERY: usize = 5;

const WORDS: [&str; 48] = [
    "order", "customer", "amount", "total", "date", "created", "updated", "status", "region", "country", "channel",
    "price", "discount", "net", "gross", "margin", "invoice", "payment", "account", "session", "event", "device",
    "campaign", "source", "target", "weekly", "monthly", "daily", "first", "last", "active", "churned", "the", "of",
    "each", "by", "when", "is", "was", "counted", "in", "euro", "per", "line", "item", "product", "category", "store",
];

/// A project of generated models.
pub(crate) struct Project {
    models: usize,
    fixture: Value,
}

/// One parse of the project by dbt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parse {
    /// The number of the parse. Ids and times are derived from it.
    pub(crate) number: u64,
    /// The number of models, counted from the first, that differ from parse 0.
    pub(crate) changed: usize,
}

/// Writes JSON like Python's `json`, with a space after commas and colons.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn write(value: &impl Serialize, to: &mut Vec<u8>) -> anyhow::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(to, PythonFormatter))?;
    Ok(())
}

impl Project {
    pub(crate) fn new(models: usize) -> anyhow::Result<Self> {
        let path = testkit::repository_file("fixtures/manifests/v12-1.12.0.json");
        Ok(Self {
            models,
            fixture: serde_json::from_slice(&std::fs::read(path)?)?,
        })
    }

    /// Returns the project's manifest, as dbt writes it.
    pub(crate) fn manifest(&self, parse: Parse) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(self.models * 22_000 + 800_000);
        text.push(b'{');
        for (index, (section, fixture)) in self
            .fixture
            .as_object()
            .context("the fixture is not a JSON object")?
            .iter()
            .enumerate()
        {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            write(section, &mut text)?;
            text.extend_from_slice(b": ");
            match section.as_str() {
                "metadata" => write(&self.metadata(parse), &mut text)?,
                "nodes" => self.write_all(&mut text, |model| self.nodes_of(model, parse))?,
                "sources" => self.write_all(&mut text, |model| Ok(self.source_of(model)))?,
                "exposures" => self.write_all(&mut text, |model| Ok(self.exposure_of(model)))?,
                "parent_map" => self.write_all(&mut text, |model| Ok(self.parents_of(model)))?,
                "child_map" => self.write_all(&mut text, |model| Ok(self.children_of(model)))?,
                "macros" | "docs" | "selectors" | "disabled" => write(fixture, &mut text)?,
                _ => text.extend_from_slice(b"{}"),
            }
        }
        text.push(b'}');
        Ok(text)
    }

    /// The id, the name, and the columns of each model.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (String, String, Vec<String>)> {
        (0..self.models).map(|number| {
            let mut random = SmallRng::seed_from_u64(number as u64);
            let columns = columns_of(&mut random).map(|(name, _)| name).collect();
            (id_of(number), name_of(number), columns)
        })
    }

    /// The ids of the models and of their tests.
    pub(crate) fn built(&self) -> impl Iterator<Item = String> {
        (0..self.models).flat_map(|number| {
            let tests = tests_of(number).map(move |kind| test_id(number, kind));
            std::iter::once(id_of(number)).chain(tests)
        })
    }

    fn write_all(
        &self,
        text: &mut Vec<u8>,
        entries_of: impl Fn(usize) -> anyhow::Result<Vec<(String, Value)>>,
    ) -> anyhow::Result<()> {
        text.push(b'{');
        let mut is_first = true;
        for model in 0..self.models {
            for (key, value) in entries_of(model)? {
                if !is_first {
                    text.extend_from_slice(b", ");
                }
                is_first = false;
                write(&key, text)?;
                text.extend_from_slice(b": ");
                write(&value, text)?;
            }
        }
        text.push(b'}');
        Ok(())
    }

    fn metadata(&self, parse: Parse) -> Value {
        let mut metadata = self.fixture["metadata"].clone();
        metadata["invocation_id"] = invocation_id(parse.number).into();
        metadata["generated_at"] = time_of(parse.number).into();
        metadata
    }

    /// Returns a model and its tests.
    fn nodes_of(&self, number: usize, parse: Parse) -> anyhow::Result<Vec<(String, Value)>> {
        let mut random = SmallRng::seed_from_u64(number as u64);
        let (name, id) = (name_of(number), id_of(number));
        let mut model = self.fixture["nodes"]["model.shop.customers"].clone();
        let template = &model["columns"]["name"];
        let columns: Map<String, Value> = columns_of(&mut random)
            .map(|(name, description)| {
                let mut of_column = template.clone();
                of_column["name"] = name.clone().into();
                of_column["description"] = description.into();
                (name, of_column)
            })
            .collect();
        let upstream: Vec<String> = upstream_of(number).map(name_of).collect();
        let (raw_code, compiled_code) = code(&columns, &upstream, &mut random);
        let raw_code = match number < parse.changed {
            true => format!("{raw_code}\n-- changed in {}", parse.number),
            false => raw_code,
        };
        let folder = ["staging", "intermediate", "marts"][number % 3];
        let described = words(&mut random, 40);
        let fields = json!({
            "name": name, "unique_id": id, "alias": name, "fqn": ["shop", folder, name],
            "path": format!("{folder}/{name}.sql"), "original_file_path": format!("models/{folder}/{name}.sql"),
            "relation_name": format!("\"shop\".\"main\".\"{name}\""), "description": described, "columns": columns,
            "checksum": {"name": "sha256", "checksum": schemas::Sha256::of(raw_code.as_bytes()).to_string()},
            "raw_code": raw_code, "compiled": true, "compiled_code": compiled_code,
            "compiled_path": format!("target/compiled/shop/models/{folder}/{name}.sql"),
            "extra_ctes_injected": true, "extra_ctes": [], "doc_blocks": [], "primary_key": ["order_id"],
            "created_at": created_at(number, parse),
            "refs": upstream.iter().map(|name| json!({"name": name, "package": null, "version": null})).collect::<Vec<_>>(),
            "depends_on": {"macros": ["macro.shop.cents"], "nodes": parents(number)},
        });
        set(&mut model, fields);
        let mut nodes = vec![(id.clone(), model)];
        for kind in tests_of(number) {
            let template = match kind {
                "relationships" => {
                    "test.shop.relationships_stg_orders_customer_id__customer_id__ref_customers_.ce85de0fbf"
                }
                _ => "test.shop.unique_stg_orders_order_id.e3b841c71a",
            };
            let mut test = self.fixture["nodes"][template].clone();
            let (test_id, test_name) = (test_id(number, kind), format!("{kind}_{name}_order_id"));
            let compiled = format!(
                "\n    \n    \n\nselect\n    order_id as {kind}_field,\n    count(*) as n_records\n\nfrom \"shop\".\"main\".\"{name}\"\nwhere order_id is not null\ngroup by order_id\nhaving count(*) > 1\n\n\n"
            );
            let fields = json!({
                "name": test_name, "unique_id": test_id, "alias": test_name, "fqn": ["shop", folder, test_name],
                "path": format!("{test_name}.sql"), "original_file_path": format!("models/{folder}/schema.yml"),
                "raw_code": format!("{{{{ test_{kind}(**_dbt_generic_test_kwargs) }}}}"),
                "compiled": true, "compiled_code": compiled, "extra_ctes_injected": true, "extra_ctes": [],
                "compiled_path": format!("target/compiled/shop/models/{folder}/schema.yml/{test_name}.sql"),
                "build_path": format!("target/run/shop/models/{folder}/schema.yml/{test_name}.sql"),
                "created_at": created_at(number, parse), "column_name": "order_id",
                "file_key_name": format!("models.{name}"), "attached_node": id,
                "refs": [{"name": name, "package": null, "version": null}],
                "test_metadata": {
                    "name": kind, "namespace": null,
                    "kwargs": {"column_name": "order_id", "model": format!("{{{{ get_where_subquery(ref('{name}')) }}}}")},
                },
                "depends_on": {"macros": [format!("macro.dbt.test_{kind}"), "macro.dbt.get_where_subquery"], "nodes": [id]},
            });
            set(&mut test, fields);
            nodes.push((test_id, test));
        }
        Ok(nodes)
    }

    fn source_of(&self, number: usize) -> Vec<(String, Value)> {
        if !number.is_multiple_of(SOURCE_EVERY) {
            return Vec::new();
        }
        let mut source = self.fixture["sources"]["source.shop.crm.raw_customers"].clone();
        let (name, id) = (format!("raw_{}", name_of(number)), source_id(number));
        set(
            &mut source,
            json!({
                "name": name, "unique_id": id, "identifier": name, "fqn": ["shop", "crm", name],
                "relation_name": format!("\"shop\".\"main\".\"{name}\""),
            }),
        );
        vec![(id, source)]
    }

    fn exposure_of(&self, number: usize) -> Vec<(String, Value)> {
        if !number.is_multiple_of(EXPOSURE_EVERY) {
            return Vec::new();
        }
        let mut exposure = self.fixture["exposures"]["exposure.shop.weekly_report"].clone();
        let (name, id) = (format!("report_{number}"), exposure_id(number));
        set(
            &mut exposure,
            json!({
                "name": name, "unique_id": id, "fqn": ["shop", name],
                "depends_on": {"macros": [], "nodes": [id_of(number)]},
                "refs": [{"name": name_of(number), "package": null, "version": null}],
            }),
        );
        vec![(id, exposure)]
    }

    fn parents_of(&self, number: usize) -> Vec<(String, Value)> {
        let tests = tests_of(number).map(|kind| (test_id(number, kind), json!([id_of(number)])));
        let mut entries = vec![(id_of(number), json!(parents(number)))];
        entries.extend(tests);
        entries
    }

    fn children_of(&self, number: usize) -> Vec<(String, Value)> {
        let downstream =
            (number + 1..self.models.min(number + 4)).filter(|model| upstream_of(*model).any(|model| model == number));
        let tests = tests_of(number).map(|kind| test_id(number, kind));
        let children: Vec<String> = downstream.map(id_of).chain(tests).collect();
        vec![(id_of(number), json!(children))]
    }
}

/// Returns the invocation id of a parse.
pub(crate) fn invocation_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn time_of(number: u64) -> String {
    let seconds = number % 60;
    let (minutes, hours) = (number / 60 % 60, number / 3600 % 24);
    format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.123456Z")
}

fn created_at(number: usize, parse: Parse) -> f64 {
    1_767_225_600.0 + parse.number as f64 + number as f64 / 1_000_000.0
}

/// Returns the name of a model.
pub(crate) fn name_of(number: usize) -> String {
    format!("{}_{}_{number:05}", WORDS[number % 7], WORDS[7 + number % 11])
}

fn id_of(number: usize) -> String {
    format!("model.shop.{}", name_of(number))
}

fn source_id(number: usize) -> String {
    format!("source.shop.crm.raw_{}", name_of(number))
}

fn exposure_id(number: usize) -> String {
    format!("exposure.shop.report_{number}")
}

fn test_id(number: usize, kind: &str) -> String {
    format!("test.shop.{kind}_{}_order_id.{number:010x}", name_of(number))
}

fn tests_of(number: usize) -> impl Iterator<Item = &'static str> {
    let tests = if number.is_multiple_of(2) { 4 } else { 3 };
    TESTS.into_iter().take(tests)
}

fn upstream_of(number: usize) -> impl Iterator<Item = usize> {
    [1, 3].into_iter().filter_map(move |back| number.checked_sub(back))
}

fn parents(number: usize) -> Vec<String> {
    let source = number.is_multiple_of(SOURCE_EVERY).then(|| source_id(number));
    source.into_iter().chain(upstream_of(number).map(id_of)).collect()
}

/// The names and descriptions of a model's columns.
fn columns_of(random: &mut SmallRng) -> impl Iterator<Item = (String, String)> {
    (0..COLUMNS).map(move |column| {
        let name = match column {
            0 => "order_id".to_owned(),
            _ => format!("{}_{}_{column}", word(random), word(random)),
        };
        (name, words(random, 10))
    })
}

fn word(random: &mut SmallRng) -> &'static str {
    WORDS[random.random_range(0..WORDS.len())]
}

fn words(random: &mut SmallRng, count: usize) -> String {
    let words: Vec<&str> = (0..count).map(|_| word(random)).collect();
    words.join(" ")
}

/// Returns the code of a model, before and after compilation.
fn code(columns: &Map<String, Value>, upstream: &[String], random: &mut SmallRng) -> (String, String) {
    let selected: Vec<String> = columns
        .keys()
        .map(|column| {
            format!(
                "        coalesce(base.{column}, {}) as {column}, -- {}",
                random.random_range(0..1000),
                words(random, 3)
            )
        })
        .collect();
    let of = |relation: &dyn Fn(&str) -> String| {
        let from: Vec<String> = upstream
            .iter()
            .map(|name| {
                format!(
                    "    left join {} as {name} on {name}.order_id = base.order_id",
                    relation(name)
                )
            })
            .collect();
        format!(
            "with base as (\n    select\n{}\n    from raw_orders\n)\nselect base.*\nfrom base\n{}\nwhere base.order_id is not null",
            selected.join("\n"),
            from.join("\n")
        )
    };
    (
        of(&|name| format!("{{{{ ref('{name}') }}}}")),
        of(&|name| format!("\"shop\".\"main\".\"{name}\"")),
    )
}

fn set(node: &mut Value, fields: Value) {
    if let (Value::Object(node), Value::Object(fields)) = (node, fields) {
        node.extend(fields);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys(node: &Value) -> BTreeSet<&str> {
        node.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn manifest(models: usize, parse: Parse) -> (usize, Value) {
        let text = Project::new(models).unwrap().manifest(parse).unwrap();
        (text.len(), serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn generated_nodes_have_the_fields_and_sizes_of_real_ones() {
        let (size, generated) = manifest(100, Parse { number: 0, changed: 0 });
        let real = Project::new(0).unwrap().fixture;
        assert_eq!(keys(&generated), keys(&real));
        for section in ["nodes", "sources", "exposures"] {
            let of_type = |manifest: &Value| -> Vec<(String, BTreeSet<String>)> {
                let nodes = manifest[section].as_object().unwrap().values();
                nodes
                    .map(|node| {
                        let keys = keys(node).into_iter().map(str::to_owned).collect();
                        (node["resource_type"].as_str().unwrap().to_owned(), keys)
                    })
                    .collect()
            };
            let real = of_type(&real);
            for (resource_type, fields) in of_type(&generated) {
                // dbt omits these fields of nodes that it did not compile.
                let known: BTreeSet<String> = real
                    .iter()
                    .filter(|(real, _)| *real == resource_type)
                    .flat_map(|(_, fields)| fields.clone())
                    .collect();
                assert_eq!(fields, known, "{resource_type}");
            }
        }
        // A manifest of 100 models has 2.8 MB, one of 5,000 has 106.6 MB and 22,783 nodes.
        assert!((2_600_000..3_000_000).contains(&size), "{size}");
        let nodes = generated["nodes"].as_object().unwrap().len();
        assert!((440..470).contains(&nodes), "{nodes}");
    }

    #[test]
    fn a_parse_changes_only_the_requested_models_and_what_dbt_changes() {
        let (_, first) = manifest(10, Parse { number: 0, changed: 0 });
        let (_, second) = manifest(10, Parse { number: 1, changed: 1 });
        assert_ne!(first["metadata"]["invocation_id"], second["metadata"]["invocation_id"]);
        let code = |manifest: &Value, number| manifest["nodes"][id_of(number)]["raw_code"].clone();
        assert_ne!(code(&first, 0), code(&second, 0));
        assert_eq!(code(&first, 1), code(&second, 1));
    }
}
