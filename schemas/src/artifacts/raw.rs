//! Lenient reading of small JSON values: real files have texts where lists are due, numbers where texts are, and null anywhere.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The most entries that an object may have, and so the most nodes of each kind in a manifest. Real ones have some ten thousands.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// The entries of an object in the order of the file, each value as it stands there.
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key of an object, or another text.
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
    /// None when the value is no object.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The last value of this key that is not null: of doubled keys, the last counts.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        (value.get() != "null").then_some(value)
    }

    /// As [`text`].
    pub(super) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.get(key)?)
    }
}

/// A text; a number or a truth value in its place is taken as it is written.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<Key<'_>>(json).ok().map(|Key(text)| text),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// A list of texts; one text in its place is a list of one, and what is no text is passed over.
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

/// A whole number; a text or a fraction in its place is taken for what it says.
pub(super) fn integer(value: &RawValue) -> Option<i64> {
    let text = text(value)?;
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0)?;
        #[expect(clippy::cast_possible_truncation, reason = "in the range, and whole")]
        (number.abs() < 9e15).then_some(number as i64)
    })
}

/// A number; a text in its place is taken for what it says.
pub(super) fn number(value: &RawValue) -> Option<f64> {
    text(value)?
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A list, each value as it stands there; none when it is no list.
pub(super) fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// An object of these entries, in their order.
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

/// Keys seldom have anything to be escaped, and there are millions of them.
fn push_text(json: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        json.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}
