//! The runs of one model over time.

use std::collections::HashMap;
use std::sync::Arc;

use read_model::queries::discovery::{self, Outcome};
use schemas::RunId;

use super::filter::Filter;
use super::{Resolver, required};
use crate::arguments::{argument, number, text};
use crate::data::Data;
use crate::error::{Error, QueryError};
use crate::graph::NodeIndex;
use crate::kind::{Kind, Shape};
use crate::needs::Needs;
use crate::plan::Selected;
use crate::tree::Tree;
use crate::values::{Reader, Relation};

/// The most runs of a model that one field shows.
const MAX_RUNS: i64 = 1_000;

impl Resolver<'_> {
    /// `modelByEnvironment`, the older form of `modelHistoricalRuns`.
    pub(super) async fn model_by_environment(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let data = self.data_of_environment(required(selected, "environmentId")?).await?;
        self.historical_runs(data, selected).await
    }

    /// The newest attempts at a model, as the newest manifest defines it, each with the results of its tests in the same run.
    pub(super) async fn historical_runs(&mut self, data: usize, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let count = number(selected, "lastRunCount").unwrap_or(1);
        if !(0..=MAX_RUNS).contains(&count) {
            let message =
                format!("invalid `lastRunCount`: expected a whole number from 0 to {MAX_RUNS}, got `{count}`");
            return Err(QueryError::invalid(message).into());
        }
        let Some(index) = self.model(data, selected).await? else {
            return Ok(Tree::List(Vec::new()));
        };
        let scope = self.datas[data].scope.clone();
        let graph = Arc::clone(&scope.graph);
        let (account, environment) = (scope.account, scope.environment);
        let attempts =
            discovery::attempts_of_node(self.connection, account, environment, graph.id(index), count).await?;
        let tests = if has_tests(selected) {
            graph.node(index).tests.to_vec()
        } else {
            Vec::new()
        };
        let mut of_tests: HashMap<i64, Vec<Outcome>> = HashMap::new();
        if !tests.is_empty() {
            let runs: Vec<i64> = attempts.iter().filter_map(|attempt| attempt.run_id).collect();
            let ids: Vec<String> = tests.iter().map(|test| graph.id(*test).to_owned()).collect();
            let results = discovery::results_in_runs(self.connection, account, environment, &runs, &ids).await?;
            for result in results {
                if let Some(run) = result.run_id {
                    of_tests.entry(run).or_default().push(result);
                }
            }
        }
        // The definition, the code and the catalog are the same for all of the runs, and are read once.
        let mut common = Data::new(scope.clone());
        common.no_more_results();
        self.want_of_model(&mut common, index, selected).await?;
        common.load(self.connection, self.memory).await?;
        let mut rows = Vec::new();
        for attempt in attempts {
            let mut scope = scope.clone();
            scope.run = attempt.run_id.map(RunId).or(scope.run);
            scope.job = attempt.job_id.or(scope.job);
            let mut of_run = Data::new(scope);
            of_run.stored = Arc::clone(&common.stored);
            let results = attempt
                .run_id
                .and_then(|run| of_tests.get(&run))
                .cloned()
                .unwrap_or_default();
            of_run.add_outcomes(vec![attempt]);
            of_run.add_outcomes(results);
            self.datas.push(of_run);
            rows.push(Tree::Node {
                data: self.datas.len() - 1,
                shape: Shape::Job,
                index: Some(index),
                selected: Arc::clone(selected),
            });
        }
        Ok(Tree::List(rows))
    }

    async fn want_of_model(&mut self, data: &mut Data, index: NodeIndex, selected: &Selected) -> Result<(), Error> {
        if selected.needs(Needs::ATTRIBUTES) {
            data.read_attributes(self.connection).await?;
        }
        data.want(&[index], Shape::Job, selected)?;
        Ok(())
    }

    /// The model that the arguments `uniqueId` or `identifier` name.
    async fn model(&mut self, data: usize, selected: &Selected) -> Result<Option<NodeIndex>, Error> {
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let is_model = |index: &NodeIndex| graph.node(*index).kind == Some(Kind::Model);
        if let Some(id) = text(argument(selected, "uniqueId")) {
            return Ok(graph.find(id).filter(is_model));
        }
        let Some(identifier) = text(argument(selected, "identifier")) else {
            return Err(QueryError::invalid("missing `uniqueId`: it or `identifier` is required").into());
        };
        let filter = Filter::of_table(None, None, Some(identifier));
        Ok(self.chosen(data, &[Kind::Model], &filter).await?.first().copied())
    }
}

fn has_tests(selected: &Selected) -> bool {
    let fields = &selected.only().fields;
    fields
        .iter()
        .any(|field| matches!(field.reader, Some(Reader::Nodes(Relation::Tests))))
}
