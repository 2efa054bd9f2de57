//! Refuses texts that no parser should see.

use super::MAX_OPEN;
use crate::error::QueryError;

/// Refuses texts that are nested so deep that parsing them would exhaust the stack.
pub(super) fn check_brackets(query: &str) -> Result<(), QueryError> {
    let mut open = 0_usize;
    let mut rest = query.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'(' | b'[' => open += 1,
            b'}' | b')' | b']' => open = open.saturating_sub(1),
            b'#' => rest = skip_to(rest, |rest| rest.starts_with(b"\n") || rest.starts_with(b"\r"), 0),
            b'"' if rest.starts_with(b"\"\"") => rest = skip_to(&rest[2..], |rest| rest.starts_with(b"\"\"\""), 3),
            b'"' => rest = skip_to(rest, |rest| rest.starts_with(b"\""), 1),
            _ => {}
        }
        if open > MAX_OPEN {
            return Err(QueryError::too_large(format!(
                "the query is nested too deep: expected at most {MAX_OPEN} open brackets, got more"
            )));
        }
    }
    Ok(())
}

/// Skips to the end of a text or comment. A character after a backslash never ends it.
fn skip_to(mut rest: &[u8], is_end: fn(&[u8]) -> bool, length: usize) -> &[u8] {
    while !rest.is_empty() && !is_end(rest) {
        let step = if rest[0] == b'\\' { 2 } else { 1 };
        rest = rest.get(step..).unwrap_or_default();
    }
    rest.get(length..).unwrap_or_default()
}
