//! `searchResults`: nodes whose name, description, columns, code or table contain a text.

use std::sync::Arc;

use serde_json::json;

use super::Resolver;
use super::filter::Filter;
use crate::arguments::{argument, field, text, texts};
use crate::doc::Doc;
use crate::error::{Error, QueryError};
use crate::graph::NodeIndex;
use crate::kind::{Kind, Shape};
use crate::page::{Window, connection};
use crate::plan::Selected;
use crate::related::kinds;
use crate::tree::{Edge, EdgeNode, Tree};

/// The fields in the order in which they are searched. The first match is used.
const FIELDS: [&str; 5] = ["name", "description", "column", "relation", "code"];

/// How many characters around a match are shown.
const AROUND: usize = 60;

struct Hit {
    index: NodeIndex,
    field: &'static str,
    highlight: String,
}

impl Resolver<'_> {
    pub(super) async fn search(&mut self, data: usize, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let filter = argument(selected, "filter");
        let wanted = text(field(filter, "query")).unwrap_or_default().to_lowercase();
        if wanted.is_empty() {
            return Err(
                QueryError::invalid("invalid `filter.query`: expected a text that is not empty, got ``").into(),
            );
        }
        let fields = texts(field(filter, "fields"));
        let fields: Vec<&'static str> = FIELDS
            .into_iter()
            .filter(|name| fields.as_ref().is_none_or(|fields| fields.contains(name)))
            .collect();
        let all: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| Shape::Applied.type_name(*kind).is_some())
            .collect();
        let types = field(filter, "resourceTypes").map(kinds);
        let mut indices = self
            .chosen(data, types.as_ref().unwrap_or(&all), &Filter::of(filter))
            .await?;
        self.keep_filtered(data, &mut indices, selected).await?;
        let hits = self.hits(data, &indices, &wanted, &fields).await?;
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let window = Window::of(selected, hits.len(), |cursor| {
            hits.iter().position(|hit| graph.id(hit.index) == cursor).into()
        })?;
        let page = &hits[window.start..window.end];
        let indices: Vec<NodeIndex> = page.iter().map(|hit| hit.index).collect();
        for edges in selected.only().fields.iter().filter(|field| field.name == "edges") {
            for node in edges.only().fields.iter().filter(|field| field.name == "node") {
                for hit in node.only().fields.iter().filter(|field| field.name == "hit") {
                    self.want(data, &indices, Shape::Applied, hit).await?;
                }
            }
        }
        let edges = page.iter().map(|hit| {
            let about = json!({ "highlight": hit.highlight, "matchedField": hit.field });
            let node = EdgeNode::Hit {
                data,
                index: hit.index,
                about,
            };
            Edge {
                cursor: graph.id(hit.index).to_owned(),
                node,
            }
        });
        Ok(connection(selected, window, edges.collect()))
    }

    /// Applies the criteria that only a search has.
    async fn keep_filtered(
        &mut self,
        data: usize,
        indices: &mut Vec<NodeIndex>,
        selected: &Selected,
    ) -> Result<(), Error> {
        let filter = argument(selected, "filter");
        let list = |name: &str| texts(field(filter, name));
        let (access, layers, materializations) = (
            list("accessLevels"),
            list("modelingLayers"),
            list("materializationTypes"),
        );
        if access.is_none() && layers.is_none() && materializations.is_none() {
            return Ok(());
        }
        self.datas[data].read_attributes(self.connection).await?;
        let graph = &self.datas[data].scope.graph;
        let attributes = graph.attributes().unwrap_or_default();
        let is_in = |list: &Option<Vec<&str>>, found: Option<&str>| {
            list.as_ref()
                .is_none_or(|list| found.is_some_and(|found| list.contains(&found)))
        };
        indices.retain(|index| {
            let of = &attributes[*index as usize];
            is_in(&access, of.access.as_deref())
                && is_in(&layers, of.modeling_layer(graph.node(*index)))
                && is_in(&materializations, graph.node(*index).materialized.as_deref())
        });
        Ok(())
    }

    async fn hits(
        &mut self,
        data: usize,
        indices: &[NodeIndex],
        wanted: &str,
        fields: &[&'static str],
    ) -> Result<Vec<Hit>, Error> {
        let (wanted, fields) = (wanted.to_owned(), fields.to_vec());
        let find = move |doc: &Doc<'_>| {
            let mut fields = fields.iter();
            fields.find_map(|field| Some((*field, highlight(&text_of(doc, field), &wanted)?)))
        };
        let found = self.datas[data]
            .read_definitions(self.connection, indices, find)
            .await?;
        let hits = found.into_iter().filter_map(|(index, found)| {
            let (field, highlight) = found?;
            Some(Hit {
                index,
                field,
                highlight,
            })
        });
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_by_key(|hit| (FIELDS.iter().position(|field| *field == hit.field), hit.index));
        Ok(hits)
    }
}

fn text_of(doc: &Doc<'_>, field: &str) -> String {
    let text = |keys: &[&str]| {
        keys.iter()
            .find_map(|key| doc.text(key))
            .unwrap_or_default()
            .into_owned()
    };
    match field {
        "name" => text(&["name"]),
        "description" => text(&["description"]),
        "relation" => text(&["relation_name"]),
        "code" => text(&["raw_code", "raw_sql", "macro_sql"]),
        _ => {
            let names = doc.entries("columns").into_iter().map(|(name, _)| name.into_owned());
            names.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Returns the match with the text around it.
fn highlight(text: &str, wanted: &str) -> Option<String> {
    let folded = text.to_lowercase();
    let at = folded.find(wanted)?;
    let before = folded[..at].chars().count();
    let length = wanted.chars().count();
    let from = before.saturating_sub(AROUND);
    Some(text.chars().skip(from).take(before - from + length + AROUND).collect())
}
