//! The text of a cursor, which clients send back as it is.

use chrono::DateTime;
use edge::InvalidParam;
use read_model::queries::result_table::TablePosition;
use schemas::Sha256;

/// Writes a position in the table: the time in microseconds, the file, and the index of the result in it.
pub(super) fn write(position: TablePosition) -> String {
    let TablePosition { at, sha256, index } = position;
    format!("{:x}-{sha256}-{index:x}", at.timestamp_micros())
}

/// Reads what [`write`] wrote.
pub(super) fn read(text: &str) -> Result<TablePosition, InvalidParam> {
    of_text(text).ok_or_else(|| InvalidParam::new("cursor", text, "the `next_cursor` of an answer"))
}

fn of_text(text: &str) -> Option<TablePosition> {
    let mut parts = text.split('-');
    let (at, sha256, index) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    // A time before 1970 is written as a large number, as `{:x}` does.
    let at = u64::from_str_radix(at, 16).ok()?.cast_signed();
    let index = u32::from_str_radix(index, 16).ok()?.cast_signed();
    let sha256: Sha256 = sha256.parse().ok()?;
    let at = DateTime::from_timestamp_micros(at).filter(|at| (0..=9_999).contains(&chrono::Datelike::year(at)))?;
    Some(TablePosition { at, sha256, index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips() {
        for (at, index) in [("2026-11-24T09:00:00.123456Z", 7), ("1969-12-31T23:59:59Z", i32::MAX)] {
            let position = TablePosition {
                at: at.parse().unwrap(),
                sha256: Sha256::of(b"file"),
                index,
            };
            assert_eq!(of_text(&write(position)), Some(position));
        }
    }

    #[test]
    fn other_texts_are_not_cursors() {
        let hash = Sha256::of(b"file");
        for text in [
            String::new(),
            "1".to_owned(),
            format!("x-{hash}-0"),
            format!("1-{hash}"),
            format!("1-{hash}-0-0"),
            format!("1-{hash}é-0"),
            format!("7fffffffffffffff-{hash}-0"),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
