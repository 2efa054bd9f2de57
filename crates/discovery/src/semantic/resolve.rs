//! Finds what metrics are computed from, and the dimensions and entities by which they can be grouped.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::json;

use super::joins::{Item, Reachable};
use super::metric::Source;
use super::{Budget, Grain, Named, Semantics, Shared};
use crate::error::QueryError;

/// The time dimension that all metrics have.
const METRIC_TIME: &str = "metric_time";

/// What metrics are computed from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The models whose dimensions they can be grouped by, in the order in which they are found.
    grouped: Vec<usize>,
    models: BTreeSet<usize>,
    measures: Vec<Named>,
    /// The smallest unit of time that they have in common.
    grain: Option<Grain>,
    requires_time: bool,
    /// Whether something is not defined, so that nothing can be grouped.
    is_incomplete: bool,
}

/// Answers questions about metrics. What was found is kept for the next question.
#[derive(Debug)]
pub(crate) struct Resolved {
    semantics: Semantics,
    budget: Budget,
    reachable: HashMap<usize, Arc<Reachable>>,
    dimensions: HashMap<(Vec<usize>, Option<Grain>), Arc<Shared>>,
    entities: HashMap<Vec<usize>, Arc<Shared>>,
}

impl Resolved {
    pub(crate) fn new(semantics: Semantics) -> Self {
        Self {
            semantics,
            budget: Budget::default(),
            reachable: HashMap::new(),
            dimensions: HashMap::new(),
            entities: HashMap::new(),
        }
    }

    pub(crate) fn semantics(&self) -> &Semantics {
        &self.semantics
    }

    /// What metrics are computed from. None of them may be given that is not shown.
    pub(crate) fn sources(&mut self, names: &[&str]) -> Result<Sources, QueryError> {
        let mut sources = Sources::default();
        for name in names {
            if self.semantics.metric(name).is_none() {
                let message = format!("invalid `metrics`: the environment has no metric `{name}`");
                return Err(QueryError::invalid(message));
            }
        }
        let mut measures = HashSet::new();
        // The nearest inputs first, as in MetricFlow, which takes an entity from the first model that has it.
        let mut waiting: VecDeque<(&str, bool)> = names.iter().map(|name| (*name, false)).collect();
        let mut seen = HashSet::new();
        while let Some((name, is_conversion)) = waiting.pop_front() {
            self.budget.step()?;
            let Some(metric) = self.semantics.metric_by_name.get(name) else {
                sources.is_incomplete = true;
                continue;
            };
            let metric = &self.semantics.metrics[*metric];
            if !seen.insert((metric.name.as_str(), is_conversion)) {
                continue;
            }
            sources.requires_time |= metric.requires_time;
            sources.is_incomplete |= metric.inputs.is_empty();
            for input in &metric.inputs {
                if let Source::Metric(name) = &input.source {
                    waiting.push_back((name, is_conversion || input.is_conversion));
                }
            }
            for input in &metric.inputs {
                if matches!(input.source, Source::Metric(_)) {
                    continue;
                }
                let Some((model, measure)) = self.semantics.measure_of(metric, &input.source) else {
                    sources.is_incomplete = true;
                    continue;
                };
                sources.grain = sources.grain.max(measure.grain);
                sources.models.insert(model);
                if !is_conversion && !input.is_conversion && !sources.grouped.contains(&model) {
                    sources.grouped.push(model);
                }
                if measures.insert(measure.name.clone()) {
                    sources.measures.push(Named {
                        name: measure.name.into(),
                        value: measure.value,
                    });
                }
            }
        }
        if sources.is_incomplete {
            sources.grouped.clear();
            sources.grain = None;
        }
        Ok(sources)
    }

    /// The measures, in the order in which they are found.
    pub(crate) fn measures(&self, sources: &Sources) -> Arc<Shared> {
        Arc::new(Shared::new(sources.measures.clone()))
    }

    /// The dimensions by which metrics with these sources can all be grouped, by name.
    pub(crate) fn dimensions(&mut self, sources: &Sources) -> Result<Arc<Shared>, QueryError> {
        let key = (sources.grouped.clone(), sources.grain);
        if let Some(known) = self.dimensions.get(&key) {
            return Ok(Arc::clone(known));
        }
        let found = self.common(sources)?.into_iter();
        let mut items: Vec<Named> = found
            .filter(|(_, item)| !item.is_entity)
            .map(|(name, item)| Named {
                name: name.into(),
                value: Arc::clone(&self.semantics.models[item.model].dimensions[item.at].value),
            })
            .collect();
        if let Some(grain) = sources.grain {
            let index = items.partition_point(|item| &*item.name < METRIC_TIME);
            items.insert(index, metric_time(grain));
        }
        let shared = Arc::new(Shared::new(items));
        self.dimensions.insert(key, Arc::clone(&shared));
        Ok(shared)
    }

