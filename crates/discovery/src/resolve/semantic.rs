//! The Semantic Layer: lists of metrics, and of what they can be grouped by.

use std::sync::Arc;

use async_graphql_value::ConstValue;
use serde_json::{Value as Json, json};

use super::{Resolver, required};
use crate::arguments::{argument, field as field_of, number, text, texts};
use crate::doc::Doc;
use crate::error::{Error, QueryError};
use crate::graph::NodeIndex;
use crate::kind::Kind;
use crate::plan::{Selected, TYPENAME};
use crate::semantic::{Metric, Named, Resolved, SemanticModel, Semantics, Shared, saved_query};
use crate::tree::Tree;

impl Resolver<'_> {
    pub(super) async fn semantic_root(&mut self, field: &Arc<Selected>) -> Result<Tree, Error> {
        if field.name == TYPENAME {
            return Ok(Tree::Json(json!(crate::types::QUERY), Arc::clone(field)));
        }
        let data = self.data_of_environment(required(field, "environmentId")?).await?;
        match field.name.as_str() {
            "environmentInfo" => Ok(self.environment_info(data, field)),
            "savedQueries" | "savedQueriesPaginated" => self.saved_queries(data, field).await,
            "query" => Err(QueryError::no_warehouse().into()),
            _ => {
                let mut resolved = self.semantics(data).await?;
                let selected = Arc::clone(field);
                // Joins may take long, and must not hold up other requests.
                let making = tokio::task::spawn_blocking(move || (list(&mut resolved, &selected), resolved));
                let (tree, resolved) = making.await.map_err(|panic| Error::Internal(panic.to_string()))?;
                self.semantics.insert(data, resolved);
                Ok(tree?)
            }
        }
    }

    fn environment_info(&self, data: usize, selected: &Arc<Selected>) -> Tree {
        let scope = &self.datas[data].scope;
        let adapter = scope.head.as_ref().and_then(|head| head.adapter_type.as_deref());
        let adapter = adapter.map(str::to_ascii_uppercase);
        let dialect = adapter.as_deref().map(|adapter| match adapter {
            "SPARK" => "APACHE_SPARK",
            other => other,
        });
        let info = json!({
            "dialect": adapter,
            "dialectSupportedBySlg": false,
            "hasMetricsDefined": scope.graph.of_kind(Kind::Metric).next().is_some(),
            "sqlDialect": dialect,
        });
        Tree::Json(info, Arc::clone(selected))
    }

    async fn saved_queries(&mut self, data: usize, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let mut queries = self.read(data, Kind::SavedQuery, saved_query).await?;
        queries.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
        let search = Search::of(selected);
        queries.retain(|query| search.finds(query["name"].as_str().unwrap_or_default()));
        let items = |range: std::ops::Range<usize>| queries[range].iter().cloned().collect::<Json>();
        Ok(paged(selected, queries.len(), |range, field| {
            Ok(Tree::Json(items(range), Arc::clone(field)))
        })?)
    }

    /// Takes the semantic models and metrics of an environment, which are read once.
    async fn semantics(&mut self, data: usize) -> Result<Resolved, Error> {
        if let Some(known) = self.semantics.remove(&data) {
            return Ok(known);
        }
        let models = self.read(data, Kind::SemanticModel, SemanticModel::of).await?;
        let metrics = self.read(data, Kind::Metric, Metric::of).await?;
        let semantics = Semantics::new(models, metrics.into_iter().flatten().collect());
        Ok(Resolved::new(semantics))
    }

    /// Reads the definitions of a kind, in the order of dbt's ids. Those without a name are left out.
    async fn read<T: Send + 'static>(
        &mut self,
        data: usize,
        kind: Kind,
        read: fn(&str, &Doc<'_>) -> T,
    ) -> Result<Vec<T>, Error> {
        let data = &mut self.datas[data];
        let indices: Vec<NodeIndex> = data.graph().of_kind(kind).collect();
        let read = move |doc: &Doc<'_>| doc.text("name").map(|name| read(&name, doc));
        let mut found = data.read_definitions(self.connection, &indices, read).await?;
        Ok(indices.iter().filter_map(|index| found.remove(index)?).collect())
    }
}

