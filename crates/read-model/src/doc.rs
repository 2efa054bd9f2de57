//! The stored form of a node's definition: JSON in a zstd frame.
//!
//! Nodes are small and similar, so a dictionary makes them several times smaller than plain zstd does. A frame names its dictionary, and
//! every dictionary that was ever used remains readable.

use std::io;
use std::sync::LazyLock;

use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The dictionary, trained on the project's fixtures with `zstd --train` as described in `dictionaries/README.md`.
const DICTIONARY: &[u8] = include_bytes!("../dictionaries/nodes-1.zstd-dictionary");

/// The dictionary, loaded once for all reads.
static DECODER_DICTIONARY: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// The dictionary, loaded once for all writes.
static ENCODER_DICTIONARY: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));

/// The default level of zstd. Documents are small, and they are written once and read often.
const LEVEL: i32 = 3;

/// The maximum size of a definition that is read, in bytes.
const MAX_DOC_SIZE: usize = 256 << 20;

/// A stored definition cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot decompress a stored node: {0}; rebuild the read model")]
pub struct InvalidDoc(#[from] io::Error);

/// Compresses definitions.
pub struct DocEncoder(zstd::bulk::Compressor<'static>);

impl DocEncoder {
    /// Creates an encoder with the newest dictionary.
    ///
    /// # Errors
    /// Returns an error if zstd cannot allocate memory.
    pub fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::with_prepared_dictionary(&ENCODER_DICTIONARY).map(Self)
    }

    /// Compresses one definition to a frame.
    ///
    /// # Errors
    /// Returns an error if zstd cannot allocate memory.
    pub fn encode(&mut self, json: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(json)
    }
}

/// Decompresses a stored definition to JSON.
///
/// # Errors
/// Returns an error if the frame is broken or was written with a dictionary that this version does not have.
pub fn decode_doc(frame: &[u8]) -> Result<Vec<u8>, InvalidDoc> {
    DocDecoder::new()?.decode(frame)
}

/// Decompresses many definitions, for which it allocates its memory once.
pub struct DocDecoder(zstd::bulk::Decompressor<'static>);

impl DocDecoder {
    /// Creates a decoder for all dictionaries.
    ///
    /// # Errors
    /// Returns an error if zstd cannot allocate memory.
    pub fn new() -> Result<Self, InvalidDoc> {
        Ok(Self(zstd::bulk::Decompressor::with_prepared_dictionary(
            &DECODER_DICTIONARY,
        )?))
    }

    /// Decompresses one definition to JSON.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`decode_doc`].
    pub fn decode(&mut self, frame: &[u8]) -> Result<Vec<u8>, InvalidDoc> {
        let size = doc_size(frame)
            .filter(|size| *size <= MAX_DOC_SIZE)
            .ok_or_else(|| io::Error::other("the frame has no valid size"))?;
        Ok(self.0.decompress(frame, size)?)
    }
}

/// Returns the size of a definition after decompression, in bytes, as its frame states it.
#[must_use]
pub fn doc_size(frame: &[u8]) -> Option<usize> {
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_round_trips_and_shrinks() {
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
