//! Tables for people: at most 100 columns wide, with the columns first that people look for first.

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of a table, in columns of the terminal.
const MAX_WIDTH: usize = 100;

/// The width to which texts may be shortened.
const MIN_WIDTH: usize = 8;

/// The space between two columns.
const GAP: &str = "  ";

/// A column, with its title and cells as texts.
struct Column {
    title: String,
    cells: Vec<String>,
    /// The width that it gets.
    width: usize,
    /// The width that it needs at least. Ids, times, types and numbers are never shortened.
    least: usize,
}

impl Column {
    fn of(field: &str, rows: &[Value]) -> Self {
        let title = title(field);
        let cells: Vec<String> = rows.iter().map(|row| cell(field, &row[field])).collect();
        let full = |cell: &String| cell.as_str().width();
        let least = |(cell, row): (&String, &Value)| match &row[field] {
            Value::String(text) if !is_id(text) && !is_time(field) && field != "type" => full(cell).min(MIN_WIDTH),
            Value::Array(_) | Value::Object(_) => full(cell).min(MIN_WIDTH),
            _ => full(cell),
        };
        Self {
            width: cells.iter().map(full).max().unwrap_or(0).max(title.width()),
            least: cells.iter().zip(rows).map(least).max().unwrap_or(0).max(title.width()),
            title,
            cells,
        }
    }
}

/// Lays out these fields of the rows. Long texts are shortened, the widest first. Fields at the end are left out if the table is too wide
/// even so.
pub(super) fn table(rows: &[Value], fields: &[&str]) -> String {
    let mut columns: Vec<Column> = Vec::new();
    let mut least = 0;
    for field in fields {
        let column = Column::of(field, rows);
        least += column.least + if columns.is_empty() { 0 } else { GAP.len() };
        if least > MAX_WIDTH {
            break;
        }
        columns.push(column);
    }
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    while columns.iter().map(|column| column.width).sum::<usize>() + gaps > MAX_WIDTH {
        let shortened = columns.iter_mut().filter(|column| column.width > column.least);
        let Some(widest) = shortened.max_by_key(|column| column.width) else {
            break;
        };
        widest.width -= 1;
    }
    let line = |cell: &dyn Fn(&Column) -> String| {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| padded(&cell(column), column.width))
            .collect();
        cells.join(GAP).trim_end().to_owned()
    };
    let mut lines = vec![line(&|column| column.title.clone())];
    lines.extend((0..rows.len()).map(|row| line(&|column| column.cells[row].clone())));
    lines.join("\n")
}

/// The value of a field as text: on one line, and times to the second in UTC.
pub(super) fn cell(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if is_time(field) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => time.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true),
            Err(_) => on_one_line(text),
        },
        Value::String(text) => on_one_line(text),
        Value::Array(values) => values
            .iter()
            .map(|value| cell(field, value))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}

/// The title of a column. `last_used_at` becomes `LAST USED`.
fn title(field: &str) -> String {
    let short = ["_at", "_id"].iter().find_map(|suffix| field.strip_suffix(suffix));
    short.unwrap_or(field).replace('_', " ").to_uppercase()
}

fn is_time(field: &str) -> bool {
    field == "time" || ["_at", "_time", "_since"].iter().any(|end| field.ends_with(end))
}

/// Whether a text is a UUID, which people copy.
fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Escapes control characters, which could change what the terminal shows.
fn on_one_line(text: &str) -> String {
    let escaped = |c: char| -> String {
        if c.is_control() {
            c.escape_default().collect()
        } else {
            c.into()
        }
    };
    text.chars().map(escaped).collect()
}

/// Fills a text with spaces to this width, or shortens it.
fn padded(text: &str, width: usize) -> String {
    let mut kept = text.to_owned();
    if text.width() > width {
        kept.clear();
        let mut used = 1;
        for c in text.chars() {
            used += c.width().unwrap_or(0);
            if used > width {
                break;
            }
            kept.push(c);
        }
        kept.push('…');
    }
    let missing = width.saturating_sub(kept.as_str().width());
    kept.extend(std::iter::repeat_n(' ', missing));
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01939c1e-7d5a-7000-8000-0123456789ab";
    const TIME: &str = "2026-11-24T10:00:00.123456+01:00";

    #[test]
    fn ids_and_times_stay_whole_and_long_texts_are_shortened() {
        let long = "a name that is longer than any table can show beside an id ".repeat(4);
        let rows = [
            json!({ "id": ID, "name": long, "used_at": TIME, "expires_at": TIME, "state": "inactive", "account_id": 1 }),
            json!({ "id": ID, "name": "short", "used_at": null, "expires_at": null, "state": "active", "account_id": 1 }),
        ];
        let text = table(&rows, &["id", "name", "state", "used_at", "expires_at", "account_id"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "ID                                    NAME      STATE     USED                  EXPIRES"
        );
        assert_eq!(
            lines[1],
            format!("{ID}  a name …  inactive  2026-11-24T09:00:00Z  2026-11-24T09:00:00Z")
        );
        assert_eq!(lines[1].width(), MAX_WIDTH);
        assert!(lines[2].ends_with("-"), "{text}");
    }

    #[test]
    fn wide_and_control_characters_do_not_break_the_table() {
        let rows = [json!({ "name": "\u{1b}[31mred\n", "cause": "表".repeat(100) })];
        let text = table(&rows, &["name", "cause"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[1].starts_with(r"\u{1b}[31mred\n  表"), "{text}");
        assert!(lines[1].width() <= MAX_WIDTH && lines[1].ends_with('…'), "{text}");
    }
}
