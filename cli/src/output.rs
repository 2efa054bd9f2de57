//! The output of commands.

mod table;

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use table::{cell, table};

/// The format in which results are printed.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

impl Output {
    /// Prints an object, as one line for each field or as JSON.
    pub(crate) fn one(self, thing: &impl Serialize) -> anyhow::Result<()> {
        let value = serde_json::to_value(thing)?;
        match self {
            Self::Json => print(&serde_json::to_string_pretty(&value)?),
            Self::Text => {
                let fields = fields(&value);
                let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                let lines: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned())
                    .collect();
                print(&lines.join("\n"))
            }
        }
    }

    /// Prints several objects, as a table with these columns, or as a JSON list with all fields. `none` is the text for an empty table.
    pub(crate) fn many(self, things: &[impl Serialize], columns: &[&str], none: &str) -> anyhow::Result<()> {
        let values: Vec<Value> = things.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        match self {
            Self::Json => list(&serde_json::to_string_pretty(&values)?),
            Self::Text if values.is_empty() => list(none),
            Self::Text => list(&table(&values, columns)),
        }
    }

    /// Prints one object of a stream, as a line with the values of these columns, or as a line of JSON.
    pub(crate) fn line(self, thing: &impl Serialize, columns: &[&str]) -> anyhow::Result<()> {
        let value = serde_json::to_value(thing)?;
        match self {
            Self::Json => list(&value.to_string()),
            Self::Text => {
                let values: Vec<String> = columns.iter().map(|name| cell(name, &value[name])).collect();
                list(&values.join("  "))
            }
        }
    }

    /// Prints texts, as lines or a JSON list.
    pub(crate) fn lines(self, lines: &[String]) -> anyhow::Result<()> {
        match self {
            Self::Json => list(&serde_json::to_string_pretty(lines)?),
            Self::Text => list(&lines.join("\n")),
        }
    }

    /// Prints a remark beside the result; omitted in JSON.
    pub(crate) fn note(self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Json => Ok(()),
            Self::Text => print(text),
        }
    }

    /// Prints that a command without a result has succeeded; an empty object in JSON.
    pub(crate) fn done(self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Json => print("{}"),
            Self::Text => print(text),
        }
    }
}

/// Returns an error and its causes on one line, each once. Errors of PostgreSQL repeat their cause, and end with a line of its source code.
pub(crate) fn reason(error: &anyhow::Error) -> String {
    let mut reason = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = match text.rsplit_once(" at line ") {
            Some((text, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => text,
            _ => &text,
        };
        if reason.is_empty() {
            text.clone_into(&mut reason);
        } else if !reason.contains(text) {
            reason.push_str(": ");
            reason.push_str(text);
        }
    }
    reason
}

/// Nobody reads the rest of a list, such as after `head`. The command has nothing left to do.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub(crate) struct Closed;

/// Prints a text that is the same in every format.
pub(crate) fn text(bytes: &[u8]) -> anyhow::Result<()> {
    written(std::io::stdout().lock().write_all(bytes))
}

/// Prints a part of a list.
fn list(text: &str) -> anyhow::Result<()> {
    written(writeln!(std::io::stdout().lock(), "{text}"))
}

/// Prints the result of a command. If nobody reads it, the command goes on: its exit code says whether it succeeded.
fn print(text: &str) -> anyhow::Result<()> {
    match list(text) {
        Err(error) if error.is::<Closed>() => Ok(()),
        printed => printed,
    }
}

fn written(result: std::io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
        result => Ok(result?),
    }
}

fn fields(value: &Value) -> Vec<(String, String)> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    let fields = fields.iter();
    fields.map(|(name, value)| (name.clone(), cell(name, value))).collect()
}
