//! Identifies the dbt command that wrote the results, and decides when two commands are the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Sha256;
use crate::artifacts::raw::{Entries, texts};

/// The commands that do work on nodes. All others list nodes as `success` without touching them.
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

/// The arguments that determine what a command does. The other arguments only determine how it runs: threads, logs, caches.
const DISTINCTIVE: [&str; 12] = [
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
    /// dbt's name for the command, such as `build`, `generate` or `freshness`.
    pub(super) which: Option<String>,
    /// The command as it was typed.
    pub(super) text: Option<String>,
    /// A hash that is equal for commands with the same name and arguments.
    pub(super) key: Option<Sha256>,
    /// Whether the command built with `--empty` or `--sample`, so that the tables are not complete.
    pub(super) is_limited: bool,
    /// Whether dbt Core wrote the results. Since 1.6 it records how it was called, while dbt 2 does not.
    pub(super) is_of_core: bool,
}

impl Command {
    /// Reads the command from the `args` of run results.
    pub(super) fn of(args: &Entries<'_>) -> Self {
        let which = args.text("which").map(String::from);
        let typed = args.text("invocation_command").map(String::from);
        let has_word = |word: &str| typed.as_deref().is_some_and(|typed| has_word(typed, word));
        let names_itself = which.as_deref().is_none_or(has_word);
        let is_of_core = typed.is_some();
        let is_retry = which.as_deref() == Some("retry") || (!names_itself && has_word("retry"));
        let text = match &which {
            // When dbt runs inside another program, it records that program's arguments as its own.
            Some(which) if !(names_itself || is_retry) || typed.is_none() => Some(format!("dbt {}", words_of(which))),
            _ => typed,
        };
        Self {
            text,
            // dbt 2 records neither the selection nor the macro that was called.
            key: which
                .as_deref()
                .filter(|_| args.get("__other__").is_none())
                .map(|which| key_of(which, args)),
            is_of_core,
            is_limited: args.text("empty").is_some_and(|empty| empty == "true") || args.get("sample").is_some(),
            which,
        }
    }

    /// The command that checks the freshness of sources and models. Its files do not record which ones it was asked to check.
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

    /// Whether the command compiles the nodes that it works on. `clone` copies tables, and `run-operation` calls a macro.
    pub(super) fn compiles(&self) -> bool {
        self.executes() && !self.is("clone") && !self.is("run-operation")
    }

    pub(super) fn is(&self, which: &str) -> bool {
        self.which.as_deref() == Some(which)
    }
}

/// The words that the user types. dbt shortens the names of some commands to the last word.
fn words_of(which: &str) -> String {
    match which {
        "generate" => "docs generate".to_owned(),
        "freshness" => "source freshness".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether this is dbt's subcommand in a command as it was typed. When dbt runs inside another program, the words are that program's, such as
/// `dbt celery worker -q build`.
fn has_word(typed: &str, word: &str) -> bool {
    let older = if word == "freshness" {
        "snapshot-freshness"
    } else {
        word
    };
    let mut may_be_value = false;
    for found in typed.split_whitespace().skip(1) {
        if found == word || found == older {
            return true;
        }
        if found == "-m" {
            return false; // of Python: dbt has no such option before its subcommand
        }
        if found.starts_with('-') {
            may_be_value = !found.contains('=');
        } else if may_be_value {
            may_be_value = false;
        } else if !["docs", "source"].contains(&found) {
            return false;
        }
    }
    false
}
fn key_of(which: &str, args: &Entries<'_>) -> Sha256 {
    let mut distinctive: BTreeMap<&str, Value> = BTreeMap::new();
    for name in DISTINCTIVE {
        let Some(value) = args.get(name) else { continue };
        let value = match name {
            // The order in which they were typed does not matter.
            "select" | "models" | "exclude" | "resource_types" | "exclude_resource_types" => {
                let mut values = texts(value);
                values.sort_unstable();
                Value::from(values)
            }
            _ => serde_json::from_str(value.get()).unwrap_or_default(),
        };
        let is_empty = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !is_empty {
            distinctive.insert(name, value);
        }
    }
    Sha256::of(serde_json::json!([which, distinctive]).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(args: &str) -> Command {
        Command::of(&serde_json::from_str(args).unwrap())
    }

    #[test]
    fn a_command_has_the_text_that_was_typed() {
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
        // dbt ran inside a worker or a test runner.
        assert_eq!(typed("build", "dbt celery worker -q build"), "dbt build");
        assert_eq!(typed("run", "dbt tasks run shop dbt_run manual__1 --local"), "dbt run");
        assert_eq!(typed("test", "dbt -m pytest test"), "dbt test");
        assert_eq!(
            typed("run", "dbt --log-level debug -q run"),
            "dbt --log-level debug -q run"
        );
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
    fn commands_without_known_arguments_have_no_key() {
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
