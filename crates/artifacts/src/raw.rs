//! Lenient reading of small JSON values. Real files have strings in place of lists, numbers in place of strings, and null anywhere.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The maximum number of entries of an object, and therefore of nodes of each kind in a manifest. Real manifests have some ten thousands.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// The entries of an object in the order of the file, with each value as raw JSON.
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key of an object, or another string.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for EntriesVisitor<'a> {
            type Value = Entries<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while entries.len() <= MAX_ENTRIES
                    && let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()?
                {
                    entries.push((key, value));
                }
                if entries.len() > MAX_ENTRIES {
                    let error = format!("an object has more than {MAX_ENTRIES} entries");
                    return Err(serde::de::Error::custom(error));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<'a> Entries<'a> {
    /// Returns `None` if the value is not an object.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The last value of this key, unless it is null. If a key is repeated, the last one counts.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        (value.get() != "null").then_some(value)
    }

    /// The value of this key, read by [`text`].
    pub(super) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.get(key)?)
    }
}

/// Reads a string. A number or a boolean is returned as written.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<Key<'_>>(json).ok().map(|Key(text)| text),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// Reads a list of strings. A single string becomes a list of one, and items that are not strings, numbers or booleans are skipped.
pub(super) fn texts(value: &RawValue) -> Vec<String> {
    match serde_json::from_str(value.get()) {
        Ok(Value::Array(values)) => values
            .into_iter()
            .filter_map(|value| match value {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(truth) => Some(truth.to_string()),
                _ => None,
            })
            .collect(),
        Ok(Value::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

/// Reads a whole number, also from a string or from a number such as `3.0`.
pub(super) fn integer(value: &RawValue) -> Option<i64> {
    let text = text(value)?;
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0)?;
        #[expect(clippy::cast_possible_truncation, reason = "the value is whole and in range")]
        (number.abs() < 9e15).then_some(number as i64)
    })
}

/// Reads a number, also from a string.
pub(super) fn number(value: &RawValue) -> Option<f64> {
    text(value)?
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// Reads a list as raw JSON values. Returns `None` if the value is not a list.
pub(super) fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// Writes an object with these entries, in their order.
pub(super) fn object_of(entries: &[(&str, &RawValue)]) -> Vec<u8> {
    let size = entries
        .iter()
        .map(|(key, value)| key.len() + value.get().len() + 4)
        .sum();
    let mut json = Vec::with_capacity(size);
    json.push(b'{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        push_text(&mut json, key);
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}');
    json
}

/// Writes a JSON string. The fast path matters: keys rarely need escaping, and there are millions of them.
fn push_text(json: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        json.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}
