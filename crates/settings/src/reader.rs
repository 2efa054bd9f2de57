//! Reads settings, and collects the problems.

mod finish;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;
use url::Url;

use crate::Source;
use crate::source::FILE_VARIABLE;
use crate::urls::{BASE_URL, base_url, http_url, shown};

/// Reads settings from a source. A setting that is invalid is recorded as a problem, and a default is returned in its place, so what was
/// read may be used only after [`Reader::finish`] has returned it.
///
/// Each name that is asked for is recorded. Settings that count only under a condition are therefore always asked for: see [`Reader::when`].
pub struct Reader<'a> {
    source: &'a Source,
    /// In the order in which they were first asked for.
    names: Vec<String>,
    /// How often a setting that was asked for had a value.
    found: usize,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Begins to read.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            names: vec![FILE_VARIABLE.to_owned()],
            found: 0,
            problems: source.file.iter().flat_map(|file| file.problems.clone()).collect(),
        }
    }

    /// Returns the value as it is written, or `None` if the setting is not set or empty.
    pub fn text(&mut self, name: &str) -> Option<String> {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        let value = self.source.get(name)?;
        self.found += 1;
        Some(value.to_owned())
    }

    /// Returns the value as it is written. If there is none, that is a problem, for which `advice` says why the setting is needed or how to
    /// set it.
    pub fn required(&mut self, name: &str, advice: &str) -> Option<String> {
        let text = self.text(name);
        if text.is_none() {
            self.problem(format!("missing `{name}`: {advice}"));
        }
        text
    }

    /// Reads a whole number within a range.
    pub fn number<T: FromStr + PartialOrd + Display>(&mut self, name: &str, range: RangeInclusive<T>, default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.invalid(name, &format!("a number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    /// Reads true or false. `1` and `yes`, and `0` and `no`, mean the same.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(text) = self.text(name) else { return default };
        match text.to_lowercase().as_str() {
            "true" | "1" | "yes" => true,
            "false" | "0" | "no" => false,
            _ => {
                self.invalid(name, "true or false");
                default
            }
        }
    }

    /// Reads one of several words, in upper or lower case.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let words = match words.split_last() {
                Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                _ => words.concat(),
            };
            self.invalid(name, &words);
        }
        chosen.map_or(default, |(_, value)| *value)
    }

    /// Reads the URL of an HTTP server, without a login.
    pub fn url(&mut self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        let expected = "http://HOST or https://HOST, with or without a path, and without a login";
        self.valid_url(name, expected, &text, http_url(&text))
    }

    /// Reads a URL to which paths are appended, so it also has no query and no fragment.
    pub fn base_url(&mut self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        self.valid_url(name, BASE_URL, &text, base_url(&text))
    }

    /// Reads a secret.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// Reads a path, to which nothing needs to exist.
    pub fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Reads the path of a file that exists.
    pub fn file(&mut self, name: &str) -> Option<PathBuf> {
        self.existing(name, "a file that exists", Path::is_file)
    }

    /// Reads the path of a folder that exists.
    pub fn folder(&mut self, name: &str) -> Option<PathBuf> {
        self.existing(name, "a folder that exists", Path::is_dir)
    }

    fn existing(&mut self, name: &str, expected: &str, exists: fn(&Path) -> bool) -> Option<PathBuf> {
        let path = self.path(name)?;
        if !exists(&path) {
            self.invalid(name, expected);
        }
        Some(path)
    }

    /// Reads settings that count only if `condition` holds. Otherwise, returns `None`: their names are recorded, and what is wrong with them
    /// does not matter. `read` must ask for all of them, whatever their values.
    pub fn when<T>(&mut self, condition: bool, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let before = self.problems.len();
        let settings = read(self);
        if condition {
            return Some(settings);
        }
        self.problems.truncate(before);
        None
    }

    /// Reads settings that may be left out together. Returns `None` if none of them is set.
    pub fn when_any_is_set<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let (problems, found) = (self.problems.len(), self.found);
        let settings = read(self);
        if self.found > found {
            return Some(settings);
        }
        self.problems.truncate(problems);
        None
    }

    /// Records that the value of a setting is invalid. The message shows the value, so it must not be a secret.
    pub fn invalid(&mut self, name: &str, expected: &str) {
        let value = self.source.get(name).unwrap_or_default();
        self.problem(format!("invalid `{name}`: expected {expected}, got `{value}`"));
    }

    /// Returns what the value of a setting was parsed as, and records a problem if it was not. The message does not show the value, because
    /// it is a secret, or may contain a password.
    pub fn valid<T>(&mut self, name: &str, expected: &str, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() {
            self.problem(format!(
                "invalid `{name}`: expected {expected}; the value is not shown, because it may contain a secret"
            ));
        }
        parsed
    }

    /// Returns the URL that a setting was parsed as, and records a problem if it was not. The message shows the value without what may be
    /// secret in it.
    pub fn valid_url<T>(&mut self, name: &str, expected: &str, text: &str, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() {
            self.problem(format!("invalid `{name}`: expected {expected}, got {}", shown(text)));
        }
        parsed
    }

    /// Records a problem, which must name the setting and must not contain secrets.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}
