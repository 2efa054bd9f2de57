//! What filters, selections and lineages must know of each node's definition.

use super::GraphNode;
use crate::doc::Doc;

/// A part of a node's definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) access: Option<Box<str>>,
    pub(crate) alias: Option<Box<str>>,
    pub(crate) database: Option<Box<str>>,
    pub(crate) exposure_type: Option<Box<str>>,
    pub(crate) fqn: Vec<Box<str>>,
    pub(crate) group: Option<Box<str>>,
    pub(crate) identifier: Option<Box<str>>,
    /// Where it is defined, from the project's folder.
    pub(crate) path: Box<str>,
    /// The file with its description and tests, from the project's folder.
    pub(crate) patch_path: Option<Box<str>>,
    pub(crate) schema: Option<Box<str>>,
    pub(crate) source_name: Option<Box<str>>,
    pub(crate) tags: Vec<Box<str>>,
    /// The name of the macro, for a generic test.
    pub(crate) test_name: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) latest_version: Option<Box<str>>,
}

impl Attributes {
    pub(crate) fn of(doc: &Doc<'_>) -> Self {
        let config = doc.object("config").unwrap_or_default();
        let text = |key: &str| doc.text(key).map(Box::from);
        let texts = |list: Option<Vec<std::borrow::Cow<'_, str>>>| -> Vec<Box<str>> {
            list.unwrap_or_default().into_iter().map(Box::from).collect()
        };
        let configured = |key: &str| text(key).or_else(|| config.text(key).map(Box::from));
        // Where dbt writes both, it goes by the first: the configured tags of a metric are not among them.
        let tags = texts(doc.texts("tags").or_else(|| config.texts("tags")));
        let metadata = doc.object("test_metadata");
        Self {
            access: configured("access"),
            alias: text("alias"),
            database: text("database"),
            exposure_type: text("type"),
            fqn: texts(doc.texts("fqn")),
            // Tests have the group of their model beside their configuration, and dbt does not select them by it.
            group: config.text("group").map(Box::from),
            identifier: text("identifier"),
            path: text("original_file_path").or_else(|| text("path")).unwrap_or_default(),
            patch_path: text("patch_path"),
            schema: text("schema"),
            source_name: text("source_name"),
            tags,
            test_name: metadata.and_then(|metadata| metadata.text("name").map(Box::from)),
            version: text("version"),
            latest_version: text("latest_version"),
        }
    }

    /// The layer that a model belongs to by the usual conventions: `staging`, `intermediate` or `marts`. dbt does not record it.
    pub(crate) fn modeling_layer(&self, node: &GraphNode) -> Option<&'static str> {
        modeling_layer(&self.path, node.name.as_deref().unwrap_or_default())
    }
}

/// The layer of a model by its folder, or else by the beginning of its name.
pub(crate) fn modeling_layer(path: &str, name: &str) -> Option<&'static str> {
    let mut folders = path.split(['/', '\\']);
    let of_folder = folders.find_map(|folder| match folder {
        "staging" | "base" => Some("staging"),
        "intermediate" => Some("intermediate"),
        "marts" | "mart" => Some("marts"),
        _ => None,
    });
    of_folder.or_else(|| {
        let prefixes = [
            ("stg_", "staging"),
            ("base_", "staging"),
            ("int_", "intermediate"),
            ("fct_", "marts"),
            ("dim_", "marts"),
            ("mart_", "marts"),
        ];
        let found = prefixes.into_iter().find(|(prefix, _)| name.starts_with(prefix));
        found.map(|(_, layer)| layer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_groups_may_be_set_in_config() {
        let json = r#"{"config": {"tags": ["daily"], "group": "finance", "access": "public"}, "fqn": ["p", "m"], "version": 2}"#;
        let attributes = Attributes::of(&Doc::of(json));
        assert_eq!(*attributes.tags[0], *"daily");
        assert_eq!(attributes.group.as_deref(), Some("finance"));
        assert_eq!(attributes.version.as_deref(), Some("2"));
        let json = r#"{"tags": [], "config": {"tags": ["daily"]}}"#;
        assert!(Attributes::of(&Doc::of(json)).tags.is_empty());
    }

    #[test]
    fn layers_follow_folders_and_then_names() {
        assert_eq!(modeling_layer("models/marts/stg_x.sql", "stg_x"), Some("marts"));
        assert_eq!(modeling_layer("models/stg_x.sql", "stg_x"), Some("staging"));
        assert_eq!(modeling_layer("models/x.sql", "x"), None);
    }
}
