//! `environment`: what is defined, and what was built.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use read_model::queries::discovery;
use serde_json::json;

use super::{Resolver, required};
use crate::arguments::{argument, field as field_of, text};
use crate::doc::Doc;
use crate::error::Error;
use crate::graph::NodeIndex;
use crate::kind::{Kind, Shape};
use crate::plan::Selected;
use crate::related::kinds;
use crate::tree::Tree;

/// The fields that run statements of their own.
const OF_THEIR_OWN: [&str; 5] = [
    "lastUpdatedAt",
    "lineage",
    "modelHistoricalRuns",
    "owners",
    "searchResults",
];

impl Resolver<'_> {
    pub(super) async fn environment(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let data = self.data_of_environment(required(selected, "id")?).await?;
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            let head = self.datas[data].scope.head.as_ref();
            let value = match field.name.as_str() {
                "adapterType" => Tree::Json(
                    json!(head.and_then(|head| head.adapter_type.as_deref())),
                    Arc::clone(field),
                ),
                "dbtProjectName" => Tree::Json(
                    json!(head.and_then(|head| head.project_name.as_deref())),
                    Arc::clone(field),
                ),
                "applied" => self.state(data, Shape::Applied, field).await?,
                "definition" => self.state(data, Shape::Definition, field).await?,
                _ => Self::typename_or_null(selected, field),
            };
            fields.push((field.key.clone(), value));
        }
        Ok(Tree::Object(fields))
    }

    /// `applied` or `definition`, which have fields with the same names.
    async fn state(&mut self, data: usize, shape: Shape, selected: &Arc<Selected>) -> Result<Tree, Error> {
        self.path.push(selected.key.clone());
        let value = self.fields_of_state(data, shape, selected).await;
        self.or_null(selected, value)
    }

    async fn fields_of_state(&mut self, data: usize, shape: Shape, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            self.path.push(field.key.clone());
            let value = self.field_of_state(data, shape, selected, field).await;
            fields.push((field.key.clone(), self.or_null(field, value)?));
        }
        Ok(Tree::Object(fields))
    }

    async fn field_of_state(
        &mut self,
        data: usize,
        shape: Shape,
        selected: &Selected,
        field: &Arc<Selected>,
    ) -> Result<Tree, Error> {
        if OF_THEIR_OWN.contains(&field.name.as_str()) {
            self.count_read(field)?;
        }
        match field.name.as_str() {
            "resources" => {
                let types = field_of(argument(field, "filter"), "types")
                    .map(kinds)
                    .unwrap_or_default();
                self.connection(data, shape, &types, field).await
            }
            "lineage" => self.lineage(data, field).await,
            "modelHistoricalRuns" => self.historical_runs(data, field).await,
            "searchResults" => self.search(data, field).await,
            name => match kind_of_list(name) {
                Some(kind) => self.connection(data, shape, &[kind], field).await,
                None => {
                    let summary = self.summary(data, shape, field).await?;
                    Ok(summary.unwrap_or_else(|| Self::typename_or_null(selected, field)))
                }
            },
        }
    }

    /// The fields that are about all nodes together.
    async fn summary(&mut self, data: usize, shape: Shape, selected: &Arc<Selected>) -> Result<Option<Tree>, Error> {
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let value = match selected.name.as_str() {
            "lastUpdatedAt" if shape == Shape::Applied => {
                let environment = self.datas[data].scope.environment;
                crate::facts::time_json(discovery::last_update(self.connection, self.account, environment).await?)
            }
            "lastUpdatedAt" => {
                let head = self.datas[data].scope.head.as_ref();
                crate::facts::time_json(head.map(|head| head.generated_at))
            }
            "owners" => self.owners(data, text(argument(selected, "resource"))).await?,
            "packages" => {
                let kind = match text(argument(selected, "resource")) {
                    Some("macro") => Kind::Macro,
                    _ => Kind::Model,
                };
                let packages: BTreeSet<&str> = graph
                    .of_kind(kind)
                    .filter_map(|index| graph.node(index).package_name.as_deref())
                    .collect();
                json!(packages)
            }
            "resourceCounts" => {
                let mut counts = BTreeMap::new();
                for index in graph.indices() {
                    if graph.node(index).kind.is_some() {
                        *counts.entry(&*graph.node(index).resource_type).or_insert(0_u32) += 1;
                    }
                }
                json!(counts)
            }
            "tags" => {
                self.datas[data].read_attributes(self.connection).await?;
                let attributes = graph.attributes().unwrap_or_default();
                let tags: BTreeSet<&str> = attributes.iter().flat_map(|of| &of.tags).map(AsRef::as_ref).collect();
                tags.into_iter().map(|name| json!({ "name": name })).collect()
            }
            _ => return Ok(None),
        };
        Ok(Some(Tree::Json(value, Arc::clone(selected))))
    }
}

impl Resolver<'_> {
    /// The owners of exposures or groups, each once.
    async fn owners(&mut self, data: usize, resource: Option<&str>) -> Result<serde_json::Value, Error> {
        let kind = if resource == Some("group") {
            Kind::Group
        } else {
            Kind::Exposure
        };
        let data = &mut self.datas[data];
        let indices: Vec<NodeIndex> = data.graph().of_kind(kind).collect();
        let owner = |doc: &Doc<'_>| {
            let owner = doc.object("owner").unwrap_or_default();
            let text = |key: &str| {
                owner
                    .texts(key)
                    .and_then(|texts| texts.into_iter().next())
                    .unwrap_or_default()
                    .into_owned()
            };
            (text("name"), text("email"))
        };
        let owners = data.read_definitions(self.connection, &indices, owner).await?;
        let owners: BTreeSet<(String, String)> = owners.into_values().collect();
        let owners = owners
            .into_iter()
            .filter(|(name, email)| !name.is_empty() || !email.is_empty());
        Ok(owners
            .map(|(name, email)| json!({ "name": name, "email": email }))
            .collect())
    }
}

/// The kind of the nodes that a list has.
fn kind_of_list(name: &str) -> Option<Kind> {
    Some(match name {
        "exposures" => Kind::Exposure,
        "groups" => Kind::Group,
        "macros" => Kind::Macro,
        "metrics" => Kind::Metric,
        "models" => Kind::Model,
        "savedQueries" => Kind::SavedQuery,
        "seeds" => Kind::Seed,
        "semanticModels" => Kind::SemanticModel,
        "snapshots" => Kind::Snapshot,
        "sources" => Kind::Source,
        "tests" => Kind::Test,
        _ => return None,
    })
}
