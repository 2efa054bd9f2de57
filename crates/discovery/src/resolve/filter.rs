//! The filters of lists.

use async_graphql_value::ConstValue;
use read_model::queries::discovery::Freshness;

use crate::arguments::{boolean, field, text, texts};
use crate::graph::{Attributes, GraphNode};
use crate::values::{freshness_status, run_status, test_type};

/// Selects nodes. A node must meet all criteria that are given.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) unique_ids: Option<Vec<String>>,
    pub(super) status: Option<Status>,
    /// Words of the schema's `TestStatus`, of which a test needs one.
    pub(super) last_known_results: Option<Vec<String>>,
    access: Option<String>,
    database: Option<String>,
    exposure_type: Option<String>,
    freshness_checked: Option<bool>,
    freshness_status: Option<String>,
    group: Option<String>,
    /// The alias of the table, or the identifier of a source.
    identifier: Option<String>,
    modeling_layer: Option<String>,
    package: Option<String>,
    schema: Option<String>,
    source_names: Option<Vec<String>>,
    /// A node needs one of them.
    tags: Option<Vec<String>>,
    test_types: Option<Vec<String>>,
}

/// The status of the last attempt.
#[derive(Debug)]
pub(super) enum Status {
    /// A word of the schema's `RunStatus`.
    Run(String),
    /// A word of dbt.
    Exact(String),
}

impl Status {
    pub(super) fn is(&self, status: &str) -> bool {
        match self {
            Self::Run(wanted) => run_status(status) == wanted,
            Self::Exact(wanted) => status.eq_ignore_ascii_case(wanted),
        }
    }
}

impl Filter {
    /// Reads an argument `filter`, or the arguments of an old root in the form of one.
    pub(super) fn of(value: Option<&ConstValue>) -> Self {
        let one = |name: &str| text(field(value, name)).map(str::to_owned);
        let list = |name: &str| {
            let texts = texts(field(value, name))?;
            Some(texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let run_status = one("lastRunStatus").map(Status::Run);
        let last_known_results = list("lastKnownResults").or_else(|| list("lastKnownResult"));
        Self {
            unique_ids: list("uniqueIds"),
            status: run_status.or_else(|| one("status").map(Status::Exact)),
            // An empty list lets everything in.
            last_known_results: last_known_results.filter(|wanted| !wanted.is_empty()),
            access: one("access"),
            database: one("database"),
            exposure_type: one("exposureType"),
            freshness_checked: boolean(field(value, "freshnessChecked")),
            freshness_status: one("freshnessStatus"),
            group: one("group"),
            identifier: one("identifier"),
            modeling_layer: one("modelingLayer"),
            package: one("packageName"),
            schema: one("schema"),
            source_names: list("sourceNames"),
            tags: list("tags"),
            test_types: list("testTypes"),
        }
    }

    /// A filter by what names a table.
    pub(super) fn of_table(database: Option<&str>, schema: Option<&str>, identifier: Option<&str>) -> Self {
        Self {
            database: database.map(str::to_owned),
            schema: schema.map(str::to_owned),
            identifier: identifier.map(str::to_owned),
            ..Self::default()
        }
    }

    pub(super) fn needs_attributes(&self) -> bool {
        let texts = [
            &self.access,
            &self.database,
            &self.exposure_type,
            &self.group,
            &self.identifier,
            &self.modeling_layer,
            &self.package,
            &self.schema,
        ];
        let lists = [&self.source_names, &self.tags, &self.test_types];
        texts.iter().any(|text| text.is_some()) || lists.iter().any(|list| list.is_some())
    }

    pub(super) fn lets_in(&self, node: &GraphNode, attributes: &Attributes) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let is_one_of = |wanted: &Option<Vec<String>>, found: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.iter().any(|wanted| found == Some(wanted)))
        };
        let identifier = attributes
            .identifier
            .as_deref()
            .or(attributes.alias.as_deref())
            .or(node.name.as_deref());
        let has_tag = |wanted: &Vec<String>| {
            wanted
                .iter()
                .any(|wanted| attributes.tags.iter().any(|tag| **tag == **wanted))
        };
        is(&self.access, attributes.access.as_deref())
            && is(&self.database, attributes.database.as_deref())
            && is(&self.exposure_type, attributes.exposure_type.as_deref())
            && is(&self.group, attributes.group.as_deref())
            && is(&self.identifier, identifier)
            && is(&self.modeling_layer, attributes.modeling_layer(node))
            && is(&self.package, node.package_name.as_deref())
            && is(&self.schema, attributes.schema.as_deref())
            && is_one_of(&self.source_names, attributes.source_name.as_deref())
            && self.tags.as_ref().is_none_or(has_tag)
            && is_one_of(
                &self.test_types,
                Some(test_type(&node.resource_type, attributes.test_name.is_some())),
            )
    }

    pub(super) fn needs_freshness(&self) -> bool {
        self.freshness_checked.is_some() || self.freshness_status.is_some()
    }

    pub(super) fn lets_freshness_in(&self, check: Option<&Freshness>) -> bool {
        let status = check.map(|check| freshness_status(check.is_outdated, &check.status));
        self.freshness_checked.is_none_or(|wanted| check.is_some() == wanted)
            && self
                .freshness_status
                .as_deref()
                .is_none_or(|wanted| status == Some(wanted))
    }
}
