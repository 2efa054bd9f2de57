//! What is stored, decompressed.

use std::cell::RefCell;

use artifacts::NodeResult;
use read_model::doc::DocDecoder;

use crate::error::Error;

/// Decompresses what is stored of nodes while an answer is written.
pub(crate) struct Frames {
    decoder: RefCell<DocDecoder>,
    unreadable: RefCell<Option<String>>,
}

impl Frames {
    pub(crate) fn new() -> Result<Self, Error> {
        let decoder = DocDecoder::new().map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self {
            decoder: RefCell::new(decoder),
            unreadable: RefCell::new(None),
        })
    }

    /// Decompresses a text of a node. If it cannot be read, that is noted.
    pub(crate) fn json(&self, frame: &[u8], unique_id: &str) -> Option<String> {
        let read = self
            .decoder
            .borrow_mut()
            .decode(frame)
            .map_err(|error| error.to_string());
        match read.and_then(|json| String::from_utf8(json).map_err(|error| error.to_string())) {
            Ok(json) => Some(json),
            Err(error) => {
                self.unreadable
                    .borrow_mut()
                    .get_or_insert_with(|| format!("cannot read what is stored of `{unique_id}`: {error}"));
                None
            }
        }
    }

    /// Decompresses a result of a node.
    pub(crate) fn result(&self, frame: &[u8], unique_id: &str) -> NodeResult {
        let json = self.json(frame, unique_id);
        json.and_then(|json| NodeResult::from_json(json.as_bytes()))
            .unwrap_or_default()
    }

    /// The first text that could not be read, and why.
    pub(crate) fn unreadable(&self) -> Option<String> {
        self.unreadable.borrow().clone()
    }
}
