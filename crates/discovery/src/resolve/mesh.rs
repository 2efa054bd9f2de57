//! `account`: the projects of an account, and the models that are public in them.

use std::collections::HashMap;
use std::sync::Arc;

use directory::queries::Environment;
use schemas::{EnvironmentType, RecordState};
use serde_json::{Value as Json, json};

use super::{Resolver, required};
use crate::arguments::{argument, field as field_of, text, texts};
use crate::error::{Error, QueryError};
use crate::facts::time_json;
use crate::graph::NodeIndex;
use crate::kind::Kind;
use crate::page::{Window, connection};
use crate::plan::{Selected, TYPENAME};
use crate::tree::{Edge, EdgeNode, Tree};
use crate::types::integer;

/// The most environments whose nodes one field reads: of `meshProjects`, one of each project.
const MAX_ENVIRONMENTS: usize = 50;

/// A part of a model's definition.
#[derive(Default)]
struct Definition {
    columns: usize,
    deprecation_date: Option<String>,
    description: Option<String>,
    relation_name: Option<String>,
}

impl Resolver<'_> {
    pub(super) async fn account(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let id = required(selected, "id")?;
        if id != self.account.0 {
            return Err(QueryError::not_found("account", id).into());
        }
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            if field.name != TYPENAME {
                self.count_read(field)?;
            }
            let value = match field.name.as_str() {
                "meshProjects" => Tree::Json(self.mesh_projects().await?, Arc::clone(field)),
                "publicModels" => self.public_models(field).await?,
                _ => Self::typename_or_null(selected, field),
            };
            fields.push((field.key.clone(), value));
        }
        Ok(Tree::Object(fields))
    }

    /// The environments in use that a filter lets through.
    async fn environments(&mut self, lets_in: impl Fn(&Environment) -> bool) -> Result<Vec<Environment>, Error> {
        let mut environments = directory::queries::environments(self.connection, self.account).await?;
        environments.retain(|environment| environment.state == RecordState::Active.as_str() && lets_in(environment));
        Ok(environments)
    }

    /// The public models of an environment, and its data.
    async fn public_models_of(&mut self, environment: i64) -> Result<(usize, Vec<NodeIndex>), Error> {
        let data = self.data_of_environment(environment).await?;
        self.datas[data].read_attributes(self.connection).await?;
        let graph = &self.datas[data].scope.graph;
        let attributes = graph.attributes().unwrap_or_default();
        let is_public = |index: &NodeIndex| attributes[*index as usize].access.as_deref() == Some("public");
        Ok((data, graph.of_kind(Kind::Model).filter(is_public).collect()))
    }

    /// The projects, each as its production environment shows it, or else its first one.
    async fn mesh_projects(&mut self) -> Result<Json, Error> {
        let projects = directory::queries::projects(self.connection, self.account).await?;
        let mut environments = self.environments(|_| true).await?;
        environments.sort_by_key(|environment| {
            let is_production = environment.deployment_type() == EnvironmentType::Production;
            (!is_production, environment.id)
        });
        let with_default = projects.into_iter().filter_map(|project| {
            let mut of_project = environments.iter().filter(|one| one.project_id == project.id);
            of_project.next().map(|default| (project, default))
        });
        let projects: Vec<_> = with_default.collect();
        if projects.len() > MAX_ENVIRONMENTS {
            let message = format!(
                "the account has too many projects for `meshProjects`: {}, at most {MAX_ENVIRONMENTS} are read",
                projects.len()
            );
            return Err(QueryError::too_large(message).into());
        }
        let mut found = Vec::new();
        for (project, default) in projects {
            let (data, public) = self.public_models_of(default.id).await?;
            let scope = &self.datas[data].scope;
            let count = |kind: Kind| scope.graph.of_kind(kind).count();
            found.push(json!({
                "dbtCloudProject": project.name,
                "dbtCoreProject": scope.head.as_ref().and_then(|head| head.project_name.as_deref()),
                "defaultEnvironmentId": default.id,
                "dependentProjects": [],
                "isConsumer": false,
                "isProducer": !public.is_empty(),
                "projectId": project.id,
                "projectSummary": {
                    "exposures": count(Kind::Exposure),
                    "macros": count(Kind::Macro),
                    "metrics": count(Kind::Metric),
                    "publicModels": public.len(),
                    "seeds": count(Kind::Seed),
                    "semanticModels": count(Kind::SemanticModel),
                    "snapshots": count(Kind::Snapshot),
                    "sources": count(Kind::Source),
                    "tests": count(Kind::Test),
                    "totalModels": count(Kind::Model),
                    "totalNodes": scope.graph.len(),
                },
            }));
        }
        Ok(found.into())
    }

    /// A page of the models whose access is `public`, in all environments.
    async fn public_models(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let filter = argument(selected, "filter");
        let ids = field_of(filter, "environmentIds").map(|ids| match ids {
            async_graphql_value::ConstValue::List(ids) => ids.iter().filter_map(integer).collect(),
            one => integer(one).into_iter().collect::<Vec<i64>>(),
        });
        let project = field_of(filter, "projectId").and_then(integer);
        let dbt_project = text(field_of(filter, "dbtCoreProjectName"));
        let unique_ids = texts(field_of(filter, "uniqueIds"));
        let lets_in = |environment: &Environment| {
            ids.as_ref().is_none_or(|ids| ids.contains(&environment.id))
                && project.is_none_or(|project| project == environment.project_id)
        };
        let environments = self.environments(lets_in).await?;
        if environments.len() > MAX_ENVIRONMENTS {
            let message = format!(
                "the account has more than {MAX_ENVIRONMENTS} environments: name some of them in `filter.environmentIds`"
            );
            return Err(QueryError::too_large(message).into());
        }
        let mut models = Vec::new();
        for environment in environments {
            let (data, indices) = self.public_models_of(environment.id).await?;
            let graph = &self.datas[data].scope.graph;
            let chosen = indices.into_iter().filter(|index| {
                let node = graph.node(*index);
                dbt_project.is_none_or(|project| node.package_name.as_deref() == Some(project))
                    && unique_ids.as_ref().is_none_or(|ids| ids.contains(&&*node.unique_id))
            });
            let environment = Arc::new(environment);
            models.extend(chosen.map(|index| (data, Arc::clone(&environment), index)));
        }
        let cursor = |(data, environment, index): &(usize, Arc<Environment>, NodeIndex)| {
            format!("{}:{}", environment.id, self.datas[*data].scope.graph.id(*index))
        };
        let cursors: Vec<String> = models.iter().map(cursor).collect();
        let window = Window::of(selected, models.len(), |cursor| {
            cursors.iter().position(|one| one == cursor).into()
        })?;
        let mut edges = Vec::new();
        let shown = &models[window.start..window.end];
        let page = shown.iter().zip(&cursors[window.start..window.end]);
        let mut read: HashMap<usize, HashMap<NodeIndex, Definition>> = HashMap::new();
        for ((data, environment, index), cursor) in page {
            if !read.contains_key(data) {
                let of_data: Vec<NodeIndex> = shown
                    .iter()
                    .filter(|(one, ..)| one == data)
                    .map(|(.., index)| *index)
                    .collect();
                let of_data = &of_data[..];
                let data_of_page = &mut self.datas[*data];
                data_of_page.read_results(self.connection, self.memory, of_data).await?;
                let definitions = data_of_page.read_definitions(self.connection, of_data, |doc| Definition {
                    columns: doc.entries("columns").len(),
                    deprecation_date: doc.text("deprecation_date").map(String::from),
                    description: doc.text("description").map(String::from),
                    relation_name: doc.text("relation_name").map(String::from),
                });
                read.insert(*data, definitions.await?);
            }
            let definition = read
                .get_mut(data)
                .and_then(|of_data| of_data.remove(index))
                .unwrap_or_default();
            edges.push(Edge {
                cursor: cursor.clone(),
                node: EdgeNode::Json(self.public_model(*data, environment, *index, definition)),
            });
        }
        Ok(connection(selected, window, edges))
    }

    fn public_model(&self, data: usize, environment: &Environment, index: NodeIndex, definition: Definition) -> Json {
        let data = &self.datas[data];
        let (scope, node) = (&data.scope, data.graph().node(index));
        let attributes = scope
            .graph
            .attributes()
            .map(|attributes| attributes[index as usize].clone())
            .unwrap_or_default();
        let fqn: Vec<&str> = attributes.fqn.iter().map(AsRef::as_ref).collect();
        json!({
            "accountId": scope.account.0,
            "columnCount": definition.columns,
            "database": attributes.database,
            "dbtCoreProject": node.package_name.as_deref(),
            "deprecationDate": definition.deprecation_date,
            "description": definition.description,
            "environmentDeploymentType": environment.environment_type,
            "environmentId": environment.id,
            "fqn": fqn,
            "group": attributes.group,
            "identifier": attributes.alias,
            "lastRunStatus": data.last.get(&index).map(|last| last.status.as_str()),
            "latestVersion": attributes.latest_version,
            "materializationType": node.materialized.as_deref(),
            "name": node.name,
            "packageName": node.package_name.as_deref(),
            "projectId": environment.project_id,
            "relationName": definition.relation_name,
            "runGeneratedAt": time_json(scope.head.as_ref().map(|head| head.generated_at)),
            "schema": attributes.schema,
            "uniqueId": node.unique_id,
        })
    }
}
