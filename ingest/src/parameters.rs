//! What a client says about an upload besides the file: in the form, in the query, or not at all.

use edge::{Params, UploadError};

/// The most characters that a parameter may have.
pub(crate) const MOST_CHARACTERS: usize = 1000;

/// As the client said them; what it left out or left empty is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// Where dbt ran.
    pub(crate) environment_slug: Option<String>,
    /// The Airflow DAG.
    pub(crate) dag_id: Option<String>,
    /// Airflow's id of the DAG run.
    pub(crate) run_id: Option<String>,
    /// A name for the upload.
    pub(crate) tag: Option<String>,
}

/// A parameter that breaks a rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {rule}")]
pub(crate) struct InvalidParameter {
    /// Which.
    pub(crate) name: &'static str,
    /// What is wrong with it; reads on from its name.
    pub(crate) rule: String,
}

impl From<InvalidParameter> for UploadError {
    fn from(error: InvalidParameter) -> Self {
        Self::unprocessable(error.name, error.rule)
    }
}

impl Parameters {
    /// Those of the query.
    pub(crate) fn of_query(query: &Params) -> Result<Self, InvalidParameter> {
        let mut parameters = Self::default();
        for name in ["environment_slug", "dag_id", "run_id", "tag"] {
            if let Some(value) = query.text(name) {
                parameters.set(name, value.as_bytes())?;
            }
        }
        Ok(parameters)
    }

    /// Takes a parameter as the client sent it; the last of several with one name counts. Those of other names are passed over.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidParameter> {
        let (name, place) = match name {
            "environment_slug" => ("environment_slug", &mut self.environment_slug),
            "dag_id" => ("dag_id", &mut self.dag_id),
            "run_id" => ("run_id", &mut self.run_id),
            "tag" => ("tag", &mut self.tag),
            _ => return Ok(()),
        };
        let invalid = |rule: String| InvalidParameter { name, rule };
        let text = str::from_utf8(value).map_err(|_| invalid("is not text in UTF-8".to_owned()))?;
        let characters = text.chars().count();
        if characters > MOST_CHARACTERS {
            let rule = format!("has {characters} characters; at most {MOST_CHARACTERS} are allowed");
            return Err(invalid(rule));
        }
        if text.contains('\0') {
            return Err(invalid("holds a NUL character".to_owned()));
        }
        *place = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    }

    /// These, and where there is none, the others.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            environment_slug: self.environment_slug.or(others.environment_slug),
            dag_id: self.dag_id.or(others.dag_id),
            run_id: self.run_id.or(others.run_id),
            tag: self.tag.or(others.tag),
        }
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
        let expected = Parameters {
            environment_slug: Some("prod".to_owned()),
            dag_id: Some("d".to_owned()),
            run_id: Some("r-1".to_owned()),
            tag: None,
        };
        assert_eq!(body.or(query), expected);
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let longest = "é".repeat(MOST_CHARACTERS);
        assert_eq!(parameters(&[("tag", &longest)]).tag, Some(longest));
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
