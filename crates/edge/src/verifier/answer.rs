//! Reads Datacoves' answer: a JSON object with `account_ids`, and optionally `projects` and `environments`.

use directory::{Environments, IdOrSlug};
use schemas::AccountId;
use serde_json::{Map, Value};

/// The accounts and environments that a key gives access to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) accounts: Vec<AccountId>,
    pub(super) environments: Environments,
}

/// Why the answer is invalid. The messages do not include its content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidAnswer {
    #[error("invalid answer: expected a JSON object")]
    NotAnObject,
    #[error("invalid `{0}` in the answer: expected a list")]
    NotAList(&'static str),
}

impl Answer {
    /// Reads an answer. The narrowest list that is not empty decides: `environments`, or else `projects`. If both are empty, the key gives
    /// access to nothing; if both are missing, to everything in the accounts. Invalid items in a list never widen the access.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, InvalidAnswer> {
        let Ok(Value::Object(answer)) = serde_json::from_slice(bytes) else {
            return Err(InvalidAnswer::NotAnObject);
        };
        let accounts = list(&answer, "account_ids")?.unwrap_or_default();
        let accounts = accounts.iter().filter_map(|account| match name(account) {
            Some(IdOrSlug::Id(id)) => Some(AccountId(id)),
            _ => None,
        });
        let names = |values: &[Value]| values.iter().filter_map(name).collect();
        let environments = match (list(&answer, "environments")?, list(&answer, "projects")?) {
            (Some(environments), _) if !environments.is_empty() => Environments::Only(names(environments)),
            (_, Some(projects)) if !projects.is_empty() => Environments::OfProjects(names(projects)),
            (None, None) => Environments::All,
            _ => Environments::Only(Vec::new()),
        };
        Ok(Self {
            accounts: accounts.collect(),
            environments,
        })
    }
}

/// Returns a list in the answer, or `None` if it is missing or null.
fn list<'a>(answer: &'a Map<String, Value>, key: &'static str) -> Result<Option<&'a [Value]>, InvalidAnswer> {
    match answer.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        Some(_) => Err(InvalidAnswer::NotAList(key)),
    }
}

/// Reads an item of a list: a number, a slug, or an object with `id` or `slug`.
fn name(value: &Value) -> Option<IdOrSlug> {
    match value {
        Value::Number(number) => number.as_i64().map(IdOrSlug::Id),
        Value::String(text) => text.parse().ok(),
        Value::Object(object) => object
            .get("id")
            .and_then(name)
            .or_else(|| object.get("slug").and_then(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Environments {
        Answer::read(text.as_bytes()).unwrap().environments
    }

    #[test]
    fn lists_may_be_written_in_several_ways() {
        let slug = |text: &str| IdOrSlug::Slug(text.parse().unwrap());
        let answer = Answer::read(br#"{"account_ids": [1, "2", {"id": 3}, "x", null, 1.5], "more": {}}"#).unwrap();
        assert_eq!(answer.accounts, [1, 2, 3].map(AccountId));
        assert_eq!(answer.environments, Environments::All);
        let many =
            r#"{"environments": ["dev123", 7, "8", {"slug": "abc"}, {"id": 9, "slug": "def"}, "Not A Slug", []]}"#;
        let names = vec![
            slug("dev123"),
            IdOrSlug::Id(7),
            IdOrSlug::Id(8),
            slug("abc"),
            IdOrSlug::Id(9),
        ];
        assert_eq!(read(many), Environments::Only(names));
    }

    #[test]
    fn the_narrowest_list_decides_and_invalid_items_do_not_widen_it() {
        let project = Environments::OfProjects(vec![IdOrSlug::Id(1)]);
        assert_eq!(
            read(r#"{"projects": [1], "environments": [2]}"#),
            Environments::Only(vec![IdOrSlug::Id(2)])
        );
        assert_eq!(read(r#"{"projects": [1], "environments": []}"#), project);
        assert_eq!(read(r#"{"projects": [1], "environments": null}"#), project);
        let nothing = Environments::Only(Vec::new());
        assert_eq!(read(r#"{"projects": [], "environments": []}"#), nothing);
        assert_eq!(read(r#"{"environments": []}"#), nothing);
        assert_eq!(read(r#"{"environments": ["Not A Slug"]}"#), nothing);
        for bad in [
            "",
            "[]",
            "<html>",
            r#"{"environments": "dev123"}"#,
            r#"{"account_ids": 1}"#,
        ] {
            assert!(Answer::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
