#![doc = include_str!("../README.md")]

mod invalid;
mod misspelling;
mod reader;
mod source;
mod urls;

pub use invalid::Invalid;
pub use reader::Reader;
pub use source::{LoadError, Source};
pub use urls::{BASE_URL, base_url, shown as shown_url};
