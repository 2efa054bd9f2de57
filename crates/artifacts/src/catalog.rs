//! The contents of a catalog: the tables in the warehouse, with their columns and statistics.

use super::raw::{Entries, integer, list, object_of};
use schemas::Sha256;

/// A catalog of any version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Nodes and sources, in the order of the file.
    pub nodes: Vec<CatalogNode>,
    /// Whether the file lists errors, which means that dbt could not query some tables.
    pub has_errors: bool,
}

/// A table as it is in the warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogNode {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The hash of the id and `json`.
    pub sha256: Sha256,
    /// The entry from the file, with sorted keys.
    pub json: Vec<u8>,
}

/// A column as it is in the warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogColumn {
    /// The name of the column, in the warehouse's letter case.
    pub name: String,
    /// The warehouse's data type.
    pub data_type: Option<String>,
    /// The position in the table, counted from 1 (from 0 in some warehouses).
    pub index: Option<i64>,
    /// The comment in the warehouse.
    pub comment: Option<String>,
}

impl Catalog {
    pub(super) fn read(file: &Entries<'_>) -> Self {
        let sections = ["nodes", "sources"].iter().filter_map(|section| file.get(section));
        let nodes = sections.filter_map(Entries::of).flat_map(|entries| {
            let nodes = entries
                .0
                .iter()
                .filter_map(|(key, value)| CatalogNode::read(key, value));
            nodes.collect::<Vec<_>>()
        });
        let errors = file.get("errors").and_then(list);
        Self {
            nodes: nodes.collect(),
            has_errors: errors.is_some_and(|errors| !errors.is_empty()),
        }
    }
}

impl CatalogNode {
    fn read(key: &str, value: &serde_json::value::RawValue) -> Option<Self> {
        let entries = Entries::of(value)?;
        let unique_id = entries.text("unique_id").map_or_else(|| key.to_owned(), String::from);
        let mut fields: Vec<_> = entries.0.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
        fields.sort_by_key(|(key, _)| *key);
        let json = object_of(&fields);
        // The hash includes the id, because two tables may be identical except for it.
        let sha256 = Sha256::of(&[unique_id.as_bytes(), b"\0", &json].concat());
        Some(Self {
            unique_id,
            sha256,
            json,
        })
    }

    /// Returns the columns in order, given an entry in the form of [`CatalogNode::json`].
    #[must_use]
    pub fn columns_of(json: &[u8]) -> Vec<CatalogColumn> {
        let columns = serde_json::from_slice(json).ok().and_then(Entries::of);
        let Some(columns) = columns.and_then(|node| Entries::of(node.get("columns")?)) else {
            return Vec::new();
        };
        let mut columns: Vec<CatalogColumn> = columns
            .0
            .iter()
            .filter_map(|(key, value)| {
                let column = Entries::of(value)?;
                Some(CatalogColumn {
                    name: column
                        .text("name")
                        .map_or_else(|| key.clone().into_owned(), String::from),
                    data_type: column.text("type").map(String::from),
                    index: column.get("index").and_then(integer),
                    comment: column.text("comment").map(String::from),
                })
            })
            .collect();
        columns.sort_by_key(|column| column.index);
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArtifactText;

    #[test]
    fn finds_tables_and_their_columns() {
        let text = r#"{"nodes": {"model.p.a": {"unique_id": "model.p.a", "metadata": {"type": null}, "columns":
                {"ID": {"type": "INT", "index": 2, "name": "ID", "comment": null}, "X": {"type": "TEXT", "index": 1, "name": "X"}}}},
            "sources": {"source.p.s.t": {"columns": {}}, "odd": 3}, "errors": null}"#;
        let catalog = ArtifactText::read(text.into()).unwrap().catalog().unwrap();
        let ids: Vec<_> = catalog.nodes.iter().map(|node| node.unique_id.as_str()).collect();
        assert_eq!(ids, ["model.p.a", "source.p.s.t"]);
        assert!(!catalog.has_errors);
        let failed = ArtifactText::read(text.replace(r#""errors": null"#, r#""errors": ["no grant"]"#).into());
        assert!(failed.unwrap().catalog().unwrap().has_errors);
        let columns = CatalogNode::columns_of(&catalog.nodes[0].json);
        let columns: Vec<_> = columns
            .iter()
            .map(|column| (column.name.as_str(), column.data_type.as_deref()))
            .collect();
        assert_eq!(columns, [("X", Some("TEXT")), ("ID", Some("INT"))]);
    }
}
