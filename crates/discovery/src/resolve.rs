//! Turns a plan into an answer: finds what it is about, chooses the nodes, reads their data, and makes the tree that is written.

mod environment;
mod filter;
mod history;
mod job;
mod lineage;
mod list;
mod mesh;
mod performance;
mod search;
mod semantic;
mod unknown;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use schemas::{AccountId, EnvironmentId, RunId};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use crate::api::Api;
use crate::data::Data;
use crate::error::{Error, QueryError};
use crate::graph::Graphs;
use crate::memory::Memory;
use crate::page::type_name;
use crate::plan::{Selected, Selection, TYPENAME};
use crate::scope::Scope;
use crate::tree::Tree;

/// The maximum number of fields below the root that run their own statements.
const MAX_READS: usize = 20;

/// An answer that is ready to be written.
pub(crate) struct Resolved {
    /// The fields at the root; `None` where one failed that must not be null.
    pub(crate) tree: Option<Tree>,
    pub(crate) datas: Vec<Data>,
    pub(crate) errors: Vec<QueryError>,
    /// What else clients should know.
    pub(crate) extensions: Option<Json>,
}

/// Resolves the fields of one query.
pub(crate) struct Resolver<'c> {
    connection: &'c mut PgConnection,
    account: AccountId,
    graphs: &'c Graphs,
    memory: &'c mut Memory,
    /// When nobody waits for the answer any more.
    until: Instant,
    datas: Vec<Data>,
    errors: Vec<QueryError>,
    /// The names in the answer of the fields that are being resolved.
    path: Vec<String>,
    extensions: Option<Json>,
    /// The number of fields so far that run statements of their own.
    reads: usize,
    /// The metrics of environments, by the number of their data.
    semantics: HashMap<usize, crate::semantic::Resolved>,
}

impl<'c> Resolver<'c> {
    pub(crate) fn new(
        connection: &'c mut PgConnection,
        account: AccountId,
        graphs: &'c Graphs,
        memory: &'c mut Memory,
        until: Instant,
    ) -> Self {
        Self {
            connection,
            account,
            graphs,
            memory,
            until,
            datas: Vec::new(),
            errors: Vec::new(),
            path: Vec::new(),
            extensions: None,
            reads: 0,
            semantics: HashMap::new(),
        }
    }

    /// Resolves all fields at the root, and reads what they need.
    pub(crate) async fn resolve(mut self, api: Api, selection: &Selection) -> Result<Resolved, Error> {
        let mut fields = Vec::new();
        let mut must_be_null = false;
        for field in &selection.fields {
            self.path.push(field.key.clone());
            let value = match api {
                Api::Discovery => self.root(field).await,
                Api::SemanticLayer => self.semantic_root(field).await,
            };
            match self.or_null(field, value) {
                Ok(value) => fields.push((field.key.clone(), value)),
                Err(Error::Query(found)) => {
                    must_be_null = true;
                    self.errors.extend(found);
                }
                Err(error) => return Err(error),
            }
        }
        for data in &mut self.datas {
            data.load(self.connection, self.memory).await?;
        }
        Ok(Resolved {
            tree: (!must_be_null).then_some(Tree::Object(fields)),
            datas: self.datas,
            errors: self.errors,
            extensions: self.extensions,
        })
    }

    /// Ends the field that is being resolved. If it failed and may be null, it is, and the error is noted. Otherwise the object that has the field
    /// failed, too.
    fn or_null(&mut self, field: &Selected, value: Result<Tree, Error>) -> Result<Tree, Error> {
        let path = self.path.clone();
        self.path.pop();
        match value {
            Err(Error::Query(mut found)) => {
                for error in found.iter_mut().filter(|error| error.path.is_empty()) {
                    error.path.clone_from(&path);
                }
                if field.ty.is_some_and(|ty| ty.is_non_null) {
                    return Err(Error::Query(found));
                }
                self.errors.extend(found);
                Ok(Tree::Null)
            }
            value => value,
        }
    }

    async fn root(&mut self, field: &Arc<Selected>) -> Result<Tree, Error> {
        match field.name.as_str() {
            TYPENAME => Ok(Tree::Json(json!(crate::types::QUERY), Arc::clone(field))),
            "environment" => self.environment(field).await,
            "job" => self.job(field).await,
            "modelByEnvironment" => self.model_by_environment(field).await,
            "account" => self.account(field).await,
            "column" => self.column(field).await,
            "performance" => self.performance(field).await,
            "recommendations" => self.recommendations(field).await,
            _ => self.old_root(field).await,
        }
    }

    /// Counts a field that runs statements of its own, whatever the other fields have read.
    fn count_read(&mut self, field: &Selected) -> Result<(), QueryError> {
        self.reads += 1;
        if self.reads > MAX_READS {
            return Err(QueryError::too_large(format!(
                "too many fields like `{}` that are read one by one: expected at most {MAX_READS}; send several queries",
                field.name
            )));
        }
        Ok(())
    }

    /// The type of an object, or null for a field that has no value.
    fn typename_or_null(of: &Selected, field: &Arc<Selected>) -> Tree {
        if field.name == TYPENAME {
            return type_name(of, field);
        }
        Tree::Json(Json::Null, Arc::clone(field))
    }

    /// Returns the data of an environment, which the token must see.
    async fn data_of_environment(&mut self, id: i64) -> Result<usize, Error> {
        let environment = EnvironmentId(id);
        let is_it = |data: &Data| data.scope.environment == environment && data.scope.run.is_none();
        if let Some(known) = self.datas.iter().position(is_it) {
            return Ok(known);
        }
        let scope = Scope::of_environment(self.connection, self.graphs, self.account, environment).await?;
        let scope = scope.ok_or_else(|| QueryError::not_found("environment", id))?;
        self.datas.push(Data::new(scope));
        Ok(self.datas.len() - 1)
    }

    /// Returns the data of a run.
    async fn data_of_run(&mut self, run: &read_model::queries::runs::Run) -> Result<usize, Error> {
        let (environment, id) = (EnvironmentId(run.environment_id), RunId(run.id));
        if let Some(known) = self.datas.iter().position(|data| data.scope.run == Some(id)) {
            return Ok(known);
        }
        let head = read_model::queries::discovery::head_of_run(self.connection, self.account, environment, id).await?;
        let graph = crate::graph::read(self.graphs, self.connection, self.account, head.as_ref()).await?;
        self.datas.push(Data::new(Scope {
            account: self.account,
            project: run.project_id,
            environment,
            run: Some(id),
            job: Some(run.job_id),
            head,
            graph,
        }));
        Ok(self.datas.len() - 1)
    }
}

/// A required number.
fn required(field: &Selected, name: &str) -> Result<i64, QueryError> {
    crate::arguments::number(field, name)
        .ok_or_else(|| QueryError::invalid(format!("missing `{name}`: this argument is required")))
}
