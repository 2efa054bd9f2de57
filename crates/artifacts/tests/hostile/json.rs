//! Generates texts with the structure of artifacts and unexpected values.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A placeholder for a byte that is not UTF-8.
const INVALID_BYTE: char = '\u{e000}';

const SPACE: &[&str] = &["", "", " ", "\n\t", "\r\n  "];

const WORDS: &[&str] = &[
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "0",
    "-1.5e+3",
    "1e999",
    "18446744073709551615",
    "-9223372036854775808",
    "\"\"",
    "\"model.other_project.a\"",
    "\"../../etc/passwd\"",
    "\"success\"",
    "\"true\"",
];

const TIMES: &[&str] = &[
    "\"2026-01-01T00:00:00.5Z\"",
    "\"0000-01-01T00:00:00+23:59\"",
    "\"9999-12-31T23:59:60-23:59\"",
    "\"-262143-01-01T00:00:00\"",
];

/// Parts of JSON strings, as written between the quotes.
const PARTS: &[&str] = &[
    "\\u0000",
    "\\ud800",
    "\\uDFFF",
    "\\udc00\\ud83d",
    "\\ud83d\\ude00",
    "\\\\ud800",
    "\\\"",
    "\\\\",
    "\\n",
    "NaN",
    "{[,:]}",
    "\u{e000}",
    "\u{202e}😀é",
];

const FIELDS: &[&str] = &[
    "unique_id",
    "resource_type",
    "name",
    "package_name",
    "raw_sql",
    "raw_code",
    "compiled",
    "compiled_code",
    "created_at",
    "config",
    "materialized",
    "tags",
    "meta",
    "depends_on",
    "nodes",
    "macros",
    "attached_node",
    "checksum",
    "columns",
    "data_type",
    "status",
    "state",
    "message",
    "error",
    "fail",
    "failures",
    "timing",
    "started_at",
    "completed_at",
    "execution_time",
    "adapter_response",
    "rows_affected",
    "node",
    "max_loaded_at",
    "snapshotted_at",
    "max_loaded_at_time_ago_in_s",
    "criteria",
    "type",
    "index",
    "comment",
];

const SECTIONS: &[&str] = &[
    "nodes",
    "macros",
    "sources",
    "docs",
    "unit_tests",
    "semantic_things",
    "parent_map",
    "disabled",
    "results",
    "args",
    "meta",
    "elapsed_time",
    "generated_at",
];

const METADATA: &[&str] = &[
    "dbt_version",
    "dbt_schema_version",
    "generated_at",
    "invocation_id",
    "env",
    "project_name",
    "x",
];

/// A value of any type. Objects have fields of nodes and results.
pub(crate) fn value() -> impl Strategy<Value = String> + Clone {
    let leaf = prop_oneof![4 => select(WORDS).prop_map(str::to_owned), 1 => time(), 2 => string()];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            list(inner.clone()),
            object(select(FIELDS).prop_map(quoted), inner.clone()),
            object(string(), inner),
        ]
    })
    .boxed()
}

/// A manifest, or a file that could be run results or a catalog. [`bytes`] turns it into a file. Sections and fields may be repeated.
pub(crate) fn artifact() -> impl Strategy<Value = String> {
    let node = object(select(FIELDS).prop_map(quoted), value());
    let entry = prop_oneof![4 => node, 1 => value()].boxed();
    let section = prop_oneof![
        4 => object(string(), entry.clone()),
        2 => list(entry),
        1 => value(),
    ];
    let metadata = object(select(METADATA).prop_map(quoted), prop_oneof![time(), value()]);
    let member = prop_oneof![
        3 => (select(SECTIONS).prop_map(quoted), section),
        1 => (Just(quoted("metadata")), metadata),
    ];
    let member = member.prop_map(|(key, value)| key + ":" + &value);
    (select(&["", "\u{feff}"][..]), enclosed('{', vec(member, 0..5), '}'))
        .prop_map(|(mark, text)| mark.to_owned() + &text)
}

/// Replaces the placeholders with bytes that are not UTF-8.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split(INVALID_BYTE).map(str::as_bytes).collect();
    parts.join(&0xff)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn time() -> impl Strategy<Value = String> + Clone {
    select(TIMES).prop_map(str::to_owned)
}

fn string() -> impl Strategy<Value = String> + Clone {
    let plain = any::<char>().prop_filter_map("must be escaped", |letter| {
        (!letter.is_control() && letter != '"' && letter != '\\').then(|| letter.to_string())
    });
    let part = prop_oneof![plain, select(PARTS).prop_map(str::to_owned)];
    vec(part, 0..5).prop_map(|parts| quoted(&parts.concat())).boxed()
}

fn list(item: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    enclosed('[', vec(item, 0..4), ']')
}

fn object(key: impl Strategy<Value = String>, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (key, select(SPACE), value).prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
    enclosed('{', vec(member, 0..6), '}')
}

fn enclosed(open: char, items: impl Strategy<Value = Vec<String>>, close: char) -> impl Strategy<Value = String> {
    (select(SPACE), items).prop_map(move |(space, items)| {
        let items = items.join(&format!("{space},{space}"));
        format!("{open}{space}{items}{space}{close}")
    })
}
