//! Text that PostgreSQL takes.

/// The text without NUL, which PostgreSQL refuses and dbt does write.
#[must_use]
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}
