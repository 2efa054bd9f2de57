//! Saved queries.

use serde_json::{Value as Json, json};

use super::Grain;
use super::config::{enum_value, filter};
use crate::doc::Doc;

/// The fields of a saved query, by the names of the schema.
pub(crate) fn saved_query(name: &str, doc: &Doc<'_>) -> Json {
    let params = doc.object("query_params").unwrap_or_default();
    let texts = |key: &str| params.texts(key).unwrap_or_default();
    let exports = doc.objects("exports");
    json!({
        "description": doc.text("description"),
        "exports": exports.iter().map(export).collect::<Json>(),
        "label": doc.text("label"),
        "name": name,
        "queryParams": {
            "groupBy": texts("group_by").iter().map(|text| group_by(text)).collect::<Json>(),
            "metrics": texts("metrics").iter().map(|name| json!({ "name": name })).collect::<Json>(),
            "where": filter(&params, "where"),
        },
    })
}

fn export(doc: &Doc<'_>) -> Json {
    let config = doc.object("config").unwrap_or_default();
    json!({
        "config": {
            "alias": config.text("alias"),
            "exportAs": enum_value(&config, "export_as"),
            "schema": config.text("schema_name").or_else(|| config.text("schema")),
        },
        "name": doc.text("name"),
    })
}

/// Reads what a query is grouped by, such as `Dimension('customer__segment')` or `TimeDimension('metric_time', 'month')`. A text of another
/// form is taken as a name.
fn group_by(text: &str) -> Json {
    let calls = calls(text).unwrap_or_default();
    let Some((function, arguments)) = calls.split_first().map(|(function, rest)| {
        let (name, arguments) = function;
        ((*name, rest), arguments)
    }) else {
        return json!({ "name": text.trim() });
    };
    let (function, methods) = function;
    let Some(name) = arguments.positional.first() else {
        return json!({ "name": text.trim() });
    };
    let method = |name: &str| {
        let found = methods.iter().find(|(method, _)| *method == name);
        found.and_then(|(_, arguments)| arguments.positional.first().cloned())
    };
    let of_time = (function == "TimeDimension")
        .then(|| arguments.positional.get(1).cloned())
        .flatten();
    let grain = method("grain")
        .or(of_time)
        .or_else(|| arguments.named("time_granularity_name"));
    let part = method("date_part").or_else(|| arguments.named("date_part_name"));
    let mut path = arguments.path.clone();
    path.push(name.clone());
    json!({
        "datePart": part.map(|part| part.to_ascii_uppercase()),
        "grain": grain.as_deref().and_then(Grain::named).map(Grain::enum_name),
        "name": path.join("__"),
        "timeGranularity": grain,
    })
}

/// The arguments of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    positional: Vec<String>,
    named: Vec<(String, String)>,
    /// The texts of the argument that is a list: the entities that lead to a dimension.
    path: Vec<String>,
}

impl Arguments {
    fn named(&self, name: &str) -> Option<String> {
        let found = self.named.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    }
}

/// Splits `Name('a', b='c').method('d')` into its calls; `None` if it is something else.
fn calls(text: &str) -> Option<Vec<(&str, Arguments)>> {
    let text = text.trim();
    let text = text
        .strip_prefix("{{")
        .and_then(|text| text.strip_suffix("}}"))
        .unwrap_or(text);
    let mut rest = text.trim();
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let (name, inner) = rest.split_once('(')?;
        let (arguments, after) = arguments(inner)?;
        calls.push((name.trim().trim_start_matches('.').trim(), arguments));
        rest = after.trim_start();
    }
    Some(calls)
}

/// Reads arguments up to the closing bracket. Returns them, and the text after it.
fn arguments(text: &str) -> Option<(Arguments, &str)> {
    let mut arguments = Arguments::default();
    let (mut key, mut is_list) = (None, false);
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let after = &rest[first.len_utf8()..];
        rest = match first {
            ')' => return Some((arguments, after)),
            '\'' | '"' => {
                let (value, after) = after.split_once(first)?;
                match key.take() {
                    _ if is_list => arguments.path.push(value.to_owned()),
                    Some(key) => arguments.named.push((key, value.to_owned())),
                    None => arguments.positional.push(value.to_owned()),
                }
                after
            }
            '[' | ']' => {
                (key, is_list) = (None, first == '[');
                after
            }
            ',' => after,
            _ => {
                let (name, after) = rest.split_once('=')?;
                key = Some(name.trim().to_owned());
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_is_grouped_by_is_read_in_all_forms() {
        for (text, expected) in [
            (
                "Dimension('customer__segment')",
                ("customer__segment", Json::Null, Json::Null),
            ),
            (
                "TimeDimension('metric_time', 'month')",
                ("metric_time", json!("MONTH"), Json::Null),
            ),
            (
                "Dimension(\"a__at\").grain('fiscal_year')",
                ("a__at", Json::Null, Json::Null),
            ),
            (
                "{{ Dimension( 'a__at' ) . grain('week') .date_part('year') }}",
                ("a__at", json!("WEEK"), json!("YEAR")),
            ),
            (
                "TimeDimension('at', entity_path=['x', 'y'], date_part_name='dow')",
                ("x__y__at", Json::Null, json!("DOW")),
            ),
            ("Entity('customer')", ("customer", Json::Null, Json::Null)),
            (" customer__segment ", ("customer__segment", Json::Null, Json::Null)),
            ("Dimension('open", ("Dimension('open", Json::Null, Json::Null)),
            ("Dimension()", ("Dimension()", Json::Null, Json::Null)),
        ] {
            let read = group_by(text);
            assert_eq!(
                (
                    read["name"].as_str().unwrap(),
                    read["grain"].clone(),
                    read["datePart"].clone()
                ),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            group_by("Dimension('a').grain('fiscal_year')")["timeGranularity"],
            "fiscal_year"
        );
    }
}
