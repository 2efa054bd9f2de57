//! What a reader knows at the end, when all settings were asked for.

use super::Reader;
use crate::Invalid;
use crate::misspelling::{meant_by_key, meant_by_variable};

impl Reader<'_> {
    /// Returns the names that were asked for, in that order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns a warning for each environment variable that looks like a misspelling of a name that was asked for.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let variables = self.source.environment.keys();
        variables
            .filter(|variable| !self.names.contains(variable))
            .filter_map(|variable| {
                let meant = meant_by_variable(variable, &self.names)?;
                Some(format!("unknown variable {variable}: did you mean {meant}?"))
            })
            .collect()
    }

    /// Ends reading, and returns what was read. All settings must have been asked for, because other keys of the settings file are problems.
    ///
    /// # Errors
    /// All problems.
    pub fn finish<T>(mut self, settings: T) -> Result<T, Invalid> {
        let unknown = self.unknown_keys();
        self.problems.extend(unknown);
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Invalid {
                warnings: self.warnings(),
                problems: self.problems,
            })
        }
    }

    fn unknown_keys(&self) -> Vec<String> {
        let Some(file) = &self.source.file else {
            return Vec::new();
        };
        let unknown = file.entries.iter().filter(|(name, _)| !self.names.contains(name));
        unknown
            .map(|(_, entry)| {
                let advice = match meant_by_key(&entry.key, &self.names) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "`dbt-api config variables` lists all settings".to_owned(),
                };
                format!("unknown setting `{}` in {}: {advice}", entry.key, file.path.display())
            })
            .collect()
    }
}
