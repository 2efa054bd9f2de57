//! Where a warehouse is, as an operator describes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest value, in bytes.
const MAX_VALUE: usize = 1_000;

/// Where the warehouse of a project is, in the words of dbt's profiles. There is no field for passwords, keys and tokens, because everyone who
/// may read the project sees this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionDetails {
    /// The account of the warehouse's vendor, such as `xy12345.eu-west-1` of Snowflake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The file of a database such as DuckDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The warehouse of Snowflake that runs queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The role that dbt takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The catalog of Databricks or Trino.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// The path of a Databricks warehouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_path: Option<String>,
    /// How dbt connects to Spark, such as `thrift`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The region of Athena, such as `eu-west-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_name: Option<String>,
    /// The host name, as the profiles of SQL Server and Fabric call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// A detail that is not allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDetail {
    /// The text does not have the form `KEY=VALUE`.
    #[error("invalid detail: expected KEY=VALUE such as host=db.example.com, got `{0}`")]
    Form(String),
    /// The key is not in the list of keys that may be shown.
    #[error(
        "invalid detail: expected one of account, host, port, path, warehouse, database, schema, role, catalog, http_path, method, region_name and server, got `{0}`"
    )]
    Key(String),
    /// The key occurs twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// The value is not allowed.
    #[error("invalid `{key}`: expected {expected}, got `{value}`")]
    Value {
        /// One of the keys that [`InvalidDetail::Key`] lists.
        key: String,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        value: String,
    },
}

impl ConnectionDetails {
    /// Reads details that are written as `KEY=VALUE`.
    ///
    /// # Errors
    /// Returns an error if a key is not allowed or is given twice, or if a value is not allowed.
    pub fn of_pairs(pairs: &[String]) -> Result<Self, InvalidDetail> {
        let mut details = Self::default();
        for pair in pairs {
            let (key, value) = pair.split_once('=').ok_or_else(|| InvalidDetail::Form(pair.clone()))?;
            details.set(key, value)?;
        }
        Ok(details)
    }

    /// Whether no detail is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidDetail> {
        let twice = || InvalidDetail::Twice(key.to_owned());
        let invalid = |expected| InvalidDetail::Value {
            key: key.to_owned(),
            expected,
            value: value.chars().take(100).collect(),
        };
        let field = match key {
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                let port = port.ok_or_else(|| invalid("a number from 1 to 65535"))?;
                return self.port.replace(port).map_or(Ok(()), |_| Err(twice()));
            }
            "account" => &mut self.account,
            "host" => &mut self.host,
            "path" => &mut self.path,
            "warehouse" => &mut self.warehouse,
            "database" => &mut self.database,
            "schema" => &mut self.schema,
            "role" => &mut self.role,
            "catalog" => &mut self.catalog,
            "http_path" => &mut self.http_path,
            "method" => &mut self.method,
            "region_name" => &mut self.region_name,
            "server" => &mut self.server,
            _ => return Err(InvalidDetail::Key(key.to_owned())),
        };
        if value.is_empty() || value.len() > MAX_VALUE || value.contains(char::is_control) {
            return Err(invalid("a text of 1 to 1000 bytes without control characters"));
        }
        if ["host", "server"].contains(&key) && value.contains(['@', '/']) {
            // `user:password@host` would show the password to every reader.
            return Err(InvalidDetail::Value {
                key: key.to_owned(),
                expected: "a host name alone, without a user, a password or a path",
                value: "…".to_owned(),
            });
        }
        field.replace(value.to_owned()).map_or(Ok(()), |_| Err(twice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[&str]) -> Result<ConnectionDetails, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        ConnectionDetails::of_pairs(&pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn every_field_has_its_key() {
        let keys = [
            "account",
            "host",
            "path",
            "warehouse",
            "database",
            "schema",
            "role",
            "catalog",
            "http_path",
            "method",
            "region_name",
            "server",
        ];
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key}=of {key}=x")).collect();
        let mut details = ConnectionDetails::of_pairs(&pairs).unwrap();
        details.set("port", "5432").unwrap();
        let json = serde_json::to_value(&details).unwrap();
        for key in keys {
            assert_eq!(json[key], format!("of {key}=x"));
        }
        assert_eq!((&json["port"], json.as_object().unwrap().len()), (&5432.into(), 13));
        assert!(of(&[]).unwrap().is_empty() && !details.is_empty());
    }

    #[test]
    fn what_may_be_a_secret_is_refused() {
        for (pairs, words) in [
            (&["password=x"][..], "region_name and server, got `password`"),
            (&["Host=x"], "got `Host`"),
            (&["host"], "expected KEY=VALUE"),
            (&["host="], "1 to 1000 bytes"),
            (&["host=a\nb"], "control characters"),
            (&["host=user:secret@db"], "a host name alone"),
            (&["server=user:secret@db"], "a host name alone"),
            (&["port=0"], "a number from 1 to 65535, got `0`"),
            (&["port=70000"], "got `70000`"),
            (&["port=1", "port=2"], "`port` is given twice"),
            (&["role=a", "role=b"], "`role` is given twice"),
        ] {
            let error = of(pairs).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{error}");
        }
    }
}
