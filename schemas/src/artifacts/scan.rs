//! What an uploaded file is, told from its bytes as they stream by.
//!
//! Memory is constant and no value is built. Structure is checked to the end, so that a truncated file is found out; numbers and escapes
//! are not checked, and `NaN`, `Infinity` and invalid UTF-8 pass, since dbt writes them and nothing that it wrote may be refused.

mod facts;

pub(crate) use facts::read_time;

use chrono::{DateTime, Utc};

use super::ArtifactKind;
use facts::Facts;

/// The deepest nesting that is accepted. Real files reach 12; serde_json, which reads them later, goes 128 deep.
const DEEPEST: usize = 120;

/// The longest string whose content is looked at, in bytes: keys and the values of `metadata`.
const MAX_KEPT_LEN: usize = 256;

/// The longest number or word, in bytes: dbt's integers have at most 20 digits.
const MAX_TOKEN_LEN: usize = 64;

/// A byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What a file is, and what its metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Told by the shape of the file.
    pub kind: ArtifactKind,
    /// `metadata.dbt_schema_version`: a hint, absent in old files and wrong in some.
    pub dbt_schema_version: Option<String>,
    /// `metadata.dbt_version`.
    pub dbt_version: Option<String>,
    /// `metadata.invocation_id`.
    pub invocation_id: Option<String>,
    /// `metadata.generated_at`, or `generated_at` as files before dbt 0.19 have it.
    pub generated_at: Option<DateTime<Utc>>,
}

impl Scanned {
    /// A file that is no artifact of dbt.
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

/// Why a file is no artifact of dbt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// It is empty.
    #[error("the file is empty; an artifact of dbt, such as target/manifest.json, is due")]
    Empty,
    /// It is not JSON.
    #[error("the file is not JSON: {found} at byte {offset}, where {due} is due")]
    NotJson {
        /// Counted from 0.
        offset: u64,
        /// What is there.
        found: String,
        /// What JSON has there.
        due: &'static str,
    },
    /// It ends too early.
    #[error("the file is truncated: it ends after {size} bytes with {open} brackets open")]
    Truncated {
        /// Its size in bytes.
        size: u64,
        /// How many objects and lists are not closed.
        open: usize,
    },
    /// It is nested too deeply.
    #[error("the file is nested more than {DEEPEST} levels deep at byte {offset}")]
    TooDeep {
        /// Counted from 0.
        offset: u64,
    },
    /// It is JSON, but not written by dbt.
    #[error(
        "the file is JSON, but no artifact of dbt: {found}. A manifest has `nodes` and `macros`, run results have `results`, a catalog `nodes` and `sources`"
    )]
    NotAnArtifact {
        /// Its keys, or what it is instead of an object.
        found: String,
    },
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Value,
    /// A value, or the end of a list that has just begun.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that has just begun.
    KeyOrEnd,
    Colon,
    /// A comma or the end of the object or list.
    CommaOrEnd,
    /// Nothing but white space.
    Nothing,
}

impl Due {
    fn text(self) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::ValueOrEnd => "a value or `]`",
            Self::Key => "a key",
            Self::KeyOrEnd => "a key or `}`",
            Self::Colon => "`:`",
            Self::CommaOrEnd => "a comma or a closing bracket",
            Self::Nothing => "the end",
        }
    }
}

/// Where in a token the last chunk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    String,
    Escape,
    Token,
}

/// A reader of a file that comes in chunks of any size.
pub struct Scanner {
    due: Due,
    inside: Inside,
    /// `b'{'` or `b'['` for each that is open.
    open: Vec<u8>,
    /// Bytes before the present chunk.
    before: u64,
    /// The bytes of the string or word that is being read, as far as they matter.
    text: Vec<u8>,
    /// Is the present string wanted?
    keep: bool,
    token_length: usize,
    is_key: bool,
    facts: Facts,
    /// How many bytes of a byte order mark were seen.
    mark: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            due: Due::Value,
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

