//! Reads settings from environment variables and a file.
//!
//! A [`Source`] holds the values as written. Each part of the service asks a [`Reader`] for its own settings. The reader records every name
//! that it is asked for, so nothing else lists the settings, and it collects all problems, so they are reported together.

mod invalid;
mod misspelling;
mod reader;
mod source;
mod urls;

pub use invalid::Invalid;
pub use reader::Reader;
pub use source::{LoadError, Source};
pub use urls::{BASE_URL, base_url};
