//! Identifiers. Each has its own type, so that the compiler rejects one in place of another.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id: expected a whole number, got `{0}`")]
pub struct InvalidNumber(String);

/// The text is not a UUID.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id: expected a UUID such as 01989f0e-5c40-7a3b-8f2d-0123456789ab, got `{0}`")]
pub struct InvalidUuid(String);

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidNumber;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| InvalidNumber(text.to_owned()))
            }
        }
    )*};
}

number! {
    /// An account, which owns projects, environments, tokens and all uploads.
    AccountId,
    /// A dbt project of an account.
    ProjectId,
    /// An environment of a project, such as production.
    EnvironmentId,
    /// A job, which is one Airflow DAG in one environment.
    JobId,
    /// A run, which is one run of a DAG.
    RunId,
    /// A step of a run, which is one dbt invocation, or one upload if the invocation is unknown. It has 53 bits, so that JavaScript can
    /// represent it.
    StepId,
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| InvalidUuid(text.to_owned()))
            }
        }
    )*};
}

uuid_id! {
    /// An event of the journal. The id is a UUIDv7, so that ids sort by creation time.
    EventId,
    /// A token. This is not the token's key.
    TokenId,
}

impl TokenId {
    /// The nil UUID, recorded as the uploader of everything imported from the earlier dbt-api.
    pub const NONE: Self = Self(Uuid::nil());
}

/// A SHA-256 hash, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Computes the hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("invalid SHA-256: expected 64 hexadecimal digits, got `{0}`")]
pub struct InvalidSha256(String);

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidSha256(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Sha256 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

/// The name of a project or an environment in URLs and uploads: 1 to 63 lower-case letters, digits, `-` and `_`. It starts with a letter or
/// a digit and is never all digits, since dbt Cloud's routes have a number in the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// What a slug is, for messages.
    pub const RULE: &str =
        "1 to 63 lower-case letters, digits, `-` or `_`, starting with a letter or a digit and not all digits";

    /// The slug as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text breaks the rules of [`Slug`].
#[derive(Debug, thiserror::Error)]
#[error("invalid slug: expected {rule}, got `{0}`", rule = Slug::RULE)]
pub struct InvalidSlug(String);

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|first| !b"-_".contains(&first));
        let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if starts_well && text.len() <= 63 && text.bytes().all(allowed) && !all_digits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSlug(text.to_owned()))
        }
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_follow_the_rules() {
        for good in ["dev123", "a", "1a", "balboa-prod", "my_env"] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "123", "Dev", "a b", "-a", "é", "a/b", &"a".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sha256_round_trips_through_text() {
        let hash = Sha256::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hash.to_string().parse::<Sha256>().unwrap(), hash);
        assert!("abc".parse::<Sha256>().is_err());
    }
}
