//! The semantic models and metrics of an environment, and by what metrics can be grouped.
//!
//! The rules are those of MetricFlow: <https://docs.getdbt.com/docs/build/join-logic>.

mod budget;
mod config;
mod grain;
mod joins;
mod metric;
mod model;
mod named;
mod resolve;
mod saved_query;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub(crate) use budget::Budget;
pub(crate) use grain::Grain;
pub(crate) use metric::Metric;
pub(crate) use model::SemanticModel;
pub(crate) use named::{Named, Shared, size};
pub(crate) use resolve::Resolved;
pub(crate) use saved_query::saved_query;

/// The semantic models and metrics of an environment.
#[derive(Debug, Default)]
pub(crate) struct Semantics {
    /// The semantic models, sorted by name.
    models: Vec<SemanticModel>,
    /// The metrics, including private ones, sorted by name.
    metrics: Vec<Metric>,
    model_by_name: HashMap<String, usize>,
    metric_by_name: HashMap<String, usize>,
    /// The model of each measure, and its index there.
    measures: HashMap<String, (usize, usize)>,
    /// The models that have an entity.
    models_of_entity: HashMap<String, Vec<usize>>,
}

impl Semantics {
    /// If several models or metrics have the same name, the first is used.
    pub(crate) fn new(mut models: Vec<SemanticModel>, mut metrics: Vec<Metric>) -> Self {
        models.sort_by(|one, other| one.name.cmp(&other.name));
        models.dedup_by(|one, other| one.name == other.name);
        metrics.sort_by(|one, other| one.name.cmp(&other.name));
        metrics.dedup_by(|one, other| one.name == other.name);
        let mut semantics = Self::default();
        for (index, model) in models.iter().enumerate() {
            semantics.model_by_name.insert(model.name.clone(), index);
            for (at, measure) in model.measures.iter().enumerate() {
                semantics.measures.entry(measure.name.clone()).or_insert((index, at));
            }
            for entity in &model.entities {
                let models = semantics.models_of_entity.entry(entity.name.clone()).or_default();
                models.push(index);
            }
        }
        for (index, metric) in metrics.iter().enumerate() {
            semantics.metric_by_name.insert(metric.name.clone(), index);
        }
        Self {
            models,
            metrics,
            ..semantics
        }
    }

    /// The metrics that are shown, by name.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().filter(|metric| !metric.is_private)
    }

    /// Finds a metric that is shown.
    pub(crate) fn metric(&self, name: &str) -> Option<&Metric> {
        let metric = &self.metrics[*self.metric_by_name.get(name)?];
        (!metric.is_private).then_some(metric)
    }
}
