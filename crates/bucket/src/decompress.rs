//! Decompresses zstd frames, piece by piece or as a whole.

use std::io;

use async_compression::tokio::bufread::ZstdDecoder;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::{Bucket, Error};

/// The size of the pieces in a stream, in bytes.
const PIECE: usize = 256 * 1024;

/// Decompresses the frames of the object `key` as a stream.
pub(crate) fn stream(
    bucket: Bucket,
    key: String,
    compressed: BoxStream<'static, object_store::Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let mut decoder = ZstdDecoder::new(StreamReader::new(compressed.map_err(io::Error::other)));
    decoder.multiple_members(true);
    let pieces = ReaderStream::with_capacity(decoder, PIECE);
    let pieces = pieces.map_err(move |error| match error.downcast::<object_store::Error>() {
        Ok(error) => bucket.error(&key, error),
        Err(error) => Error::corrupt(&key, error),
    });
    pieces.boxed()
}

/// Decompresses zstd frames directly into a single buffer.
pub(crate) struct Whole {
    decoder: Decoder<'static>,
    content: Vec<u8>,
    size: usize,
    /// Whether the last frame is complete.
    complete: bool,
}

impl Whole {
    /// Reserves a buffer for content of at most `size` bytes. Growing the buffer would copy its content and hold both copies for a while;
    /// reserved memory is not used before it is written to.
    pub(crate) fn new(size: u64) -> Result<Self, String> {
        let size = usize::try_from(size).map_err(|error| error.to_string())?;
        Ok(Self {
            decoder: Decoder::new().map_err(|error| error.to_string())?,
            // One more byte, to notice content that is too long.
            content: Vec::with_capacity(size.saturating_add(1)),
            size,
            complete: false,
        })
    }

    /// Decompresses the next piece of the frames.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            let end = self.content.len();
            let mut output = OutBuffer::around_pos(&mut self.content, end);
            let hint = self.decoder.run(&mut input, &mut output);
            self.complete = hint.map_err(|error| error.to_string())? == 0;
            if self.content.len() > self.size {
                return Err(format!("it contains more than the expected {} bytes", self.size));
            }
        }
        Ok(())
    }

    /// Returns the content, if the frames are complete.
    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        if self.complete {
            Ok(self.content)
        } else {
            Err("it ends before its last zstd frame is complete".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..300_000_u32).flat_map(|n| (n % 1009).to_le_bytes()).collect()
    }

    fn read(frames: &[u8], limit: u64, piece: usize) -> Result<Vec<u8>, String> {
        let mut whole = Whole::new(limit)?;
        for piece in frames.chunks(piece) {
            whole.push(piece)?;
        }
        whole.finish()
    }

    #[test]
    fn frames_can_be_read_in_pieces_of_any_size() {
        let content = content();
        // The first frame states its content size, the second does not.
        let known = zstd::bulk::compress(&content, 3).unwrap();
        let unknown = zstd::encode_all(content.as_slice(), 3).unwrap();
        for frames in [known, unknown] {
            for piece in [1, 7, 4096, usize::MAX] {
                assert_eq!(read(&frames, content.len() as u64, piece).unwrap(), content);
            }
            let twice = [frames.as_slice(), &frames].concat();
            assert_eq!(
                read(&twice, 2 * content.len() as u64, 4096).unwrap(),
                [content.as_slice(), &content].concat()
            );
        }
    }

    #[test]
    fn a_frame_may_be_empty_but_must_not_be_missing() {
        assert_eq!(read(&zstd::encode_all([].as_slice(), 3).unwrap(), 0, 1).unwrap(), b"");
        assert!(read(b"", 10, 1).is_err());
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let content = content();
        let limit = content.len() as u64 - 1;
        for frames in [
            zstd::bulk::compress(&content, 3).unwrap(),
            zstd::encode_all(content.as_slice(), 3).unwrap(),
        ] {
            let refusal = read(&frames, limit, 4096).unwrap_err();
            assert!(refusal.contains("1199999 bytes"), "{refusal}");
        }
    }

    #[test]
    fn broken_frames_are_refused() {
        let frames = zstd::encode_all(content().as_slice(), 3).unwrap();
        assert!(
            read(&frames[..frames.len() - 1], 10_000_000, 4096)
                .unwrap_err()
                .contains("ends before")
        );
        assert!(read(b"{\"metadata\": {}}", 10_000_000, 4096).is_err());
        assert!(read(&[frames.as_slice(), b"rest"].concat(), 10_000_000, 4096).is_err());
    }
}
