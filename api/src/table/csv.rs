//! The table as CSV (RFC 4180), with a header. A null is an empty cell.

use std::fmt::Write;

use super::columns::{COLUMNS, Column};
use crate::format::iso_time;
use crate::resources::result_row::ResultRow;

/// With these, spreadsheets take a text for a formula, which could send what is in the sheet to somebody. The last two are skipped by some
/// of them.
const BEGINS_FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

pub(super) fn write(rows: &[ResultRow]) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut csv = names.join(",") + "\r\n";
    for row in rows {
        for (index, (_, column)) in COLUMNS.iter().enumerate() {
            if index > 0 {
                csv.push(',');
            }
            match column {
                Column::Time(of) => csv.push_str(&iso_time(of(row))),
                Column::Text(of) => push_text(&mut csv, of(row).unwrap_or_default()),
                Column::Integer(of) => push_number(&mut csv, of(row)),
                Column::Number(of) => push_number(&mut csv, of(row)),
            }
        }
        csv.push_str("\r\n");
    }
    csv
}

/// Adds a number as it is: spreadsheets read a negative one as a number.
fn push_number(csv: &mut String, number: Option<impl std::fmt::Display>) {
    if let Some(number) = number {
        // Writing to a string does not fail.
        let _ = write!(csv, "{number}");
    }
}

fn push_text(csv: &mut String, text: &str) {
    let guard = if text.starts_with(BEGINS_FORMULA) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) {
        csv.push('"');
        csv.push_str(guard);
        csv.push_str(&text.replace('"', "\"\""));
        csv.push('"');
    } else {
        csv.push_str(guard);
        csv.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::row;
    use super::*;

    #[test]
    fn rows_are_lines() {
        assert_eq!(
            write(&[row()]),
            "completed_at,unique_id,resource_type,status,command,execution_time,failures,rows_affected,message,environment_id,job_id,run_id,step_id\r\n\
             2026-11-24T09:00:00.500000+00:00,test.shop.a,test,fail,,0.25,3,-1,\"'=1+1, \"\"quoted\"\"\nline\",1,2,3,4\r\n"
        );
    }

    #[test]
    fn no_text_is_a_formula() {
        for (text, cell) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("a=1", "a=1"),
            ("'=1", "'=1"),
            ("", ""),
        ] {
            let mut csv = String::new();
            push_text(&mut csv, text);
            assert_eq!(csv, cell, "{text:?}");
        }
    }
}