    /// The entities by which metrics with these sources can all be grouped, by name. An entity comes once for each semantic model in which
    /// it is reached.
    pub(crate) fn entities(&mut self, sources: &Sources) -> Result<Arc<Shared>, QueryError> {
        if let Some(known) = self.entities.get(&sources.grouped) {
            return Ok(Arc::clone(known));
        }
        let found = self.common(sources)?.into_iter().map(|(_, item)| item);
        let indices: BTreeSet<(usize, usize)> = found
            .filter(|item| item.is_entity)
            .map(|item| (item.model, item.at))
            .collect();
        let shared = Arc::new(self.entities_at(indices));
        self.entities.insert(sources.grouped.clone(), Arc::clone(&shared));
        Ok(shared)
    }

    fn entities_at(&self, indices: impl IntoIterator<Item = (usize, usize)>) -> Shared {
        let mut items: Vec<Named> = indices
            .into_iter()
            .map(|(model, at)| {
                let entity = &self.semantics.models[model].entities[at];
                Named {
                    name: entity.name.as_str().into(),
                    value: Arc::clone(&entity.value),
                }
            })
            .collect();
        // The sort is stable: those with the same name stay in the order of their models.
        items.sort_by(|one, other| one.name.cmp(&other.name));
        Shared::new(items)
    }

    /// All dimensions, each under the key of its own model.
    pub(crate) fn all_dimensions(&self) -> Arc<Shared> {
        let mut items = Vec::new();
        for model in &self.semantics.models {
            let Some(key) = model.key() else { continue };
            items.extend(model.dimensions.iter().map(|dimension| Named {
                name: format!("{key}__{}", dimension.name).into(),
                value: Arc::clone(&dimension.value),
            }));
        }
        items.sort_by(|one, other| one.name.cmp(&other.name));
        Arc::new(Shared::new(items))
    }

    pub(crate) fn all_entities(&self) -> Arc<Shared> {
        let models = self.semantics.models.iter().enumerate();
        let indices = models.flat_map(|(index, model)| (0..model.entities.len()).map(move |at| (index, at)));
        Arc::new(self.entities_at(indices))
    }

    /// The fields of a metric that depend on its sources, without the lists.
    pub(crate) fn derived(&self, sources: &Sources) -> [(&'static str, serde_json::Value); 4] {
        let models = sources.models.iter().map(|model| &self.semantics.models[*model].name);
        let [granularities, names] = Grain::queryable(sources.grain);
        [
            granularities,
            names,
            ("requiresMetricTime", json!(sources.requires_time)),
            ("semanticModels", models.map(|name| json!({ "name": name })).collect()),
        ]
    }

    /// What can be reached from all models, by name.
    fn common(&mut self, sources: &Sources) -> Result<Vec<(Box<str>, Item)>, QueryError> {
        let mut all = Vec::new();
        for model in &sources.grouped {
            let reachable = match self.reachable.get(model) {
                Some(known) => Arc::clone(known),
                None => {
                    let found = Arc::new(self.semantics.reachable(*model, &mut self.budget)?);
                    self.reachable.insert(*model, Arc::clone(&found));
                    found
                }
            };
            all.push(reachable);
        }
        let Some((first, others)) = all.split_first() else {
            return Ok(Vec::new());
        };
        let mut common = Vec::new();
        for (name, item) in first.iter() {
            self.budget.step()?;
            if others.iter().all(|other| other.contains_key(name)) {
                common.push((name.clone(), *item));
            }
        }
        Ok(common)
    }
}

fn metric_time(grain: Grain) -> Named {
    let mut value = json!({
        "config": null,
        "description": "Event time for metrics.",
        "isPartition": false,
        "type": "TIME",
        "typeParams": { "timeGranularity": grain.enum_name(), "validityParams": null },
    });
    for (key, queryable) in Grain::queryable(Some(grain)) {
        value[key] = queryable;
    }
    Named {
        name: METRIC_TIME.into(),
        value: Arc::new(value),
    }
}
