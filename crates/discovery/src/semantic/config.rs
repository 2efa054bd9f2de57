//! What dimensions, entities, measures and metrics have in common.

use serde_json::{Value as Json, json};

use crate::doc::Doc;

/// `config`, of which the schema has `meta`.
pub(super) fn config(doc: &Doc<'_>) -> Json {
    let of_config = doc.object("config").map(|config| config.json("meta"));
    let meta = of_config.filter(Json::is_object).unwrap_or_else(|| doc.json("meta"));
    json!({ "meta": if meta.is_object() { meta } else { json!({}) } })
}

/// A word of dbt's as the schema's enums have it.
pub(super) fn enum_value(doc: &Doc<'_>, key: &str) -> Json {
    doc.text(key)
        .map_or(Json::Null, |text| text.to_ascii_uppercase().into())
}

/// `filter` or `where`: dbt keeps the conditions apart, and the schema has one text.
pub(super) fn filter(doc: &Doc<'_>, key: &str) -> Json {
    let object = doc.object(key).unwrap_or_default();
    let conditions = object.objects("where_filters");
    let mut texts: Vec<String> = conditions
        .iter()
        .filter_map(|condition| condition.text("where_sql_template"))
        .map(String::from)
        .collect();
    // Before dbt 1.7, there was only one.
    texts.extend(object.text("where_sql_template").map(String::from));
    let text = match texts.as_slice() {
        [] => return Json::Null,
        [only] => only.clone(),
        several => several
            .iter()
            .map(|text| format!("({text})"))
            .collect::<Vec<_>>()
            .join(" AND "),
    };
    json!({ "whereSqlTemplate": text })
}
