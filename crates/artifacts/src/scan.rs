//! Detects the kind of an uploaded file while its bytes are streamed.
//!
//! Memory use is constant and no values are built. The structure is checked to the end, so that truncated files are detected. Numbers and
//! escapes are not checked. `NaN`, `Infinity` and invalid UTF-8 are accepted, since dbt writes them and nothing that dbt wrote may be
//! rejected.

mod facts;

pub(crate) use facts::read_time;

use chrono::{DateTime, Utc};
use schemas::ArtifactKind;

use facts::Facts;

/// The maximum nesting depth. Real files reach 12; serde_json, which reads them later, supports 128.
const MAX_DEPTH: usize = 120;

/// The number of bytes of a string that are kept. Only keys and the values of `metadata` matter.
const MAX_KEPT: usize = 256;

/// The number of bytes of a number or word that are kept. dbt's integers have at most 20 digits.
const MAX_TOKEN: usize = 64;

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The kind of a file and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The kind, detected from the structure of the file.
    pub kind: ArtifactKind,
    /// The value of `metadata.dbt_schema_version`. It is only a hint: old files lack it, and in some files it is wrong.
    pub dbt_schema_version: Option<String>,
    /// The value of `metadata.dbt_version`.
    pub dbt_version: Option<String>,
    /// The value of `metadata.invocation_id`.
    pub invocation_id: Option<String>,
    /// The value of `metadata.generated_at`, or of `generated_at` in files from before dbt 0.19.
    pub generated_at: Option<DateTime<Utc>>,
}

impl Scanned {
    /// The value for a file that is not an artifact of dbt.
    #[must_use]
    pub fn other() -> Self {
        Self {
            kind: ArtifactKind::Other,
            dbt_schema_version: None,
            dbt_version: None,
            invocation_id: None,
            generated_at: None,
        }
    }
}

/// Why a file is not an artifact of dbt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The file is empty.
    #[error("the file is empty: expected an artifact of dbt, such as target/manifest.json")]
    Empty,
    /// The file is not JSON.
    #[error("the file is not JSON: found {found} at byte {offset}, expected {expected}")]
    NotJson {
        /// The position of the error, in bytes from 0.
        offset: u64,
        /// The text at that position.
        found: String,
        /// What JSON allows at that position.
        expected: &'static str,
    },
    /// The file ends too early.
    #[error("the file is truncated: it ends after {size} bytes with {open} brackets open")]
    Truncated {
        /// The size of the file in bytes.
        size: u64,
        /// The number of objects and lists that are not closed.
        open: usize,
    },
    /// The file is nested too deeply.
    #[error("the file is nested more than {MAX_DEPTH} levels deep at byte {offset}")]
    TooDeep {
        /// The position of the error, in bytes from 0.
        offset: u64,
    },
    /// The file begins like JSON, but not like a file of dbt.
    #[error(
        "the file is not an artifact of dbt: {found}. A manifest has `nodes` and `macros`, run results have `results`, a catalog has `nodes` and `sources`"
    )]
    NotAnArtifact {
        /// The keys of the file, or the type of its value if that is not an object.
        found: String,
    },
}

/// The next token that JSON allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    /// A value, or the end of a list that was just opened.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that was just opened.
    KeyOrEnd,
    Colon,
    /// A comma, or the end of the object or list.
    CommaOrEnd,
    /// Only white space.
    Nothing,
}

impl Expected {
    fn text(self) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::ValueOrEnd => "a value or `]`",
            Self::Key => "a key",
            Self::KeyOrEnd => "a key or `}`",
            Self::Colon => "`:`",
            Self::CommaOrEnd => "a comma or a closing bracket",
            Self::Nothing => "the end of the file",
        }
    }
}

/// The token in which the last chunk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    String,
    Escape,
    Token,
}

