//! Text that PostgreSQL accepts.

/// Removes NUL characters, which dbt writes but PostgreSQL rejects.
#[must_use]
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

/// Folds letter case for a search that ignores it in all alphabets, independent of the database's locale. Text goes through upper case,
/// since `ß` and `ss` have the same capitals, and through lower case before that, since the capital `ẞ` has no other. Letters are mapped one
/// by one, since a sigma at the end of a word has another lower-case form.
pub(crate) fn fold(text: &str) -> String {
    let capitals = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn letters_of_all_alphabets_are_folded() {
        for (one, other) in [
            ("Größe", "GRÖSSE"),
            ("Заказы", "ЗАКАЗЫ"),
            ("ΟΔΟΣ", "οδος"),
            ("STRA\u{1e9e}E", "straße"),
            ("orders_1", "ORDERS_1"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("größe"), fold("grosse"));
    }
}
