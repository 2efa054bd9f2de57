//! The texts of all nodes in lower case, so that a search reads only memory.

use std::collections::HashMap;

use crate::doc::Doc;
use crate::graph::{GraphNode, NodeIndex};

/// The most bytes of a node that are searched, for each kind of text. Names of columns of very wide tables are shorter.
const MAX_TEXT: usize = 64 << 10;

/// The kinds of texts, the best first.
const FIELDS: usize = 5;

/// The ranks of a match in each kind of text. The first is that of a whole entry, the others of its beginning, of the beginning of a word
/// in it, and of any other part.
const RANKS: [[u8; 4]; FIELDS] = [
    [1, 2, 3, 4],
    [5, 6, 6, 6],
    [7, 8, 8, 9],
    [10, 10, 10, 11],
    [12, 12, 12, 13],
];

/// The rank of a node whose name or id is the whole text.
const WHOLE: u8 = 0;

/// What is searched of one node: its name, its tags, the names of its columns, its description, and those of its columns; entries end with
/// a line break.
#[derive(Debug, Default)]
pub(super) struct Texts([String; FIELDS]);

impl Texts {
    pub(super) fn of(doc: &Doc<'_>) -> Self {
        let mut texts = Self::default();
        texts.add(0, &doc.text("name").unwrap_or_default());
        let tags = doc.texts("tags").or_else(|| doc.object("config")?.texts("tags"));
        for tag in tags.unwrap_or_default() {
            texts.add(1, &tag);
        }
        texts.add(3, &doc.text("description").unwrap_or_default());
        for (name, column) in doc.entries("columns") {
            texts.add(2, &name);
            texts.add(4, &column.text("description").unwrap_or_default());
            for tag in column.texts("tags").unwrap_or_default() {
                texts.add(1, &tag);
            }
        }
        texts
    }

    fn add(&mut self, field: usize, entry: &str) {
        let into = &mut self.0[field];
        if entry.is_empty() || into.len() + entry.len() > MAX_TEXT {
            return;
        }
        // White space separates words, and a line break entries.
        let words = entry.split_whitespace().map(str::to_lowercase);
        for (index, word) in words.enumerate() {
            if index > 0 {
                into.push(' ');
            }
            into.push_str(&word);
        }
        into.push('\n');
    }
}

/// The texts of all nodes, one after another.
#[derive(Debug)]
pub(crate) struct SearchIndex([Field; FIELDS]);

#[derive(Debug, Default)]
struct Field {
    text: String,
    /// Where the text of each node begins.
    starts: Vec<u32>,
}

impl SearchIndex {
    pub(super) fn new(nodes: usize, texts: &HashMap<NodeIndex, Texts>) -> Self {
        let mut fields: [Field; FIELDS] = std::array::from_fn(|_| Field::default());
        for (number, field) in fields.iter_mut().enumerate() {
            let size = texts.values().map(|texts| texts.0[number].len()).sum();
            field.text.reserve_exact(size);
            for node in 0..NodeIndex::try_from(nodes).unwrap_or(NodeIndex::MAX) {
                field.starts.push(u32::try_from(field.text.len()).unwrap_or(u32::MAX));
                if let Some(texts) = texts.get(&node) {
                    field.text.push_str(&texts.0[number]);
                }
            }
        }
        Self(fields)
    }

