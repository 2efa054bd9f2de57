//! Damages files, as happens in transit.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The maximum size of a damaged file, so that tests stay fast.
const MAX_SIZE: usize = 1 << 20;

/// The damage to one file of several. It is small, so that people can read a failure.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    file: Index,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Cut(Index),
    Flip(Index, u8),
    Remove(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
    /// Replaces the rest with the rest of another file.
    Splice(Index, Index, Index),
}

/// Damage of any kind. `words` are the texts that may be inserted.
pub(crate) fn damage(words: &'static [&'static str]) -> impl Strategy<Value = Damage> {
    let any_index = any::<Index>;
    let change = prop_oneof![
        1 => any_index().prop_map(Change::Cut),
        4 => (any_index(), 1u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        2 => (any_index(), any_index()).prop_map(|(from, to)| Change::Remove(from, to)),
        2 => (any_index(), any_index()).prop_map(|(from, to)| Change::Repeat(from, to)),
        4 => (any_index(), select(words)).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any_index(), any_index(), any_index()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ];
    (any_index(), vec(change, 1..4)).prop_map(|(file, changes)| Damage { file, changes })
}

impl Damage {
    pub(crate) fn apply(&self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.file.get(files).clone();
        for change in &self.changes {
            let offset = |index: &Index| index.index(bytes.len() + 1);
            let range = |one: &Index, other: &Index| offset(one).min(offset(other))..offset(one).max(offset(other));
            match change {
                Change::Cut(at) => bytes.truncate(offset(at)),
                Change::Flip(at, bits) => {
                    let at = offset(at);
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
                }
                Change::Remove(from, to) => {
                    bytes.drain(range(from, to));
                }
                Change::Repeat(from, to) => {
                    let range = range(from, to);
                    let part = bytes[range.clone()].to_vec();
                    bytes.splice(range.end..range.end, part);
                }
                Change::Insert(at, word) => {
                    let at = offset(at);
                    bytes.splice(at..at, word.bytes());
                }
                Change::Splice(at, other, from) => {
                    let other = other.get(files);
                    bytes.truncate(offset(at));
                    bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
                }
            }
            bytes.truncate(MAX_SIZE);
        }
        bytes
    }
}
