//! The error of invalid settings.

/// What is wrong with the settings, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid settings:{}", self.list())]
pub struct Invalid {
    /// At least one problem, each with the name of the setting.
    pub(crate) problems: Vec<String>,
    /// Possible misspellings, which may be the reason for the problems.
    pub(crate) warnings: Vec<String>,
}

impl Invalid {
    /// The problems, at least one. Each contains the name of the setting and the rule, such as "invalid `PORT`: expected a number from 0
    /// to 65535, got `x`".
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn list(&self) -> String {
        let problems = self.problems.iter().map(|problem| format!("\n  - {problem}"));
        let warnings = self.warnings.iter().map(|warning| format!("\n  - warning: {warning}"));
        problems.chain(warnings).collect()
    }
}
