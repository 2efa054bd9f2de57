//! Metrics.

use serde_json::{Map, Value as Json, json};

use super::config::{config, enum_value, filter};
use super::model::{Measure, SemanticModel};
use super::{Grain, Semantics};
use crate::doc::Doc;

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    /// Whether it is only an input of others.
    pub(crate) is_private: bool,
    /// The fields that follow from its definition alone, by the names of the schema.
    pub(crate) value: Map<String, Json>,
    /// What it is computed from.
    pub(super) inputs: Vec<Input>,
    /// Whether its values only have a meaning for points in time.
    pub(super) requires_time: bool,
    /// What it aggregates itself: the text of its definition.
    own: Option<String>,
}

/// What a metric is computed from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(super) source: Source,
    /// Whether it is the conversion of a conversion metric. Its model does not affect what the metric can be grouped by.
    pub(super) is_conversion: bool,
}

#[derive(Debug)]
pub(crate) enum Source {
    /// The measure with this name.
    Measure(String),
    /// The metric with this name.
    Metric(String),
    /// An aggregation of the semantic model with this name, which the metric itself defines.
    Own(String),
}

impl Metric {
    /// Reads a definition. Metrics of dbt before version 1.6 are not MetricFlow's, and `None`.
    pub(crate) fn of(name: &str, doc: &Doc<'_>) -> Option<Self> {
        let kind = doc.text("type")?.to_ascii_lowercase();
        let params = doc.object("type_params")?;
        let cumulative = params.object("cumulative_type_params").unwrap_or_default();
        let inputs = inputs(&kind, &params, &cumulative)?;
        let either = |key: &str| cumulative.raw(key).is_some() || params.raw(key).is_some();
        let has_offset = params
            .objects("metrics")
            .iter()
            .any(|input| input.raw("offset_window").is_some() || input.raw("offset_to_grain").is_some());
        let value = json!({
            "config": config(doc),
            "description": doc.text("description"),
            "filter": filter(doc, "filter"),
            "label": doc.text("label"),
            "name": name,
            "type": enum_value(doc, "type"),
            "typeParams": type_params(&params, &cumulative),
        });
        let Json::Object(value) = value else { return None };
        let is_own = inputs.iter().any(|input| matches!(input.source, Source::Own(_)));
        Some(Self {
            name: name.to_owned(),
            is_private: params.boolean("is_private").unwrap_or_default(),
            value,
            inputs,
            requires_time: has_offset || (kind == "cumulative" && (either("window") || either("grain_to_date"))),
            own: is_own.then(|| params.raw_text()),
        })
    }

    /// The measure that it defines itself.
    pub(super) fn own_measure(&self, model: &SemanticModel) -> Option<Measure> {
        let params = Doc::of(self.own.as_deref()?);
        let aggregation = params.object("metric_aggregation_params")?;
        model.measure(&aggregation, &params, Some(&self.name))
    }
}

/// What a metric of this kind is computed from; `None` if there is no such kind.
fn inputs(kind: &str, params: &Doc<'_>, cumulative: &Doc<'_>) -> Option<Vec<Input>> {
    let input = |source, is_conversion| Input { source, is_conversion };
    let name = |of: &Doc<'_>, key: &str| of.object(key)?.text("name").map(String::from);
    let measure = |of: &Doc<'_>, key: &str| Some(Source::Measure(name(of, key)?));
    let metric = |of: &Doc<'_>, key: &str| Some(Source::Metric(name(of, key)?));
    Some(match kind {
        "simple" => {
            let own = params.object("metric_aggregation_params");
            let own = own.and_then(|own| own.text("semantic_model").map(String::from));
            let source = measure(params, "measure").or(own.map(Source::Own));
            source.into_iter().map(|source| input(source, false)).collect()
        }
        "cumulative" => {
            let source = metric(cumulative, "metric").or_else(|| measure(params, "measure"));
            source.into_iter().map(|source| input(source, false)).collect()
        }
        "ratio" => {
            let sources = [metric(params, "numerator"), metric(params, "denominator")];
            sources
                .into_iter()
                .flatten()
                .map(|source| input(source, false))
                .collect()
        }
        "derived" => {
            let metrics = params.objects("metrics");
            let names = metrics.iter().filter_map(|metric| metric.text("name"));
            names.map(|name| input(Source::Metric(name.into()), false)).collect()
        }
        "conversion" => {
            let conversion = params.object("conversion_type_params").unwrap_or_default();
            let of = |word: &str| {
                metric(&conversion, &format!("{word}_metric"))
                    .or_else(|| measure(&conversion, &format!("{word}_measure")))
            };
            let base = of("base").map(|source| input(source, false));
            let converted = of("conversion").map(|source| input(source, true));
            base.into_iter().chain(converted).collect()
        }
        _ => return None,
    })
}

fn type_params(params: &Doc<'_>, cumulative: &Doc<'_>) -> Json {
    let measures = params.objects("input_measures");
    let metrics = params.raw("metrics").map(|_| params.objects("metrics"));
    let window = cumulative.object("window").or_else(|| params.object("window"));
    let grain = cumulative
        .text("grain_to_date")
        .or_else(|| params.text("grain_to_date"));
    json!({
        "denominator": params.object("denominator").map(|input| input_metric(&input)),
        "expr": params.text("expr"),
        "grainToDate": grain.and_then(|name| Grain::named(&name)).map(Grain::enum_name),
        "inputMeasures": measures.iter().map(input_measure).collect::<Json>(),
        "measure": params.object("measure").map(|measure| input_measure(&measure)),
        "metrics": metrics.map(|metrics| metrics.iter().map(input_metric).collect::<Json>()),
        "numerator": params.object("numerator").map(|input| input_metric(&input)),
        "window": window.map(|window| time_window(&window)),
    })
}

fn input_measure(doc: &Doc<'_>) -> Json {
    json!({ "alias": doc.text("alias"), "filter": filter(doc, "filter"), "name": doc.text("name") })
}

fn input_metric(doc: &Doc<'_>) -> Json {
    let offset_to_grain = doc.text("offset_to_grain");
    json!({
        "alias": doc.text("alias"),
        "filter": filter(doc, "filter"),
        "name": doc.text("name"),
        "offsetToGrain": offset_to_grain.as_deref().and_then(Grain::named).map(Grain::enum_name),
        "offsetToGrainGranularity": offset_to_grain,
        "offsetWindow": doc.object("offset_window").map(|window| time_window(&window)),
    })
}

fn time_window(doc: &Doc<'_>) -> Json {
    let unit = doc.text("granularity");
    json!({
        "count": doc.integer("count"),
        "granularity": unit.as_deref().and_then(Grain::named).map(Grain::enum_name),
        "timeGranularity": unit,
    })
}

impl Semantics {
    /// The models and measures of a source; none if they are not defined.
    pub(super) fn measure_of(&self, metric: &Metric, source: &Source) -> Option<(usize, Measure)> {
        match source {
            Source::Measure(name) => {
                let (model, at) = *self.measures.get(name)?;
                let measure = &self.models[model].measures[at];
                Some((model, measure.clone()))
            }
            Source::Own(name) => {
                let model = *self.model_by_name.get(name)?;
                Some((model, metric.own_measure(&self.models[model])?))
            }
            Source::Metric(_) => None,
        }
    }
}
