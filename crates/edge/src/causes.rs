//! Errors with their causes, for the log.

use std::error::Error;
use std::fmt;

/// An error that is only a text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub &'static str);

/// Displays an error with everything that caused it, such as the system's own error. Repeated messages are shown once.
pub struct Causes<'e>(pub &'e (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !written.contains(&text) {
                written = format!("{written}: {text}");
            }
            next = cause.source();
        }
        f.write_str(&written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the spool failed")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn causes_are_shown_once() {
        let error = Outer(Middle(std::io::Error::other("disk full")));
        assert_eq!(Causes(&error).to_string(), "the spool failed: cannot write: disk full");
    }
}
