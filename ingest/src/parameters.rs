//! The optional parameters of an upload, from the form or the query.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use edge::UploadError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use crate::files::naming::{FileNaming, NewFileParams};
use crate::files::v3::NamedFileParams;
use crate::manifests::ManifestParams;

/// The largest number of characters in a parameter.
pub(crate) const MAX_CHARACTERS: usize = 1000;

/// The parameters that any route documents. The files of a batch have `files[N][tag]` instead of `tag`.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let documented = [
        FileNaming::into_params(|| None),
        ManifestParams::into_params(|| None),
        NamedFileParams::into_params(|| None),
        NewFileParams::into_params(|| None),
    ];
    documented.into_iter().flatten().map(|param| param.name).collect()
});

/// The parameters that a client sent, without empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// A parameter that breaks a rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid `{name}`: {rule}")]
pub(crate) struct InvalidParameter {
    pub(crate) name: String,
    /// What was expected.
    pub(crate) rule: String,
}

impl From<InvalidParameter> for UploadError {
    fn from(error: InvalidParameter) -> Self {
        Self::unprocessable(error.name, error.rule)
    }
}

/// Parses the number of a file in a batch from the name of a form part: `files[N][field]`.
pub(crate) fn number_in_batch(name: &str, field: &str) -> Option<u32> {
    let (number, rest) = name.strip_prefix("files[")?.split_once("][")?;
    (rest.strip_suffix(']') == Some(field)).then(|| number.parse().ok())?
}

impl Parameters {
    /// Reads the parameters in a query.
    pub(crate) fn of_query(query: &[u8]) -> Result<Self, InvalidParameter> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query) {
            parameters.set(&name, value.as_bytes())?;
        }
        Ok(parameters)
    }

    /// Sets a parameter that the client sent. Later values replace earlier ones. Unknown names are ignored.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidParameter> {
        if !NAMES.iter().any(|known| known == name) && number_in_batch(name, "tag").is_none() {
            return Ok(());
        }
        let invalid = |rule: String| InvalidParameter {
            name: name.to_owned(),
            rule,
        };
        let text = str::from_utf8(value).map_err(|_| invalid("expected UTF-8, got other bytes".to_owned()))?;
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            let rule = format!("expected at most {MAX_CHARACTERS} characters, got {characters}");
            return Err(invalid(rule));
        }
        if text.contains('\0') {
            return Err(invalid("expected no NUL character, got one".to_owned()));
        }
        if text.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), text.to_owned());
        }
        Ok(())
    }

    /// Adds those of the other parameters that are not set here.
    pub(crate) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// Returns those that a route reads, which are also what it documents.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, UploadError> {
        let values = self.0.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        serde_json::from_value(Value::Object(values.collect())).map_err(|error| UploadError::internal(&error))
    }

    /// Returns an owned copy of the value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            parameters.set(name, value.as_bytes()).unwrap();
        }
        parameters
    }

    #[test]
    fn the_body_wins_over_the_query_and_empty_is_absent() {
        let body = parameters(&[("environment_slug", "prod"), ("run_id", ""), ("other", "x")]);
        let query = parameters(&[("environment_slug", "dev"), ("run_id", "r-1"), ("dag_id", "d")]);
        let expected = parameters(&[("environment_slug", "prod"), ("dag_id", "d"), ("run_id", "r-1")]);
        assert_eq!(body.or(query), expected);
    }

    #[test]
    fn files_of_a_batch_are_numbered() {
        assert_eq!(number_in_batch("files[12][tag]", "tag"), Some(12));
        for name in [
            "files[12][tag]",
            "files[a][file]",
            "files[1]",
            "files[-1][file]",
            "file",
            "files[1][file]x",
        ] {
            assert_eq!(number_in_batch(name, "file"), None, "{name}");
        }
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let longest = "é".repeat(MAX_CHARACTERS);
        assert_eq!(parameters(&[("tag", &longest)]).text("tag"), Some(longest));
    }

    #[test]
    fn errors_name_the_parameter_and_the_rule() {
        for (name, value, message) in [
            (
                "run_id",
                vec![b'a'; 1001],
                "invalid `run_id`: expected at most 1000 characters, got 1001",
            ),
            (
                "dag_id",
                vec![0xff],
                "invalid `dag_id`: expected UTF-8, got other bytes",
            ),
            (
                "tag",
                vec![b'a', 0],
                "invalid `tag`: expected no NUL character, got one",
            ),
        ] {
            let error = Parameters::default().set(name, &value).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