/// A list of metrics, or of what belongs to metrics.
fn list(resolved: &mut Resolved, selected: &Arc<Selected>) -> Result<Tree, QueryError> {
    let search = Search::of(selected);
    if selected.name.starts_with("metrics") {
        let metrics = resolved.semantics().metrics().map(|metric| metric.name.clone());
        let found: Vec<String> = metrics.filter(|name| search.finds(name)).collect();
        return paged(selected, found.len(), |range, field| {
            let items = found[range].iter().map(|name| metric(resolved, name, field));
            Ok(Tree::List(items.collect::<Result<_, QueryError>>()?))
        });
    }
    let names = metric_names(selected);
    let sources = resolved.sources(&names)?;
    let all = match selected.name.as_str() {
        "measures" => resolved.measures(&sources),
        "dimensions" | "dimensionsPaginated" if names.is_empty() => resolved.all_dimensions(),
        "dimensions" | "dimensionsPaginated" => resolved.dimensions(&sources)?,
        _ if names.is_empty() => resolved.all_entities(),
        _ => resolved.entities(&sources)?,
    };
    let found: Vec<Named> = all
        .items
        .iter()
        .filter(|item| search.finds(&item.name))
        .cloned()
        .collect();
    paged(selected, found.len(), |range, field| {
        Ok(Tree::Shared(
            Arc::new(Shared::new(found[range].to_vec())),
            Arc::clone(field),
        ))
    })
}

fn metric_names(selected: &Selected) -> Vec<&str> {
    let name = |input| text(field_of(Some(input), "name"));
    match argument(selected, "metrics") {
        Some(ConstValue::List(inputs)) => inputs.iter().filter_map(name).collect(),
        Some(one) => name(one).into_iter().collect(),
        None => Vec::new(),
    }
}

fn metric(resolved: &mut Resolved, name: &str, selected: &Arc<Selected>) -> Result<Tree, QueryError> {
    let sources = resolved.sources(&[name])?;
    let derived = resolved.derived(&sources);
    let mut fields = Vec::new();
    for field in &selected.only().fields {
        let shared = match field.name.as_str() {
            "dimensions" => Some(resolved.dimensions(&sources)?),
            "entities" => Some(resolved.entities(&sources)?),
            "measures" => Some(resolved.measures(&sources)),
            _ => None,
        };
        let value = match shared {
            Some(shared) => Tree::Shared(shared, Arc::clone(field)),
            None if field.name == TYPENAME => crate::page::type_name(selected, field),
            None => {
                let of_sources = derived.iter().find(|(key, _)| *key == field.name);
                let own = resolved
                    .semantics()
                    .metric(name)
                    .and_then(|metric| metric.value.get(&field.name));
                let value = of_sources.map(|(_, value)| value).or(own);
                Tree::Json(value.cloned().unwrap_or_default(), Arc::clone(field))
            }
        };
        fields.push((field.key.clone(), value));
    }
    Ok(Tree::Object(fields))
}

/// Which names are wanted: those that contain one of these texts, in any case.
struct Search(Option<Vec<String>>);

impl Search {
    fn of(selected: &Selected) -> Self {
        let terms = texts(argument(selected, "searchTerms")).unwrap_or_default();
        let terms = terms.into_iter().chain(text(argument(selected, "search")));
        let terms: Vec<String> = terms
            .map(|term| term.trim().to_lowercase())
            .filter(|term| !term.is_empty())
            .collect();
        Self((!terms.is_empty()).then_some(terms))
    }

    fn finds(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.0
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| name.contains(term)))
    }
}

/// Makes a list, or a page of it if the field is one.
fn paged(
    selected: &Arc<Selected>,
    total: usize,
    mut items: impl FnMut(std::ops::Range<usize>, &Arc<Selected>) -> Result<Tree, QueryError>,
) -> Result<Tree, QueryError> {
    if !selected.name.ends_with("Paginated") {
        return items(0..total, selected);
    }
    let page = positive(selected, "pageNum")?.unwrap_or(1);
    let size = positive(selected, "pageSize")?;
    let start = size.map_or(if page == 1 { 0 } else { total }, |size| {
        size.saturating_mul(page - 1).min(total)
    });
    let end = size.map_or(total, |size| start.saturating_add(size).min(total));
    let pages = size.map_or(1, |size| total.div_ceil(size));
    let mut fields = Vec::new();
    for field in &selected.only().fields {
        let value = match field.name.as_str() {
            "items" => items(start..end, field)?,
            "pageNum" => Tree::Json(json!(page), Arc::clone(field)),
            "pageSize" => Tree::Json(json!(size), Arc::clone(field)),
            "totalItems" => Tree::Json(json!(total), Arc::clone(field)),
            "totalPages" => Tree::Json(json!(pages), Arc::clone(field)),
            _ => Resolver::typename_or_null(selected, field),
        };
        fields.push((field.key.clone(), value));
    }
    Ok(Tree::Object(fields))
}

fn positive(selected: &Selected, name: &str) -> Result<Option<usize>, QueryError> {
    match number(selected, name) {
        None => Ok(None),
        Some(given) => match usize::try_from(given) {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(QueryError::invalid(format!(
                "invalid `{name}`: expected a whole number from 1, got `{given}`"
            ))),
        },
    }
}
