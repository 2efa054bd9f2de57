//! Which dbt command wrote results, and what makes two commands the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Sha256;
use crate::artifacts::raw::{Entries, texts};

/// The commands that do something to nodes; all others list nodes as `success` that they did not touch.
const EXECUTING: [&str; 8] = [
    "run",
    "build",
    "test",
    "seed",
    "snapshot",
    "retry",
    "clone",
    "run-operation",
];

/// The arguments that say what a command is about. Those that are left out say how it runs: threads, logs, caches.
const TELLING: [&str; 12] = [
    "select",
    "models",
    "exclude",
    "selector",
    "resource_types",
    "exclude_resource_types",
    "macro",
    "args",
    "inline",
    "full_refresh",
    "empty",
    "sample",
];

/// The command that wrote a file of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// dbt's name for it, such as `build`, `generate` or `freshness`.
    pub(super) which: Option<String>,
    /// As it was typed.
    pub(super) text: Option<String>,
    /// The same for all commands with the same name and arguments.
    pub(super) key: Option<Sha256>,
    /// It built with `--empty` or `--sample`: not what the tables are for.
    pub(super) is_limited: bool,
    /// dbt Core wrote it, which says how it was called since 1.6; dbt 2 does not.
    pub(super) is_of_core: bool,
}

impl Command {
    /// From `args` of run results.
    pub(super) fn of(args: &Entries<'_>) -> Self {
        let which = args.text("which").map(String::from);
        let typed = args.text("invocation_command").map(String::from);
        let has_word = |word: &str| typed.as_deref().is_some_and(|typed| has_word(typed, word));
        let names_itself = which.as_deref().is_none_or(has_word);
        let is_of_core = typed.is_some();
        let is_retry = which.as_deref() == Some("retry") || (!names_itself && has_word("retry"));
        let text = match &which {
            // dbt that runs inside another program takes that program's arguments for its own.
            Some(which) if !(names_itself || is_retry) || typed.is_none() => Some(format!("dbt {}", words_of(which))),
            _ => typed,
        };
        Self {
            text,
            // dbt 2 says neither what was selected nor which macro was called.
            key: which
                .as_deref()
                .filter(|_| args.get("__other__").is_none())
                .map(|which| key_of(which, args)),
            is_of_core,
            is_limited: args.text("empty").is_some_and(|empty| empty == "true") || args.get("sample").is_some(),
            which,
        }
    }

    /// What checks how fresh sources and models are. Its files do not say which ones it was asked for.
    pub(super) fn freshness() -> Self {
        Self {
            which: Some("freshness".to_owned()),
            text: Some("dbt source freshness".to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn executes(&self) -> bool {
        self.which.as_deref().is_some_and(|which| EXECUTING.contains(&which))
    }

    /// Whether it compiles the nodes that it works on. `clone` copies tables, and `run-operation` calls a macro.
    pub(super) fn compiles(&self) -> bool {
        self.executes() && !self.is("clone") && !self.is("run-operation")
    }

    pub(super) fn is(&self, which: &str) -> bool {
        self.which.as_deref() == Some(which)
    }
}

/// As it is typed: dbt names some commands by their last word.
fn words_of(which: &str) -> String {
    match which {
        "generate" => "docs generate".to_owned(),
        "freshness" => "source freshness".to_owned(),
        other => other.to_owned(),
    }
}

fn has_word(typed: &str, word: &str) -> bool {
    let older = if word == "freshness" {
        "snapshot-freshness"
    } else {
        word
    };
    typed.split_whitespace().any(|found| found == word || found == older)
}

fn key_of(which: &str, args: &Entries<'_>) -> Sha256 {
    let mut telling: BTreeMap<&str, Value> = BTreeMap::new();
    for name in TELLING {
        let Some(value) = args.get(name) else { continue };
        let value = match name {
            // In whatever order they were typed.
            "select" | "models" | "exclude" | "resource_types" | "exclude_resource_types" => {
                let mut values = texts(value);
                values.sort_unstable();
                Value::from(values)
            }
            _ => serde_json::from_str(value.get()).unwrap_or_default(),
        };
        let says_nothing = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !says_nothing {
            telling.insert(name, value);
        }
    }
    Sha256::of(serde_json::json!([which, telling]).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(args: &str) -> Command {
        Command::of(&serde_json::from_str(args).unwrap())
    }

    #[test]
    fn a_command_is_named_as_dbt_was_called() {
        let text = |args: &str| command(args).text.unwrap();
        let typed =
            |which: &str, typed: &str| text(&format!(r#"{{"which": "{which}", "invocation_command": "{typed}"}}"#));
        assert_eq!(typed("build", "dbt --no-color build -s a"), "dbt --no-color build -s a");
        assert_eq!(typed("generate", "dbt docs generate"), "dbt docs generate");
        assert_eq!(
            typed("freshness", "dbt source snapshot-freshness"),
            "dbt source snapshot-freshness"
        );
        assert_eq!(typed("build", "dbt retry"), "dbt retry");
        // In the process of a worker or of a test runner.
        assert_eq!(typed("build", "dbt celery worker -q a"), "dbt build");
        assert_eq!(typed("generate", "dbt -q tests/test_docs.py"), "dbt docs generate");
        assert_eq!(text(r#"{"which": "freshness"}"#), "dbt source freshness");
        assert_eq!(command("{}").text, None);
    }

    #[test]
    fn the_same_command_has_the_same_key() {
        let key = |args: &str| command(args).key.unwrap();
        let one = key(r#"{"which": "run", "select": ["a", "b"], "exclude": [], "threads": 4, "full_refresh": false}"#);
        assert_eq!(
            one,
            key(r#"{"which": "run", "select": ["b", "a"], "macro": null, "threads": 1}"#)
        );
        assert_ne!(one, key(r#"{"which": "run", "select": ["a"]}"#));
        assert_ne!(one, key(r#"{"which": "test", "select": ["a", "b"]}"#));
        let operation = |args: &str| {
            key(&format!(
                r#"{{"which": "run-operation", "macro": "m", "args": {args}}}"#
            ))
        };
        assert_eq!(operation(r#"{"a": 1, "b": 2}"#), operation(r#"{"b": 2, "a": 1}"#));
        assert_ne!(operation(r#"{"a": 1}"#), operation(r#"{"a": 2}"#));
    }

    #[test]
    fn commands_that_do_not_say_what_they_are_about_are_not_the_same() {
        let of_dbt_2 = command(r#"{"command": "run-operation", "which": "run-operation", "__other__": {}}"#);
        assert_eq!(of_dbt_2.key, None);
    }

    #[test]
    fn empty_and_sampled_builds_are_limited() {
        assert!(command(r#"{"which": "build", "empty": true}"#).is_limited);
        assert!(command(r#"{"which": "build", "sample": {"start": "2026-01-01"}}"#).is_limited);
        assert!(!command(r#"{"which": "build", "empty": false, "sample": null}"#).is_limited);
    }
}