/// Scans a file in chunks of any size.
pub struct Scanner {
    expected: Expected,
    inside: Inside,
    /// The open brackets, each `b'{'` or `b'['`.
    open: Vec<u8>,
    /// The number of bytes before the current chunk.
    before: u64,
    /// The kept bytes of the current string or word.
    text: Vec<u8>,
    /// Whether the current string is kept.
    keep: bool,
    token_length: usize,
    is_key: bool,
    facts: Facts,
    /// The number of bytes of the byte order mark that were read.
    mark: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Creates a scanner for the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            expected: Expected::Value,
            inside: Inside::Nothing,
            open: Vec::new(),
            before: 0,
            text: Vec::new(),
            keep: false,
            token_length: 0,
            is_key: false,
            facts: Facts::default(),
            mark: 0,
        }
    }

    /// Scans the next bytes of the file.
    ///
    /// # Errors
    /// Returns an error as soon as the file cannot be an artifact.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ScanError> {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.inside {
                Inside::String => self.read_string(chunk, at),
                Inside::Escape => {
                    if self.keep && self.text.len() < MAX_KEPT {
                        self.text.extend_from_slice(&[b'\\', chunk[at]]);
                    }
                    self.inside = Inside::String;
                    at + 1
                }
                Inside::Token => self.read_token(chunk, at)?,
                Inside::Nothing => self.read_structure(chunk, at)?,
            };
        }
        self.before += chunk.len() as u64;
        Ok(())
    }

    /// Finishes the scan at the end of the file.
    ///
    /// # Errors
    /// Returns an error if the file is truncated or is not an artifact of dbt.
    pub fn finish(mut self) -> Result<Scanned, ScanError> {
        if self.inside == Inside::Token && self.open.is_empty() {
            self.end_token(0)?;
        }
        if self.expected != Expected::Nothing || self.inside != Inside::Nothing {
            return Err(if self.open.is_empty() && self.inside == Inside::Nothing {
                ScanError::Empty
            } else {
                ScanError::Truncated {
                    size: self.before,
                    open: self.open.len(),
                }
            });
        }
        self.facts.conclude()
    }

    /// Continues reading a string, and returns the position after the bytes that were read.
    fn read_string(&mut self, chunk: &[u8], from: usize) -> usize {
        let rest = &chunk[from..];
        let end = memchr::memchr2(b'"', b'\\', rest);
        let part = &rest[..end.unwrap_or(rest.len())];
        if self.keep && self.text.len() < MAX_KEPT {
            let room = MAX_KEPT - self.text.len();
            self.text.extend_from_slice(&part[..part.len().min(room)]);
        }
        match end {
            None => chunk.len(),
            Some(end) => {
                if rest[end] == b'\\' {
                    self.inside = Inside::Escape;
                } else {
                    self.inside = Inside::Nothing;
                    self.end_string();
                }
                from + end + 1
            }
        }
    }

    fn end_string(&mut self) {
        if self.is_key {
            self.facts.key(self.open.len(), &self.text);
            self.expected = Expected::Colon;
        } else {
            if self.keep {
                self.facts.string(self.open.len(), &self.text);
            }
            self.end_value();
        }
    }

    fn end_value(&mut self) {
        self.expected = if self.open.is_empty() {
            Expected::Nothing
        } else {
            Expected::CommaOrEnd
        };
    }

    /// Continues reading a number or a word, and returns the position after it.
    fn read_token(&mut self, chunk: &[u8], from: usize) -> Result<usize, ScanError> {
        let mut at = from;
        while at < chunk.len() {
            let byte = chunk[at];
            if !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                self.end_token(at)?;
                return Ok(at);
            }
            if self.text.len() < MAX_TOKEN {
                self.text.push(byte);
            }
            self.token_length += 1;
            at += 1;
        }
        Ok(at)
    }

    fn end_token(&mut self, at: usize) -> Result<(), ScanError> {
        let known: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
        let number = {
            let digits = self.text.strip_prefix(b"-").unwrap_or(&self.text);
            digits.first().is_some_and(u8::is_ascii_digit)
                && digits
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte))
        };
        if self.token_length > MAX_TOKEN * 16 || !(number || known.contains(&self.text.as_slice())) {
            let found = format!("`{}`", String::from_utf8_lossy(&self.text));
            return Err(self.not_json(at, found));
        }
        self.inside = Inside::Nothing;
        if self.open.is_empty() {
            return Err(not_an_object("a number or a word"));
        }
        self.end_value();
        Ok(())
    }

    fn read_structure(&mut self, chunk: &[u8], at: usize) -> Result<usize, ScanError> {
        let byte = chunk[at];
        if self.before + at as u64 == self.mark as u64 && MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return Ok(at + 1);
        }
        if self.mark > 0 && self.mark < MARK.len() {
            return Err(self.not_json(at, "an incomplete byte order mark".to_owned()));
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'"' if matches!(
                self.expected,
                Expected::Key | Expected::KeyOrEnd | Expected::Value | Expected::ValueOrEnd
            ) =>
            {
                if self.open.is_empty() {
                    return Err(not_an_object("a string"));
                }
                self.is_key = matches!(self.expected, Expected::Key | Expected::KeyOrEnd);
                self.keep = self.facts.wants(self.open.len(), self.is_key);
                self.text.clear();
                self.inside = Inside::String;
            }
            b'{' | b'[' if matches!(self.expected, Expected::Value | Expected::ValueOrEnd) => {
                if self.open.is_empty() && byte == b'[' {
                    return Err(not_an_object("a list"));
                }
                if self.open.len() >= MAX_DEPTH {
                    return Err(ScanError::TooDeep {
                        offset: self.before + at as u64,
                    });
                }
                self.open.push(byte);
                self.expected = if byte == b'{' {
                    Expected::KeyOrEnd
                } else {
                    Expected::ValueOrEnd
                };
            }
            b'}' if self.open.last() == Some(&b'{')
                && matches!(self.expected, Expected::KeyOrEnd | Expected::CommaOrEnd) =>
            {
                self.open.pop();
                self.end_value();
            }
            b']' if self.open.last() == Some(&b'[')
                && matches!(self.expected, Expected::ValueOrEnd | Expected::CommaOrEnd) =>
            {
                self.open.pop();
                self.end_value();
            }
            b':' if self.expected == Expected::Colon => self.expected = Expected::Value,
            b',' if self.expected == Expected::CommaOrEnd => {
                self.expected = if self.open.last() == Some(&b'{') {
                    Expected::Key
                } else {
                    Expected::Value
                };
            }
            _ if matches!(self.expected, Expected::Value | Expected::ValueOrEnd)
                && (byte.is_ascii_alphanumeric() || byte == b'-') =>
            {
                self.text.clear();
                self.token_length = 0;
                self.inside = Inside::Token;
                return Ok(at);
            }
            _ => {
                let found = match byte {
                    0x20..0x7f => format!("`{}`", char::from(byte)),
                    _ => format!("the byte 0x{byte:02x}"),
                };
                return Err(self.not_json(at, found));
            }
        }
        Ok(at + 1)
    }

    fn not_json(&self, at: usize, found: String) -> ScanError {
        ScanError::NotJson {
            offset: self.before + at as u64,
            found,
            expected: self.expected.text(),
        }
    }
}

fn not_an_object(found: &str) -> ScanError {
    ScanError::NotAnArtifact {
        found: format!("it is {found} instead of an object"),
    }
}

#[cfg(test)]
mod tests;
