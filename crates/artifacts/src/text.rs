//! The text of an artifact as valid JSON.

use memchr::memmem;
use serde::de::IgnoredAny;

use super::raw::Entries;
use super::{Catalog, Results};

/// The text of an artifact as valid JSON. The stored bytes may be invalid: dbt writes `NaN`, and files may contain lone surrogates.
pub struct ArtifactText(String);

/// The artifact cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("invalid artifact: {0}")]
pub struct InvalidArtifact(#[from] serde_json::Error);

impl ArtifactText {
    /// Reads the bytes of an artifact and repairs what JSON does not allow: bare `NaN` and `Infinity` become null, lone surrogates and
    /// invalid UTF-8 become U+FFFD, and a byte order mark is removed.
    ///
    /// # Errors
    /// Returns an error if the repaired text is still not JSON.
    pub fn read(bytes: Vec<u8>) -> Result<Self, InvalidArtifact> {
        let mut text = utf8(bytes);
        if may_have_lone_surrogates(&text) || serde_json::from_str::<IgnoredAny>(&text).is_err() {
            text = repair(&text);
            serde_json::from_str::<IgnoredAny>(&text)?;
        }
        Ok(Self(text))
    }

    /// Gives the text back without a copy.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    /// Reads run results or freshness results.
    ///
    /// # Errors
    /// Returns an error if the text is not an object.
    pub fn results(&self) -> Result<Results, InvalidArtifact> {
        Ok(Results::read(&self.entries()?))
    }

    /// Reads a catalog.
    ///
    /// # Errors
    /// Returns an error if the text is not an object.
    pub fn catalog(&self) -> Result<Catalog, InvalidArtifact> {
        Ok(Catalog::read(&self.entries()?))
    }

    /// Returns the text with these variables added to `metadata.env`. Everything else stays unchanged.
    ///
    /// # Errors
    /// Returns an error if the text is not an object.
    pub fn with_env(&self, variables: &[(&str, String)]) -> Result<String, InvalidArtifact> {
        let members: Vec<String> = variables
            .iter()
            .map(|(name, value)| {
                format!(
                    "{}: {}",
                    serde_json::Value::from(*name),
                    serde_json::Value::from(value.as_str())
                )
            })
            .collect();
        let mut added = members.join(", ");
        let file = self.entries()?;
        let metadata = file
            .get("metadata")
            .and_then(|value| Some((value, Entries::of(value)?)));
        let env = metadata
            .as_ref()
            .and_then(|(_, metadata)| metadata.get("env"))
            .and_then(|value| Some((value, Entries::of(value)?)));
        // The object that receives the members, and whether it is empty.
        let (object, is_empty) = match (&metadata, env) {
            (_, Some((value, env))) => (value.get(), env.0.is_empty()),
            (Some((value, metadata)), None) => {
                added = format!("\"env\": {{{added}}}");
                (value.get(), metadata.0.is_empty())
            }
            (None, None) => {
                added = format!("\"metadata\": {{\"env\": {{{added}}}}}");
                (self.0.trim(), file.0.is_empty())
            }
        };
        // They go to the end, since the last of repeated keys counts, for example after `env` with the value null. The pieces are slices of
        // the text.
        let at = object.as_ptr() as usize - self.0.as_ptr() as usize + object.len() - 1;
        let comma = if is_empty { "" } else { ", " };
        Ok([&self.0[..at], comma, &added, &self.0[at..]].concat())
    }

    fn entries(&self) -> Result<Entries<'_>, InvalidArtifact> {
        Ok(serde_json::from_str(&self.0)?)
    }
}

/// Decodes the bytes and removes a byte order mark.
pub(super) fn utf8(bytes: Vec<u8>) -> String {
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    text
}

/// Whether the text may contain lone surrogates. The JSON parser does not check surrogates in strings that it skips, so any that look like
/// it are repaired.
pub(super) fn may_have_lone_surrogates(text: &str) -> bool {
    [b"\\ud", b"\\uD"]
        .iter()
        .any(|escape| memmem::find(text.as_bytes(), *escape).is_some())
}