    /// The bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.0
            .iter()
            .map(|field| field.text.capacity() + field.starts.capacity() * 4)
            .sum()
    }

    /// The rank of each node, the lower the better: that of the word that is found worst, or of all words next to each other. A node that does
    /// not have all words has none.
    pub(super) fn ranks(&self, words: &[String]) -> Vec<Option<u8>> {
        let nodes = self.0[0].starts.len();
        let mut all: Vec<Option<u8>> = vec![Some(WHOLE); nodes];
        for word in words {
            for (all, rank) in all.iter_mut().zip(self.ranks_of(word)) {
                *all = all.and_then(|before| Some(before.max(rank?)));
            }
        }
        if words.len() > 1 {
            for (all, rank) in all.iter_mut().zip(self.ranks_of(&words.join(" "))) {
                *all = match (*all, rank) {
                    // Apart from each other, words are found a little worse.
                    (Some(apart), Some(together)) => Some((apart + 1).min(together)),
                    (Some(apart), None) => Some(apart + 1),
                    (None, _) => None,
                };
            }
        }
        all
    }

    fn ranks_of(&self, word: &str) -> Vec<Option<u8>> {
        let mut best: Vec<Option<u8>> = vec![None; self.0[0].starts.len()];
        let finder = memchr::memmem::Finder::new(word);
        for (field, ranks) in self.0.iter().zip(RANKS) {
            let (bytes, mut node) = (field.text.as_bytes(), 0);
            for at in finder.find_iter(bytes) {
                // Nodes are in the order of their texts, so the next one is seldom far.
                while field.starts.get(node + 1).is_some_and(|next| *next as usize <= at) {
                    node += 1;
                }
                let rank = ranks[how(bytes, at, word.len())];
                if best[node].is_none_or(|before| rank < before) {
                    best[node] = Some(rank);
                }
            }
        }
        best
    }
}

/// Whether a match is a whole entry (0), the beginning of one (1), the beginning of a word (2), or another part (3).
fn how(text: &[u8], at: usize, length: usize) -> usize {
    let before = at.checked_sub(1).map_or(b'\n', |index| text[index]);
    match (before, text.get(at + length)) {
        (b'\n', Some(b'\n') | None) => 0,
        (b'\n', _) => 1,
        (before, _) if !before.is_ascii_alphanumeric() && before.is_ascii() => 2,
        _ => 3,
    }
}

/// The rank of a node whose name or id is the whole text.
pub(super) fn rank_of_whole(node: &GraphNode, text: &str) -> Option<u8> {
    let is_whole = |name: &str| name.eq_ignore_ascii_case(text);
    (is_whole(&node.unique_id) || node.name.as_deref().is_some_and(is_whole)).then_some(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(docs: &[&str]) -> SearchIndex {
        let texts = (0..)
            .zip(docs)
            .map(|(index, json)| (index, Texts::of(&Doc::of(json))))
            .collect();
        SearchIndex::new(docs.len(), &texts)
    }

    fn found(index: &SearchIndex, text: &str) -> Vec<usize> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let ranks = index.ranks(&words).into_iter().enumerate();
        let mut found: Vec<(u8, usize)> = ranks.filter_map(|(node, rank)| Some((rank?, node))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, node)| node).collect()
    }

    #[test]
    fn names_come_before_tags_columns_and_descriptions() {
        let index = index(&[
            r#"{"name": "a", "columns": {"x": {"description": "for orders"}}}"#,
            r#"{"name": "b", "description": "All Orders\nof a day."}"#,
            r#"{"name": "c", "columns": {"orders": {}}}"#,
            r#"{"name": "d", "config": {"tags": ["orders"]}}"#,
            r#"{"name": "reorders"}"#,
            r#"{"name": "stg_orders"}"#,
            r#"{"name": "orders_daily"}"#,
            r#"{"name": "Orders"}"#,
            r#"{"name": "nothing"}"#,
        ]);
        assert_eq!(found(&index, "ORDERS"), [7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(found(&index, "orders of"), [1]);
        assert_eq!(found(&index, "day all"), [1], "in any order");
        assert_eq!(found(&index, "nothing orders"), [0; 0]);
        assert!(index.size() > 80);
    }

    #[test]
    fn words_of_one_node_are_not_found_across_two() {
        let index = index(&[r#"{"name": "ab"}"#, r#"{"name": "cd"}"#, r#"{"name": "é"}"#]);
        assert_eq!(found(&index, "bc"), [0; 0]);
        assert_eq!(found(&index, "É"), [2]);
        assert_eq!(found(&index, "d"), [1]);
    }
}
