//! Reduces a manifest to `metadata` and `nodes`, for clients that only look up nodes. (dbt needs the whole manifest for deferral.)
//!
//! The remaining bytes are not modified, and memory use is constant. The file is known to be well formed, since [`super::Scanner`] checked
//! it during the upload.

use memchr::memchr2;

/// The top-level keys that are kept. dbt does not escape any of their letters.
const KEPT: [&[u8]; 2] = [b"metadata", b"nodes"];

/// The number of bytes of a key that are compared.
const MAX_KEY: usize = 16;

/// The part of the top level that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The text before a key: brackets, commas and white space.
    BeforeKey,
    Key,
    /// The text between a key and its value.
    BeforeValue,
    Value,
}

/// Reads a manifest in chunks of any size and returns the bytes to keep.
pub struct Trimmer {
    part: Part,
    in_string: bool,
    escaped: bool,
    /// The number of objects and lists that are open.
    depth: usize,
    key: Vec<u8>,
    /// Whether the current member is kept.
    keeps: bool,
    kept_any: bool,
}

impl Default for Trimmer {
    fn default() -> Self {
        Self::new()
    }
}

impl Trimmer {
    /// Creates a trimmer for the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            part: Part::BeforeKey,
            in_string: false,
            escaped: false,
            depth: 0,
            key: Vec::new(),
            keeps: false,
            kept_any: false,
        }
    }

    /// Reads the next bytes of the file and appends the bytes to keep to `kept`.
    pub fn push(&mut self, chunk: &[u8], kept: &mut Vec<u8>) {
        let mut at = 0;
        while at < chunk.len() {
            at += if self.in_string {
                self.string(&chunk[at..], kept)
            } else {
                self.outside(&chunk[at..], kept)
            };
        }
    }

    /// Finishes the output at the end of the file.
    pub fn finish(self, kept: &mut Vec<u8>) {
        kept.extend_from_slice(if self.kept_any { b"}" } else { b"{}" });
    }

    /// Continues reading a string up to its closing quote, and returns the number of bytes read.
    fn string(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> usize {
        let mut at = 0;
        if self.escaped {
            self.escaped = false;
            at = 1;
        }
        while let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) {
            at += found + 1;
            if bytes[at - 1] == b'"' {
                self.in_string = false;
                self.take(&bytes[..at], kept);
                return at;
            }
            if at == bytes.len() {
                self.escaped = true;
                break;
            }
            at += 1;
        }
        self.take(bytes, kept);
        bytes.len()
    }

    /// Reads the text between strings, and returns the number of bytes read.
    fn outside(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> usize {
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.part == Part::BeforeValue && !matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n') {
                self.begin_value(kept);
                from = at;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    if self.part == Part::BeforeKey {
                        self.part = Part::Key;
                        self.key.clear();
                        return at + 1;
                    }
                    self.take(&bytes[from..=at], kept);
                    return at + 1;
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.take(&bytes[from..at], kept);
                        self.part = Part::BeforeKey;
                        from = at;
                    }
                }
                b',' if self.depth == 1 => {
                    self.take(&bytes[from..at], kept);
                    self.part = Part::BeforeKey;
                    from = at;
                }
                _ => {}
            }
        }
        self.take(&bytes[from..], kept);
        bytes.len()
    }

    fn begin_value(&mut self, kept: &mut Vec<u8>) {
        self.part = Part::Value;
        self.keeps = KEPT.contains(&self.key.as_slice());
        if self.keeps {
            kept.push(if self.kept_any { b',' } else { b'{' });
            self.kept_any = true;
            kept.push(b'"');
            kept.extend_from_slice(&self.key);
            kept.extend_from_slice(b"\":");
        }
    }

    /// Processes bytes of the current part.
    fn take(&mut self, bytes: &[u8], kept: &mut Vec<u8>) {
        match self.part {
            Part::Key => {
                let letters = bytes.strip_suffix(b"\"").filter(|_| !self.in_string).unwrap_or(bytes);
                let room = MAX_KEY.saturating_sub(self.key.len());
                self.key.extend_from_slice(&letters[..letters.len().min(room)]);
                if !self.in_string {
                    self.part = Part::BeforeValue;
                }
            }
            Part::Value if self.keeps => kept.extend_from_slice(bytes),
            Part::Value | Part::BeforeKey | Part::BeforeValue => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn trimmed(text: &str, chunk: usize) -> String {
        let (mut trimmer, mut kept) = (Trimmer::new(), Vec::new());
        for part in text.as_bytes().chunks(chunk) {
            trimmer.push(part, &mut kept);
        }
        trimmer.finish(&mut kept);
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn the_two_members_are_kept_byte_for_byte() {
        let text = r#" { "docs":{"nodes":[1]} , "metadata" : { "a": "}\"{," , "b":NaN },"child_map":{"x":["y"]},
            "nodes":{"model.a.b":{"raw_code":"{{ \"x\\\\\" }}", "depends_on" : {"nodes": []}}}, "n":1, "s": "nodes" } "#;
        let expected = r#"{"metadata":{ "a": "}\"{," , "b":NaN },"nodes":{"model.a.b":{"raw_code":"{{ \"x\\\\\" }}", "depends_on" : {"nodes": []}}}}"#;
        for chunk in 1..text.len() {
            assert_eq!(
                trimmed(text, chunk).replace(" ,\"", ",\""),
                expected.replace(" ,\"", ",\""),
                "{chunk}"
            );
        }
        assert_eq!(trimmed("{}", 1), "{}");
        assert_eq!(trimmed(r#"{"sources":{}}"#, 3), "{}");
        assert_eq!(trimmed(r#"{"nodes":null}"#, 3), r#"{"nodes":null}"#);
        // A key that starts like a key that is kept.
        assert_eq!(trimmed(r#"{"nodes_and_more_than_sixteen":1,"metadatas":2}"#, 5), "{}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\\\\"{}\\[\\],:a-z\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[\\\\\"{}a-z]{0,4}", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_kept_members_are_those_that_a_parser_finds(
            members in prop::collection::vec((prop_oneof!["metadata", "nodes", "[a-z\\\\\"]{0,12}"], values()), 0..6),
            pretty in any::<bool>(),
            chunk in 1_usize..40,
        ) {
            let whole = Value::from_iter(members);
            let text = if pretty { format!("{whole:#}") } else { whole.to_string() };
            let mut expected = whole;
            if let Some(map) = expected.as_object_mut() {
                map.retain(|key, _| key == "metadata" || key == "nodes");
            }
            let got: Value = serde_json::from_str(&trimmed(&text, chunk)).unwrap();
            prop_assert_eq!(got, expected);
        }
    }
}
