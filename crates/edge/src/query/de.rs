//! Deserializes a query string into a struct of parameters.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::InvalidParam;

/// What a value must be, or that there is none.
#[derive(Debug)]
pub(super) enum Error {
    Value { value: Option<String>, expected: String },
    Missing(String),
    Param(InvalidParam),
}

impl Error {
    fn expected(expected: impl Into<String>) -> Self {
        Self::Value {
            value: None,
            expected: expected.into(),
        }
    }

    /// The error of this parameter, whose value is `sent` unless the error knows better.
    pub(super) fn into_param(self, name: &str) -> InvalidParam {
        self.of_param(name, "")
    }

    fn of_param(self, name: &str, sent: &str) -> InvalidParam {
        match self {
            Self::Value { value, expected } => InvalidParam::new(name, value.as_deref().unwrap_or(sent), expected),
            Self::Missing(name) => InvalidParam::Missing { name },
            Self::Param(error) => error,
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { expected, .. } => write!(f, "expected {expected}"),
            Self::Missing(name) => write!(f, "missing `{name}`"),
            Self::Param(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::expected(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::expected(expected.to_string())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<String> = expected.iter().map(|word| format!("`{word}`")).collect();
        Self::expected(format!("one of {}", words.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field.to_owned())
    }
}

/// A whole query: a map from names to the values of each name in their order.
pub(super) struct QueryDeserializer {
    params: BTreeMap<String, Vec<String>>,
}

impl QueryDeserializer {
    pub(super) fn new(query: &str) -> Self {
        let mut params: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            params.entry(name).or_default().push(value);
        }
        Self { params }
    }
}

impl<'de> Deserializer<'de> for QueryDeserializer {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let params = ParamsAccess {
            params: self.params.into_iter(),
            current: None,
        };
        MapAccessDeserializer::new(params).deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct ParamsAccess {
    params: std::collections::btree_map::IntoIter<String, Vec<String>>,
    current: Option<(String, Vec<String>)>,
}

impl<'de> MapAccess<'de> for ParamsAccess {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.params.next();
        let Some((name, _)) = &self.current else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, values) = self.current.take().unwrap_or_default();
        let sent = values.last().cloned().unwrap_or_default();
        seed.deserialize(ValueDeserializer { values })
            .map_err(|error| match error {
                Error::Value { ref expected, .. } if sent.is_empty() && expected == REQUIRED => Error::Missing(name),
                error => Error::Param(error.of_param(&name, &sent)),
            })
    }
}

const REQUIRED: &str = "a value";

/// The values of one name.
struct ValueDeserializer {
    values: Vec<String>,
}

impl ValueDeserializer {
    /// The last value that is not empty.
    fn required(self) -> Result<String, Error> {
        let last = self.values.into_iter().rev().find(|value| !value.is_empty());
        last.ok_or_else(|| Error::expected(REQUIRED))
    }

    fn number<N: FromStr>(self, expected: &str) -> Result<N, Error> {
        let value = self.required()?;
        value.trim().parse().map_err(|_| Error::expected(expected))
    }
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = Error;

    /// The same, or an empty text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.required().unwrap_or_default())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.required()?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(Error::expected("`true` or `false`")),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.number("a whole number")?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number("a whole number from 0")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.required()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.values.iter().all(String::is_empty) {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value: StringDeserializer<Error> = self.required()?.into_deserializer();
        value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let expected = (&visitor as &dyn Expected).to_string();
        let items: Vec<String> = self.values.iter().flat_map(|value| items(value)).collect();
        visitor
            .visit_seq(Items(items.into_iter()))
            .map_err(|_| Error::expected(expected))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<String>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.0.next() else { return Ok(None) };
        seed.deserialize(ValueDeserializer { values: vec![item] }).map(Some)
    }
}

/// The items of a list that is written as `a,b`, `["a","b"]`, `['a', 'b']`, `[a]`, or one of these in quotes.
fn items(list: &str) -> Vec<String> {
    const QUOTES: [char; 2] = ['"', '\''];
    let inner = list
        .trim()
        .trim_matches(QUOTES)
        .trim_start_matches('[')
        .trim_end_matches(']');
    let items = inner.split(',').map(|item| item.trim().trim_matches(QUOTES));
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