/// Replaces everything that JSON does not allow.
pub(super) fn repair(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut repaired = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    let mut in_string = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                in_string = !in_string;
                at += 1;
            }
            b'\\' if in_string => match surrogate(bytes, at) {
                Some(Half::High) if surrogate(bytes, at + 6) == Some(Half::Low) => at += 12,
                Some(_) => {
                    repaired.push_str(&text[copied..at]);
                    repaired.push_str("\\ufffd");
                    at += 6;
                    copied = at;
                }
                None => at += 2,
            },
            b'N' | b'I' | b'-' if !in_string => {
                let word = ["NaN", "Infinity", "-Infinity"]
                    .into_iter()
                    .find(|word| text[at..].starts_with(word));
                match word {
                    Some(word) => {
                        repaired.push_str(&text[copied..at]);
                        repaired.push_str("null");
                        at += word.len();
                        copied = at;
                    }
                    None => at += 1,
                }
            }
            _ => at += 1,
        }
    }
    repaired.push_str(&text[copied..]);
    repaired
}

#[derive(PartialEq)]
enum Half {
    High,
    Low,
}

/// Returns the escaped half of a surrogate pair at this position, if there is one.
fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    match u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()? {
        0xd800..0xdc00 => Some(Half::High),
        0xdc00..0xe000 => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> String {
        ArtifactText::read(text.to_vec()).unwrap().0
    }

    #[test]
    fn valid_json_stays_unchanged() {
        let text = r#"{"a": "NaN \" Infinity 😀 \ud83d\ude00 \\ud800", "b": [-1]}"#;
        assert_eq!(read(text.as_bytes()), text);
    }

    #[test]
    fn invalid_json_is_repaired() {
        assert_eq!(
            read(br#"{"a": [NaN, -Infinity, "NaN"]}"#),
            r#"{"a": [null, null, "NaN"]}"#
        );
        assert_eq!(read(br#"{"a": "x\ud800y"}"#), r#"{"a": "x\ufffdy"}"#);
        assert_eq!(
            read(br#"{"a": "\udc00\ud83d\ude00"}"#),
            r#"{"a": "\ufffd\ud83d\ude00"}"#
        );
        assert_eq!(read(b"\xef\xbb\xbf{\"a\": \"\xff\"}"), "{\"a\": \"\u{fffd}\"}");
    }

    #[test]
    fn text_that_is_not_json_is_an_error() {
        assert!(ArtifactText::read(b"{\"a\": Nope}".to_vec()).is_err());
    }

    #[test]
    fn variables_are_added_to_env() {
        let with = |text: &str| {
            let text = ArtifactText::read(text.into()).unwrap();
            text.with_env(&[("RUN", "7".to_owned())]).unwrap()
        };
        assert_eq!(
            with(r#"{"metadata": {"env": {"A": "b"}}, "x": 1}"#),
            r#"{"metadata": {"env": {"A": "b", "RUN": "7"}}, "x": 1}"#
        );
        assert_eq!(
            with(r#"{"metadata": {"env": {}}}"#),
            r#"{"metadata": {"env": {"RUN": "7"}}}"#
        );
        assert_eq!(
            with(r#"{"metadata": {"a": 1}}"#),
            r#"{"metadata": {"a": 1, "env": {"RUN": "7"}}}"#
        );
        assert_eq!(
            with(r#"{"results": []}"#),
            r#"{"results": [], "metadata": {"env": {"RUN": "7"}}}"#
        );
        assert_eq!(with("{}"), r#"{"metadata": {"env": {"RUN": "7"}}}"#);
    }

    #[test]
    fn variables_override_null_and_other_values() {
        for text in [
            r#"{"metadata": {"env": null}}"#,
            r#"{"metadata": null}"#,
            r#"{"metadata": {"env": {"RUN": "6"}}}"#,
        ] {
            let text = ArtifactText::read(text.into()).unwrap();
            let text = text.with_env(&[("RUN", "7".to_owned())]).unwrap();
            let file: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(file["metadata"]["env"]["RUN"], "7", "{text}");
        }
    }
}
