//! What a client says about an upload besides the file: in the form, in the query, or not at all.

use std::collections::BTreeMap;

use edge::{Params, UploadError};

/// The most characters that a parameter may have.
pub(crate) const MAX_CHARACTERS: usize = 1000;

/// The parameters of one file only; those of the files of a batch are `files[N][tag]`.
const NAMES: [&str; 7] = [
    "environment_slug",
    "dag_id",
    "run_id",
    "tag",
    "slug",
    "filename",
    "is_manifest",
];

/// As the client said them; what it left out or left empty is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// A parameter that breaks a rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {rule}")]
pub(crate) struct InvalidParameter {
    /// Which.
    pub(crate) name: String,
    /// What is wrong with it; reads on from its name.
    pub(crate) rule: String,
}

impl From<InvalidParameter> for UploadError {
    fn from(error: InvalidParameter) -> Self {
        Self::unprocessable(error.name, error.rule)
    }
}

/// The number of a file in a batch, from the name of a part: `files[N][field]`.
pub(crate) fn number_in_batch(name: &str, field: &str) -> Option<u32> {
    let (number, rest) = name.strip_prefix("files[")?.split_once("][")?;
    (rest.strip_suffix(']') == Some(field)).then(|| number.parse().ok())?
}

impl Parameters {
    /// Those of the query.
    pub(crate) fn of_query(query: &Params) -> Result<Self, InvalidParameter> {
        let mut parameters = Self::default();
        for (name, value) in query.pairs() {
            parameters.set(name, value.as_bytes())?;
        }
        Ok(parameters)
    }

    /// Takes a parameter as the client sent it; the last of several with one name counts. Those of other names are passed over.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidParameter> {
        if !NAMES.contains(&name) && number_in_batch(name, "tag").is_none() {
            return Ok(());
        }
        let invalid = |rule: String| InvalidParameter {
            name: name.to_owned(),
            rule,
        };
        let text = str::from_utf8(value).map_err(|_| invalid("is not text in UTF-8".to_owned()))?;
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            let rule = format!("has {characters} characters; at most {MAX_CHARACTERS} are allowed");
            return Err(invalid(rule));
        }
        if text.contains('\0') {
            return Err(invalid("holds a NUL character".to_owned()));
        }
        if text.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), text.to_owned());
        }
        Ok(())
    }

    /// These, and where there is none, the others.
    pub(crate) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// What the client said.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same as a text of its own.
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
    fn what_breaks_a_rule_is_named() {
        for (name, value, message) in [
            (
                "run_id",
                vec![b'a'; 1001],
                "run_id has 1001 characters; at most 1000 are allowed",
            ),
            ("dag_id", vec![0xff], "dag_id is not text in UTF-8"),
            ("tag", vec![b'a', 0], "tag holds a NUL character"),
        ] {
            let error = Parameters::default().set(name, &value).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
