//! Semantic models.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Grain;
use super::config::{config, enum_value};
use crate::doc::Doc;

/// The unit of a time dimension that names none, as in MetricFlow.
const DEFAULT_GRAIN: Grain = Grain::Day;

#[derive(Debug)]
pub(crate) struct SemanticModel {
    pub(super) name: String,
    pub(super) entities: Vec<Entity>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) measures: Vec<Measure>,
    /// The name by which its dimensions are reached if it has no primary entity.
    pub(super) primary_entity: Option<String>,
    /// Whether its rows are valid only for a time.
    pub(super) has_validity: bool,
    /// The time dimension of measures that name none.
    time: Option<String>,
}

/// How an entity identifies rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntityKind {
    Primary,
    Unique,
    Foreign,
    Natural,
}

#[derive(Debug)]
pub(crate) struct Entity {
    pub(super) name: String,
    pub(super) kind: EntityKind,
    pub(super) value: Arc<Json>,
}

#[derive(Debug)]
pub(crate) struct Dimension {
    pub(super) name: String,
    /// The unit, if it is a time dimension.
    grain: Option<Grain>,
    pub(super) value: Arc<Json>,
}

#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(super) name: String,
    /// The unit of its time dimension.
    pub(super) grain: Option<Grain>,
    pub(super) value: Arc<Json>,
}

impl SemanticModel {
    /// Reads a definition. Parts without a name, and entities of an unknown type, are left out.
    pub(crate) fn of(name: &str, doc: &Doc<'_>) -> Self {
        let dimensions = doc.objects("dimensions");
        let is_validity = |dimension: &Doc<'_>| {
            let params = dimension.object("type_params");
            params.is_some_and(|params| params.raw("validity_params").is_some())
        };
        let has_validity = dimensions.iter().any(is_validity);
        let dimensions: Vec<Dimension> = dimensions.iter().filter_map(|one| dimension(name, one)).collect();
        let entities = doc.objects("entities");
        let defaults = doc.object("defaults").unwrap_or_default();
        let mut model = Self {
            name: name.to_owned(),
            entities: entities.iter().filter_map(|one| entity(name, one)).collect(),
            dimensions,
            measures: Vec::new(),
            primary_entity: doc.text("primary_entity").map(String::from),
            has_validity,
            time: defaults.text("agg_time_dimension").map(String::from),
        };
        let measures = doc.objects("measures");
        model.measures = measures
            .iter()
            .filter_map(|one| model.measure(one, one, None))
            .collect();
        model
    }

    /// Returns a measure, whose expression may be in a separate document.
    pub(super) fn measure(&self, doc: &Doc<'_>, with_expr: &Doc<'_>, name: Option<&str>) -> Option<Measure> {
        let name = name.map(str::to_owned).or_else(|| doc.text("name").map(String::from))?;
        let own_time = doc.text("agg_time_dimension").map(String::from);
        let time = own_time.or_else(|| self.time.clone());
        let dimension = self
            .dimensions
            .iter()
            .find(|dimension| Some(&dimension.name) == time.as_ref());
        Some(Measure {
            grain: dimension.and_then(|dimension| dimension.grain),
            value: Arc::new(json!({
                "agg": enum_value(doc, "agg"),
                "aggTimeDimension": time,
                "config": config(with_expr),
                "expr": with_expr.text("expr").map_or_else(|| name.clone(), String::from),
            })),
            name,
        })
    }

    /// The entity that is the key of its rows.
    pub(super) fn key(&self) -> Option<&str> {
        let mut entities = self.entities.iter();
        let primary = entities.find(|entity| entity.kind == EntityKind::Primary);
        self.primary_entity
            .as_deref()
            .or_else(|| primary.map(|entity| entity.name.as_str()))
    }
}

fn entity(model: &str, doc: &Doc<'_>) -> Option<Entity> {
    let kind = match doc.text("type")?.to_ascii_lowercase().as_str() {
        "primary" => EntityKind::Primary,
        "unique" => EntityKind::Unique,
        "foreign" => EntityKind::Foreign,
        "natural" => EntityKind::Natural,
        _ => return None,
    };
    Some(Entity {
        name: doc.text("name")?.into(),
        kind,
        value: Arc::new(json!({
            "config": config(doc),
            "description": doc.text("description"),
            "expr": doc.text("expr"),
            "role": doc.text("role"),
            "semanticModel": { "name": model },
            "type": enum_value(doc, "type"),
        })),
    })
}

fn dimension(model: &str, doc: &Doc<'_>) -> Option<Dimension> {
    let params = doc.object("type_params").unwrap_or_default();
    let grain = doc.text("type").filter(|ty| ty.eq_ignore_ascii_case("time")).map(|_| {
        let named = params.text("time_granularity");
        named.and_then(|name| Grain::named(&name)).unwrap_or(DEFAULT_GRAIN)
    });
    let validity = params.object("validity_params").map(|validity| {
        json!({
            "isEnd": validity.boolean("is_end").unwrap_or_default(),
            "isStart": validity.boolean("is_start").unwrap_or_default(),
        })
    });
    let mut value = json!({
        "config": config(doc),
        "description": doc.text("description"),
        "expr": doc.text("expr"),
        "isPartition": doc.boolean("is_partition").unwrap_or_default(),
        "label": doc.text("label"),
        "semanticModel": { "name": model },
        "type": enum_value(doc, "type"),
        "typeParams": grain.map(|grain| json!({ "timeGranularity": grain.enum_name(), "validityParams": validity })),
    });
    for (key, queryable) in Grain::queryable(grain) {
        value[key] = queryable;
    }
    Some(Dimension {
        name: doc.text("name")?.into(),
        grain,
        value: Arc::new(value),
    })
}
