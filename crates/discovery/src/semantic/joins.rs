//! The names by which the metrics of a semantic model can be grouped: those of the model itself, and those of the models that it can be joined
//! with.
//!
//! A join must not multiply rows, so that the entity by which two models are joined must identify rows of the second. A name has the entities
//! that lead to the model, such as `customer__region__name`: at most two, which is MetricFlow's limit. A name to which several ways lead is
//! ambiguous, and therefore left out.

use std::collections::BTreeMap;

use super::model::{EntityKind, SemanticModel};
use super::{Budget, Semantics};
use crate::error::QueryError;

/// A dimension or an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The index of the model, and the index in its dimensions or entities.
    pub(super) model: usize,
    pub(super) at: usize,
    pub(super) is_entity: bool,
}

/// What can be reached, by name.
pub(super) type Reachable = BTreeMap<Box<str>, Item>;

/// The dimensions and entities that were found, keyed by name. `None` if there are several ways to a name.
#[derive(Default)]
struct Found(BTreeMap<Box<str>, Option<Item>>);

impl Semantics {
    /// Returns the dimensions and entities by which the metrics of a model can be grouped.
    pub(super) fn reachable(&self, from: usize, budget: &mut Budget) -> Result<Reachable, QueryError> {
        let model = &self.models[from];
        let mut found = Found::default();
        for at in 0..model.entities.len() {
            found.add_entity(&self.models, from, at, &[], budget)?;
        }
        let is_key = |kind| kind != EntityKind::Foreign;
        let keys = model.entities.iter().filter(|entity| is_key(entity.kind));
        let keys = keys.map(|entity| entity.name.as_str());
        for link in keys.chain(model.primary_entity.as_deref()) {
            found.add_model(&self.models, from, &[link], budget)?;
        }
        for (first, second) in self.joined(from, budget)? {
            found.add_model(&self.models, second, &[first], budget)?;
            for (other, third) in self.joined(second, budget)? {
                if third != from && other != first {
                    found.add_model(&self.models, third, &[first, other], budget)?;
                }
            }
        }
        let found = found.0.into_iter();
        Ok(found.filter_map(|(name, item)| Some((name, item?))).collect())
    }

    /// The models that a model can be joined with, each with the entity by which it is.
    fn joined(&self, from: usize, budget: &mut Budget) -> Result<Vec<(&str, usize)>, QueryError> {
        let left = &self.models[from];
        let mut joined = Vec::new();
        for entity in &left.entities {
            for index in self.models_of_entity.get(&entity.name).into_iter().flatten() {
                budget.step()?;
                if *index != from && can_join(left, entity.kind, &self.models[*index], &entity.name) {
                    joined.push((entity.name.as_str(), *index));
                }
            }
        }
        Ok(joined)
    }
}

/// Whether a model can be joined with another by an entity.
fn can_join(left: &SemanticModel, kind: EntityKind, right: &SemanticModel, entity: &str) -> bool {
    if left.has_validity && right.has_validity {
        return false;
    }
    let of_right = right.entities.iter().find(|other| other.name == entity);
    match of_right.map(|other| other.kind) {
        Some(EntityKind::Primary | EntityKind::Unique) => true,
        Some(EntityKind::Natural) => kind != EntityKind::Natural && right.has_validity,
        Some(EntityKind::Foreign) | None => false,
    }
}

impl Found {
    /// Adds what a model has.
    fn add_model(
        &mut self,
        models: &[SemanticModel],
        model: usize,
        links: &[&str],
        budget: &mut Budget,
    ) -> Result<(), QueryError> {
        for (at, dimension) in models[model].dimensions.iter().enumerate() {
            let item = Item {
                model,
                at,
                is_entity: false,
            };
            self.add(&dimension.name, item, links, budget)?;
        }
        for at in 0..models[model].entities.len() {
            self.add_entity(models, model, at, links, budget)?;
        }
        Ok(())
    }

    fn add_entity(
        &mut self,
        models: &[SemanticModel],
        model: usize,
        at: usize,
        links: &[&str],
        budget: &mut Budget,
    ) -> Result<(), QueryError> {
        let item = Item {
            model,
            at,
            is_entity: true,
        };
        self.add(&models[model].entities[at].name, item, links, budget)
    }

    fn add(&mut self, name: &str, item: Item, links: &[&str], budget: &mut Budget) -> Result<(), QueryError> {
        budget.step()?;
        // No part of a name comes twice.
        if links.contains(&name) {
            return Ok(());
        }
        let mut full = links.join("__");
        if !links.is_empty() {
            full.push_str("__");
        }
        full.push_str(name);
        let known = self.0.entry(full.into_boxed_str());
        known.and_modify(|item| *item = None).or_insert(Some(item));
        Ok(())
    }
}