    /// Reads the next bytes of the file.
    ///
    /// # Errors
    /// When the file cannot be an artifact any more.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ScanError> {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.inside {
                Inside::String => self.read_string(chunk, at),
                Inside::Escape => {
                    if self.keep && self.text.len() < MAX_KEPT_LEN {
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

    /// The file has ended.
    ///
    /// # Errors
    /// When it is truncated or no artifact of dbt.
    pub fn finish(mut self) -> Result<Scanned, ScanError> {
        if self.inside == Inside::Token && self.open.is_empty() {
            self.end_token(0)?;
        }
        if self.due != Due::Nothing || self.inside != Inside::Nothing {
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

    /// Reads on in a string; tells where to go on.
    fn read_string(&mut self, chunk: &[u8], from: usize) -> usize {
        let rest = &chunk[from..];
        let end = memchr::memchr2(b'"', b'\\', rest);
        let part = &rest[..end.unwrap_or(rest.len())];
        if self.keep && self.text.len() < MAX_KEPT_LEN {
            let room = MAX_KEPT_LEN - self.text.len();
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
            self.due = Due::Colon;
        } else {
            if self.keep {
                self.facts.string(self.open.len(), &self.text);
            }
            self.end_value();
        }
    }

    fn end_value(&mut self) {
        self.due = if self.open.is_empty() {
            Due::Nothing
        } else {
            Due::CommaOrEnd
        };
    }

    /// Reads on in a number or a word.
    fn read_token(&mut self, chunk: &[u8], from: usize) -> Result<usize, ScanError> {
        let mut at = from;
        while at < chunk.len() {
            let byte = chunk[at];
            if !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                self.end_token(at)?;
                return Ok(at);
            }
            if self.text.len() < MAX_TOKEN_LEN {
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
        if self.token_length > MAX_TOKEN_LEN * 16 || !(number || known.contains(&self.text.as_slice())) {
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
            return Err(self.not_json(at, "a byte order mark cut short".to_owned()));
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'"' if matches!(self.due, Due::Key | Due::KeyOrEnd | Due::Value | Due::ValueOrEnd) => {
                if self.open.is_empty() {
                    return Err(not_an_object("a text"));
                }
                self.is_key = matches!(self.due, Due::Key | Due::KeyOrEnd);
                self.keep = self.facts.wants(self.open.len(), self.is_key);
                self.text.clear();
                self.inside = Inside::String;
            }
            b'{' | b'[' if matches!(self.due, Due::Value | Due::ValueOrEnd) => {
                if self.open.is_empty() && byte == b'[' {
                    return Err(not_an_object("a list"));
                }
                if self.open.len() >= DEEPEST {
                    return Err(ScanError::TooDeep {
                        offset: self.before + at as u64,
                    });
                }
                self.open.push(byte);
                self.due = if byte == b'{' { Due::KeyOrEnd } else { Due::ValueOrEnd };
            }
            b'}' if self.open.last() == Some(&b'{') && matches!(self.due, Due::KeyOrEnd | Due::CommaOrEnd) => {
                self.open.pop();
                self.end_value();
            }
            b']' if self.open.last() == Some(&b'[') && matches!(self.due, Due::ValueOrEnd | Due::CommaOrEnd) => {
                self.open.pop();
                self.end_value();
            }
            b':' if self.due == Due::Colon => self.due = Due::Value,
            b',' if self.due == Due::CommaOrEnd => {
                self.due = if self.open.last() == Some(&b'{') {
                    Due::Key
                } else {
                    Due::Value
                };
            }
            _ if matches!(self.due, Due::Value | Due::ValueOrEnd) && (byte.is_ascii_alphanumeric() || byte == b'-') => {
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
            due: self.due.text(),
        }
    }
}

fn not_an_object(found: &str) -> ScanError {
    ScanError::NotAnArtifact {
        found: format!("it is {found}, where an object is due"),
    }
}

#[cfg(test)]
mod tests;
