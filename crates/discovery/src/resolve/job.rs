//! `job`, and the older roots that ask the same: what the files of one run say.

use std::sync::Arc;

use read_model::queries::{self, discovery};
use schemas::{JobId, RunId};
use serde_json::{Value as Json, json};

use super::filter::Filter;
use super::{Resolver, required};
use crate::arguments::{argument, number, text};
use crate::error::{Error, QueryError};
use crate::kind::{Kind, Shape};
use crate::page::type_name;
use crate::plan::{Selected, TYPENAME};
use crate::tree::Tree;

impl Resolver<'_> {
    pub(super) async fn job(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let job = required(selected, "id")?;
        let (data, run) = self.run_of_job(job, number(selected, "runId")).await?;
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            let value = match field.name.as_str() {
                "id" => Tree::Json(json!(job), Arc::clone(field)),
                "runId" => Tree::Json(json!(run), Arc::clone(field)),
                TYPENAME => type_name(selected, field),
                _ => self.of_run(data, field).await?,
            };
            fields.push((field.key.clone(), value));
        }
        Ok(Tree::Object(fields))
    }

    /// A root such as `models(jobId, runId)`.
    pub(super) async fn old_root(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let (data, _) = self
            .run_of_job(required(selected, "jobId")?, number(selected, "runId"))
            .await?;
        self.of_run(data, selected).await
    }

    /// The data of a run of a job, and the run's number. Without a run, it is the newest one that has a manifest.
    async fn run_of_job(&mut self, job: i64, run: Option<i64>) -> Result<(usize, i64), Error> {
        let account = self.account;
        let id = match run {
            Some(run) => run,
            None => match discovery::newest_run_with_manifest(self.connection, account, JobId(job)).await? {
                Some(run) => run,
                None if queries::jobs::job(self.connection, account, JobId(job))
                    .await?
                    .is_some() =>
                {
                    let message = format!("job {job} has no run with a manifest");
                    return Err(QueryError::no_data(message).into());
                }
                None => return Err(QueryError::not_found("job", job).into()),
            },
        };
        let row = queries::runs::run(self.connection, account, RunId(id)).await?;
        let row = row.filter(|row| row.job_id == job).ok_or_else(|| {
            let what = format!("of job {job}, the run");
            QueryError::not_found(&what, id)
        })?;
        let data = self.data_of_run(&row).await?;
        if self.datas[data]
            .scope
            .head
            .as_ref()
            .is_none_or(|head| head.node_set.is_none())
        {
            // Empty lists would say that the project has no nodes.
            return Err(QueryError::no_data(format!("run {id} has no manifest")).into());
        }
        Ok((data, row.id))
    }

    /// A list of nodes of a run, or one node.
    async fn of_run(&mut self, data: usize, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let kind = match selected.name.as_str() {
            "exposure" | "exposures" => Kind::Exposure,
            "macro" | "macros" => Kind::Macro,
            "metric" | "metrics" => Kind::Metric,
            "model" | "models" => Kind::Model,
            "seed" | "seeds" => Kind::Seed,
            "semanticModel" | "semanticModels" => Kind::SemanticModel,
            "snapshot" | "snapshots" => Kind::Snapshot,
            "source" | "sources" => Kind::Source,
            "test" | "tests" => Kind::Test,
            _ => return Ok(Tree::Json(Json::Null, Arc::clone(selected))),
        };
        if selected.ty.is_some_and(|ty| ty.is_list) {
            let of = |name: &str| text(argument(selected, name));
            let filter = Filter::of_table(of("database"), of("schema"), of("identifier"));
            return self.nodes(data, Shape::Job, kind, &filter, selected).await;
        }
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let index = match text(argument(selected, "uniqueId")) {
            Some(id) => graph.find(id).filter(|index| graph.node(*index).kind == Some(kind)),
            None => {
                let name = text(argument(selected, "name"));
                graph
                    .of_kind(kind)
                    .find(|index| graph.node(*index).name.as_deref() == name)
            }
        };
        self.node(data, Shape::Job, index, selected).await
    }
}
