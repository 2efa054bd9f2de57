//! A node's definition as it is stored: JSON in a zstd frame.
//!
//! Nodes are small and alike, so a dictionary shrinks them several times more than zstd alone. A frame names its dictionary; each
//! dictionary that was ever written with stays readable.

use std::io;
use std::sync::LazyLock;

use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Trained on the project's fixtures with `zstd --train`; `dictionaries/README.md` tells how.
const DICTIONARY: &[u8] = include_bytes!("../dictionaries/nodes-1.zstd-dictionary");

/// The same, taken in once for all that is read.
static DECODER_DICTIONARY: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// The same, taken in once for all that is written.
static ENCODER_DICTIONARY: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));

/// zstd's own default: docs are written once and read often, and they are small.
const LEVEL: i32 = 3;

/// The largest definition that is read back, in bytes.
const LARGEST_DOC: usize = 256 << 20;

/// A stored definition that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a stored node cannot be decompressed ({0}); rebuild the read model")]
pub struct InvalidDoc(#[from] io::Error);

/// Writes definitions.
pub struct DocEncoder(zstd::bulk::Compressor<'static>);

impl DocEncoder {
    /// An encoder with the newest dictionary.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::with_prepared_dictionary(&ENCODER_DICTIONARY).map(Self)
    }

    /// The frame of one definition.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn encode(&mut self, json: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(json)
    }
}

/// The JSON of a stored definition.
///
/// # Errors
/// When the frame is broken or was written with a dictionary that this version does not have.
pub fn decode_doc(frame: &[u8]) -> Result<Vec<u8>, InvalidDoc> {
    let mut decompressor = zstd::bulk::Decompressor::with_prepared_dictionary(&DECODER_DICTIONARY)?;
    let size = zstd::zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size <= LARGEST_DOC)
        .ok_or_else(|| io::Error::other("it does not tell its size"))?;
    Ok(decompressor.decompress(frame, size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_survives_and_shrinks() {
        let json =
            br#"{"alias":"orders","config":{"enabled":true,"materialized":"table","tags":[]},"resource_type":"model"}"#;
        let frame = DocEncoder::new().unwrap().encode(json).unwrap();
        assert_eq!(decode_doc(&frame).unwrap(), json);
        assert!(frame.len() < json.len(), "{} bytes", frame.len());
    }

    #[test]
    fn a_broken_frame_is_an_error() {
        assert!(decode_doc(b"no frame").is_err());
    }
}
