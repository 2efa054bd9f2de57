//! Compares selections with those of dbt, which `fixtures/selection` has.

use std::collections::HashMap;
use std::time::Instant;

use artifacts::Manifest;
use read_model::queries::discovery::IndexedNode;

use super::{Nodes, Selector};
use crate::doc::Doc;
use crate::graph::{Attributes, Graph};

/// What differs, and why.
const DIFFERENT: [(&str, &str); 6] = [
    ("path:models/util.yml", OF_PACKAGES),
    ("path:models/calendar.sql", OF_PACKAGES),
    ("path:models/**/*.yml", OF_PACKAGES),
    ("path:**/*.sql", OF_PACKAGES),
    ("test_type:dat", "dbt takes any part of the word `data`"),
    ("tag.x:daily", "dbt ignores keys that a method does not take"),
];

const OF_PACKAGES: &str =
    "dbt looks only at the files of the project, which a manifest does not tell from those of its packages";

#[test]
fn selections_are_those_of_dbt() {
    let manifest = include_bytes!("../../../../fixtures/selection/manifest.json");
    let manifest = Manifest::read(manifest.to_vec()).unwrap();
    let mut read = manifest.map_nodes(|node| {
        let json = String::from_utf8(node.content().json).unwrap();
        let doc = Doc::of(&json);
        let row = IndexedNode {
            id: 0,
            unique_id: node.unique_id().to_owned(),
            resource_type: node.resource_type().to_owned(),
            name: doc.text("name").map(Into::into),
            package_name: doc.text("package_name").map(Into::into),
            materialized: None,
            attached_node: node.attached_node(),
            depends_on: node.depends_on_nodes(),
        };
        (row, Attributes::of(&doc), doc.json("config"))
    });
    read.sort_by(|one, other| one.0.unique_id.cmp(&other.0.unique_id));
    let (mut rows, mut attributes, mut configs) = (Vec::new(), Vec::new(), HashMap::new());
    for (index, (row, of_node, config)) in (0..).zip(read) {
        rows.push(row);
        attributes.push(of_node);
        configs.insert(index, config);
    }
    let nodes = Nodes {
        graph: &Graph::new(rows),
        attributes: &attributes,
        configs: &configs,
        project: Some("shop"),
        until: Instant::now() + crate::answer::MAX_TIME,
    };
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in include_str!("../../../../fixtures/selection/selections.txt").lines() {
        let mut fields = line.split('\t');
        let (select, exclude) = (fields.next().unwrap(), fields.next().unwrap());
        let expected = fields.next().unwrap();
        let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let found = match Selector::parse(given(select), given(exclude)) {
            Ok(selector) => {
                // dbt lists analyses only where an option asks for them, and the schema has none.
                let ids = selector
                    .apply(&nodes)
                    .unwrap()
                    .into_iter()
                    .map(|index| nodes.graph.id(index));
                let ids: Vec<&str> = ids.filter(|id| !id.starts_with("analysis.")).collect();
                ids.join(" ")
            }
            Err(_) => "error".to_owned(),
        };
        compared += 1;
        // What can select nothing is refused, while dbt only warns.
        let is_refused = found == "error" && expected.is_empty();
        if found != expected && !is_refused && !DIFFERENT.iter().any(|(different, _)| *different == select) {
            wrong.push(format!("{select} | {exclude}\n   dbt: {expected}\n  here: {found}"));
        }
    }
    assert!(compared > 100);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
