//! The output of commands.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

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

    /// Prints several objects, as a table or a JSON list. `none` is the text for an empty table.
    pub(crate) fn many(self, things: &[impl Serialize], none: &str) -> anyhow::Result<()> {
        let values: Vec<Value> = things.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        match self {
            Self::Json => list(&serde_json::to_string_pretty(&values)?),
            Self::Text if values.is_empty() => list(none),
            Self::Text => list(&table(&values)),
        }
    }

    /// Prints one object of a stream, as a line with its values or a line of JSON.
    pub(crate) fn line(self, thing: &impl Serialize) -> anyhow::Result<()> {
        let value = serde_json::to_value(thing)?;
        match self {
            Self::Json => list(&value.to_string()),
            Self::Text => {
                let values: Vec<String> = fields(&value).into_iter().map(|(_, value)| value).collect();
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

/// Nobody reads the rest of a list, such as after `head`. The command has nothing left to do.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub(crate) struct Closed;

/// Prints a part of a list.
fn list(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written?),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

fn fields(value: &Value) -> Vec<(String, String)> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    fields.iter().map(|(name, value)| (name.clone(), cell(value))).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn table(rows: &[Value]) -> String {
    let rows: Vec<Vec<(String, String)>> = rows.iter().map(fields).collect();
    let header: Vec<String> = rows[0].iter().map(|(name, _)| name.to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    lines.extend(
        rows.into_iter()
            .map(|row| row.into_iter().map(|(_, value)| value).collect()),
    );
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let text: Vec<String> = lines
        .iter()
        .map(|line| {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    text.join("\n")
}
