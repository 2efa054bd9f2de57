//! What a database says, by `fixtures/earlier/rows.sql`, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::AssertSqlSafe;
use testkit::{System, repository_file};

/// The rows of each section by their keys.
pub(super) type Rows = BTreeMap<String, BTreeMap<String, Value>>;

/// The rows that the commit's build left in its database.
pub(super) fn recorded() -> Rows {
    rows(&std::fs::read(repository_file("fixtures/earlier/rows.json")).unwrap())
}

pub(super) async fn rows_of(system: &System) -> Rows {
    let statement = std::fs::read_to_string(repository_file("fixtures/earlier/rows.sql")).unwrap();
    let pool = system.database.pool("dbt_api_projector");
    let object: Value = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&pool)
        .await
        .unwrap();
    rows(object.to_string().as_bytes())
}

fn rows(object: &[u8]) -> Rows {
    // A section without rows is null, or empty.
    let sections: BTreeMap<String, Option<BTreeMap<String, Value>>> = serde_json::from_slice(object).unwrap();
    sections
        .into_iter()
        .map(|(section, rows)| (section, rows.unwrap_or_default()))
        .collect()
}

/// Returns a line for each row that is missing or new, and for each field that differs.
pub(super) fn differences(before: &Rows, after: &Rows) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    assert!(
        before.keys().eq(after.keys()),
        "rows.json was recorded with another rows.sql"
    );
    for (section, old) in before {
        let new = &after[section];
        for (key, row) in new {
            let Some(old) = old.get(key) else {
                lines.insert(format!("{section} {key}: new"));
                continue;
            };
            for (field, value) in row.as_object().unwrap() {
                if old[field] != *value {
                    lines.insert(format!("{section} {key}: {field} {} -> {value}", old[field]));
                }
            }
        }
        let missing = old.keys().filter(|key| !new.contains_key(*key));
        lines.extend(missing.map(|key| format!("{section} {key}: missing")));
    }
    lines
}
