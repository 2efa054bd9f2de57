//! The texts by which nodes were found, as they are written.

use crate::doc::Doc;

/// How many characters are shown before the first match, and after it.
const BEFORE: usize = 60;
const AFTER: usize = 140;

/// The most characters of a description.
const DESCRIPTION: usize = 300;

/// A part of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// What the text is: `tag`, `column`, `description`, or `description of COLUMN`.
    pub of: String,
    /// The text in pieces; those that are `true` were searched for.
    pub pieces: Vec<(bool, String)>,
}

impl Snippet {
    /// A text, or the part of it around the first of these words, which are in lower case.
    #[must_use]
    pub fn of_text(of: &str, text: &str, words: &[String]) -> Self {
        Self {
            of: of.to_owned(),
            pieces: pieces(text, words),
        }
    }
}

/// What is shown of a definition.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) snippet: Option<Snippet>,
    pub(super) description: String,
}

impl Source {
    /// Takes the first text beside the name that has a word that the name does not have.
    pub(super) fn of(doc: &Doc<'_>, words: &[String]) -> Self {
        let name = doc.text("name").unwrap_or_default().to_lowercase();
        let missing: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| !name.contains(word))
            .collect();
        let description = doc.text("description").unwrap_or_default();
        let shown: String = description.chars().take(DESCRIPTION).collect();
        Self {
            snippet: (!missing.is_empty())
                .then(|| snippet(doc, &description, &missing, words))
                .flatten(),
            description: shown,
        }
    }
}

fn snippet(doc: &Doc<'_>, description: &str, missing: &[&str], words: &[String]) -> Option<Snippet> {
    let marked = |of: &str, text: &str| {
        let folded = text.to_lowercase();
        let has_one = missing.iter().any(|word| folded.contains(word));
        has_one.then(|| Snippet::of_text(of, text, words))
    };
    let tags = doc
        .texts("tags")
        .or_else(|| doc.object("config")?.texts("tags"))
        .unwrap_or_default();
    let columns = doc.entries("columns");
    let of_tags = tags.iter().find_map(|tag| marked("tag", tag));
    let of_columns = || columns.iter().find_map(|(name, _)| marked("column", name));
    let of_description = || marked("description", description);
    let of_column = || {
        columns.iter().find_map(|(name, column)| {
            let text = column.text("description").unwrap_or_default();
            marked(&format!("description of {name}"), &text).or_else(|| {
                column
                    .texts("tags")?
                    .iter()
                    .find_map(|tag| marked(&format!("tag of {name}"), tag))
            })
        })
    };
    of_tags.or_else(of_columns).or_else(of_description).or_else(of_column)
}

/// The text around the first word, in pieces.
fn pieces(text: &str, words: &[String]) -> Vec<(bool, String)> {
    // Lower case may have another length: the characters are compared one by one.
    let characters: Vec<char> = text
        .chars()
        .map(|it| if it.is_whitespace() { ' ' } else { it })
        .collect();
    let folded: Vec<char> = characters
        .iter()
        .map(|it| it.to_lowercase().next().unwrap_or(*it))
        .collect();
    let words: Vec<Vec<char>> = words.iter().map(|word| word.chars().collect()).collect();
    let length_at = |at: usize| {
        words
            .iter()
            .filter(|word| folded[at..].starts_with(word))
            .map(Vec::len)
            .max()
    };
    let first = (0..folded.len())
        .find(|at| length_at(*at).is_some())
        .unwrap_or_default();
    let (from, until) = (first.saturating_sub(BEFORE), (first + AFTER).min(characters.len()));
    let mut pieces: Vec<(bool, String)> = Vec::new();
    if from > 0 {
        pieces.push((false, "…".to_owned()));
    }
    let mut at = from;
    while at < until {
        let length = length_at(at).filter(|length| *length > 0);
        let (is_match, end) = (length.is_some(), at + length.unwrap_or(1));
        let piece: String = characters[at..end].iter().collect();
        match pieces.last_mut() {
            Some((was_match, before)) if *was_match == is_match => before.push_str(&piece),
            _ => pieces.push((is_match, piece)),
        }
        at = end;
    }
    if until < characters.len() {
        pieces.push((false, "…".to_owned()));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(json: &str, words: &[&str]) -> Source {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Source::of(&Doc::of(json), &words)
    }

    #[test]
    fn matches_are_marked_in_the_first_text_that_has_them() {
        let json = r#"{"name": "orders", "description": "One row for each ORDER", "columns": {"order_id": {}, "day": {"description": "The day"}}}"#;
        assert_eq!(source(json, &["order"]).snippet, None, "the name says it");
        let of_column = source(json, &["order_", "orders"]).snippet.unwrap();
        assert_eq!(of_column.of, "column");
        assert_eq!(
            of_column.pieces,
            [(true, "order_".to_owned()), (false, "id".to_owned())]
        );
        let of_description = source(json, &["row"]).snippet.unwrap();
        assert_eq!(of_description.of, "description");
        assert_eq!(of_description.pieces[1], (true, "row".to_owned()));
        assert_eq!(source(json, &["the"]).snippet.unwrap().of, "description of day");
    }

    #[test]
    fn long_texts_are_cut_around_the_first_match() {
        let text = format!("{}İ needle {}", "ä".repeat(500), "z".repeat(500));
        let json = format!(r#"{{"name": "n", "description": "{text}"}}"#);
        let snippet = source(&json, &["needle"]).snippet.unwrap();
        assert!(snippet.pieces.contains(&(true, "needle".to_owned())), "{snippet:?}");
        let length: usize = snippet.pieces.iter().map(|(_, piece)| piece.chars().count()).sum();
        assert_eq!(length, BEFORE + AFTER + 2);
    }
}
