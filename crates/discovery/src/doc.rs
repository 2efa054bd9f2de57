//! A JSON object of which single fields are read, such as the definition of a node.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object. Each is parsed when it is asked for; one of an unexpected type counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Doc<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Doc<'a> {
    /// Reads an object. Anything else has no fields.
    pub(crate) fn of(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// A field as it is written, or `None` if it is absent or null.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// A field that is an object.
    pub(crate) fn object(&self, key: &str) -> Option<Doc<'a>> {
        self.raw(key)
            .filter(|raw| raw.get().starts_with('{'))
            .map(|raw| Doc::of(raw.get()))
    }

    /// A field that is an object, as it is written.
    pub(crate) fn raw_object(&self, key: &str) -> Option<&'a RawValue> {
        self.raw(key).filter(|raw| raw.get().starts_with('{'))
    }

    /// The object as JSON.
    pub(crate) fn raw_text(&self) -> String {
        let fields = self.0.iter().map(|(key, value)| (key.as_ref(), *value));
        serde_json::to_string(&fields.collect::<std::collections::BTreeMap<_, _>>()).unwrap_or_default()
    }

    /// A field that is a text. Numbers and booleans are taken as texts, since dbt writes both, for example in versions.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text_of(self.raw(key)?)
    }

    /// A field that is a list of texts, or a single text.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<Cow<'a, str>>> {
        let raw = self.raw(key)?;
        if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            return Some(items.into_iter().filter_map(text_of).collect());
        }
        Some(vec![text_of(raw)?])
    }

    /// A field that is a list of objects.
    pub(crate) fn objects(&self, key: &str) -> Vec<Doc<'a>> {
        let items: Option<Vec<&'a RawValue>> = self.raw(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
        items
            .unwrap_or_default()
            .into_iter()
            .map(|item| Doc::of(item.get()))
            .collect()
    }

    /// The objects in a field that is an object, in the order of the file.
    pub(crate) fn entries(&self, key: &str) -> Vec<(Cow<'a, str>, Doc<'a>)> {
        let object = self.raw_object(key);
        let entries = object.and_then(|raw| serde_json::from_str(raw.get()).ok());
        entries.map_or_else(Vec::new, |Entries(entries)| entries)
    }

    /// A field that is a whole number, also one such as `3.0`.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        let text = self.raw(key)?.get();
        text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok().filter(|number: &f64| number.fract() == 0.0)?;
            #[expect(clippy::cast_possible_truncation, reason = "the value is whole and in range")]
            (number.abs() < 9e15).then_some(number as i64)
        })
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }

    /// A field as a JSON value.
    pub(crate) fn json(&self, key: &str) -> serde_json::Value {
        let value = self.raw(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
        value.unwrap_or(serde_json::Value::Null)
    }
}

fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => {
            let inner = text.get(1..text.len() - 1)?;
            if inner.contains('\\') {
                return serde_json::from_str::<String>(text).ok().map(Cow::Owned);
            }
            Some(Cow::Borrowed(inner))
        }
        b'{' | b'[' => None,
        _ => (text != "null").then_some(Cow::Borrowed(text)),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Doc<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Doc<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                fields(map)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn fields<'de, A: MapAccess<'de>>(mut map: A) -> Result<Doc<'de>, A::Error> {
    let mut fields = Vec::with_capacity(8);
    while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
        fields.push((key.0, value));
    }
    Ok(Doc(fields))
}

/// The objects in an object. They are read in one pass, because tables have many columns.
struct Entries<'a>(Vec<(Cow<'a, str>, Doc<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;

        impl<'de> Visitor<'de> for Objects {
            type Value = Vec<(Cow<'de, str>, Doc<'de>)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut objects = Vec::with_capacity(32);
                while let Some((key, object)) = map.next_entry::<Key<'de>, MaybeObject<'de>>()? {
                    objects.extend(object.0.map(|object| (key.0, object)));
                }
                Ok(objects)
            }
        }

        deserializer.deserialize_map(Objects).map(Self)
    }
}

/// A value that may be an object.
struct MaybeObject<'a>(Option<Doc<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for MaybeObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Option<Doc<'de>>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                fields(map).map(Some)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                Ok(None)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
        }

        deserializer.deserialize_any(Any).map(Self)
    }
}

/// A key that borrows from the text where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Text).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_unexpected_types_are_absent() {
        let json = r#"{"a": "x\ty", "b": 1, "c": null, "d": ["p", 2, {}], "e": {"f": true}, "g\n": "h"}"#;
        let doc = Doc::of(json);
        assert_eq!(doc.text("a").as_deref(), Some("x\ty"));
        assert_eq!(doc.text("b").as_deref(), Some("1"));
        assert_eq!(doc.text("c"), None);
        assert_eq!(doc.text("e"), None);
        assert_eq!(doc.texts("d").unwrap(), ["p", "2"]);
        assert_eq!(doc.texts("a").unwrap(), ["x\ty"]);
        assert_eq!(doc.object("e").unwrap().boolean("f"), Some(true));
        assert_eq!(doc.integer("a"), None);
        assert_eq!(doc.text("g\n").as_deref(), Some("h"));
        assert!(Doc::of("[1]").raw("a").is_none());
    }

    #[test]
    fn only_the_objects_in_an_object_are_its_entries() {
        let json = r#"{"o": {"a": {"x": {"y": 1}}, "b": [{}], "c": "t", "d": 1.5, "e": -1, "f": null, "g": true, "h\n": {}}, "n": null}"#;
        let doc = Doc::of(json);
        let entries = doc.entries("o");
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["a", "h\n"]);
        assert_eq!(entries[0].1.object("x").unwrap().integer("y"), Some(1));
        assert!(doc.entries("n").is_empty() && doc.entries("absent").is_empty());
    }
}
