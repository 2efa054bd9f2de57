//! Text that PostgreSQL takes.

use std::borrow::Cow;

/// The text without NUL, which PostgreSQL refuses and dbt does write.
#[must_use]
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}
