//! The text of an answer, in pieces.

use std::io::Write as _;

use bytes::Bytes;

use crate::error::{Error, QueryError};
use crate::memory::Memory;

/// The largest answer, in bytes.
pub(crate) const MAX_ANSWER: usize = 512 << 20;

/// The size of a piece, in bytes.
const PIECE: usize = 256 << 10;

/// The text of an answer.
#[derive(Debug, Default)]
pub struct Pieces(pub(crate) Vec<Bytes>);

impl Pieces {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Collects the text of an answer.
pub(super) struct Output {
    full: Vec<Bytes>,
    length: usize,
    piece: Vec<u8>,
    memory: Memory,
}

impl Output {
    /// A text that takes what is reserved, and as much more as there is.
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            full: Vec::new(),
            length: 0,
            piece: Vec::new(),
            memory,
        }
    }

    pub(super) fn raw(&mut self, text: &str) -> Result<(), Error> {
        self.piece.extend_from_slice(text.as_bytes());
        self.cut()
    }

    /// Writes a text with quotation marks and escapes.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        let needs_escapes = text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        if needs_escapes {
            serde_json::to_writer(&mut self.piece, text).map_err(|error| Error::Internal(error.to_string()))?;
        } else {
            self.piece.push(b'"');
            self.piece.extend_from_slice(text.as_bytes());
            self.piece.push(b'"');
        }
        self.cut()
    }

    pub(super) fn json(&mut self, value: &serde_json::Value) -> Result<(), Error> {
        serde_json::to_writer(&mut self.piece, value).map_err(|error| Error::Internal(error.to_string()))?;
        self.cut()
    }

    pub(super) fn display(&mut self, value: impl std::fmt::Display) -> Result<(), Error> {
        write!(self.piece, "{value}").map_err(|error| Error::Internal(error.to_string()))?;
        self.cut()
    }

    fn cut(&mut self) -> Result<(), Error> {
        if self.piece.len() < PIECE {
            return Ok(());
        }
        self.length += self.piece.len();
        if self.length > MAX_ANSWER {
            let limit = MAX_ANSWER >> 20;
            return Err(QueryError::too_large(format!(
                "the answer is larger than {limit} MiB: ask for fewer fields, or for pages"
            ))
            .into());
        }
        self.memory.grow_to(self.length)?;
        // A copy, because the buffer has room for more than it holds.
        self.full.push(Bytes::copy_from_slice(&self.piece));
        self.piece.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> (Pieces, Memory) {
        self.full.push(self.piece.into());
        (Pieces(self.full), self.memory)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::sync::Semaphore;

    use super::*;

    /// An output with a reservation of 1 MiB of this many.
    async fn output(all: &Arc<Semaphore>) -> Output {
        let memory = Memory::reserve(all, 1_000, 1, Instant::now()).await;
        Output::new(memory.unwrap())
    }

    #[tokio::test]
    async fn answers_end_at_the_limit() {
        let all = Arc::new(Semaphore::new(1_000));
        let mut output = output(&all).await;
        let text = "x".repeat(1 << 20);
        let written = (0..1_000).take_while(|_| output.raw(&text).is_ok()).count();
        assert!((500..=512).contains(&written), "{written}");
    }

    #[tokio::test]
    async fn answers_end_where_others_take_the_memory() {
        let all = Arc::new(Semaphore::new(10));
        let mut output = output(&all).await;
        let text = "x".repeat(1 << 20);
        output.raw(&text).unwrap();
        assert_eq!(all.available_permits(), 8, "more than one MiB takes two");
        let others = Arc::clone(&all).try_acquire_many_owned(7).unwrap();
        output.raw(&text).unwrap();
        assert!(matches!(output.raw(&text), Err(Error::Busy)));
        drop(others);
        drop(output);
        assert_eq!(all.available_permits(), 10);
    }

    #[tokio::test]
    async fn texts_are_escaped() {
        let mut output = output(&Arc::new(Semaphore::new(1))).await;
        output.text("a\"b\\\n\u{1}ü").unwrap();
        assert_eq!(
            output.finish().0.0.concat(),
            br#""a\"b\\\n\u0001"#.iter().chain("ü\"".as_bytes()).copied().collect::<Vec<_>>()
        );
    }
}
