//! Text that PostgreSQL takes.

/// The text without NUL, which PostgreSQL refuses and dbt does write.
#[must_use]
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

/// Letters of one case, for a search that ignores it in all alphabets, whatever the database's locale: by way of the capitals, since `ß` and
/// `ss` have the same. Letter by letter, since a sigma at the end of a word is written otherwise.
pub(crate) fn fold(text: &str) -> String {
    let capitals = text.chars().flat_map(char::to_uppercase);
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
            ("orders_1", "ORDERS_1"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("größe"), fold("grosse"));
    }
}
