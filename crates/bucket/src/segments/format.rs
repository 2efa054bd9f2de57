//! The format of a segment, which holds events of one hour:
//!
//! ```text
//! 4 bytes    the magic number of a zstd frame that decoders skip
//! 4 bytes    the size of the index
//! the index:
//!   7 bytes  `dbt-api`
//!   1 byte   the version of the format: 1
//!   4 bytes  the number of blocks
//!   4 bytes  the number of events
//!   for each block: 4 bytes its size, 4 bytes the number of its events, 32 bytes the SHA-256 of its bytes
//!   for each event: 16 bytes its id, 4 bytes its size
//! the blocks: one zstd frame each, which holds the bytes of its events, one after the other
//! ```
//!
//! Numbers are unsigned and little-endian, sizes are in bytes. Events are in ascending order of their ids. A segment is named by the number of
//! its events and the SHA-256 of its index. So the name proves the index, and the index proves each block: parts of a segment can be checked
//! without the rest. `zstd -dc` prints the events of a segment.

use std::fmt;
use std::io;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use schemas::{EventId, Sha256};
use uuid::Uuid;

/// A magic number of zstd for frames that decoders skip.
const SKIPPED: u32 = 0x184D_2A50;

/// The version of the format stands at the end.
const BEGINNING: [u8; 8] = *b"dbt-api\x01";

/// The bytes of the index before the first block's.
const FIXED: usize = BEGINNING.len() + 4 + 4;

/// The bytes of a block in the index.
const OF_BLOCK: usize = 4 + 4 + 32;

/// The bytes of an event in the index.
const OF_EVENT: usize = 16 + 4;

/// The size of a block's events at which it is complete, in bytes.
const BLOCK: usize = 256 * 1024;

/// A segment is written once and stays, so it is compressed a little better than what is written often.
const LEVEL: i32 = 9;

/// The most events of a segment.
pub(crate) const MAX_EVENTS: usize = 16_384;

/// The size of a segment's events beyond which it is complete, in bytes. It limits the memory of those who write and read segments.
pub(crate) const MAX_CONTENT: usize = 16 * 1024 * 1024;

/// The first bytes of a segment that contain its index, whatever the number of its events is.
pub(crate) const HEAD: u64 = 384 * 1024;

/// The name of a segment without its folder and suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SegmentName {
    /// The number of events.
    pub(crate) events: u32,
    /// The hash of the index.
    pub(crate) index: Sha256,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.events, self.index)
    }
}

impl FromStr for SegmentName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (events, index) = text.split_once('-').ok_or(())?;
        Ok(Self {
            events: events.parse().map_err(drop)?,
            index: index.parse().map_err(drop)?,
        })
    }
}

/// Where the events of a segment are.
#[derive(Debug)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    events: Vec<Entry>,
}

#[derive(Debug)]
struct Block {
    /// Its bytes in the segment.
    range: Range<u64>,
    sha256: [u8; 32],
    /// The size of its events.
    content: usize,
}

#[derive(Debug)]
struct Entry {
    id: EventId,
    block: u32,
    /// Its bytes in the content of the block.
    range: Range<u32>,
}

/// Makes a segment of events in ascending order of their ids.
pub(crate) fn write(events: &[(EventId, Bytes)]) -> io::Result<(SegmentName, Bytes)> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let (mut blocks, mut of_blocks, mut of_events) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = events;
    while !rest.is_empty() {
        let mut content = Vec::new();
        let mut count = 0;
        while let Some((id, bytes)) = rest.get(count)
            && (count == 0 || content.len() + bytes.len() <= BLOCK)
        {
            content.extend_from_slice(bytes);
            of_events.extend_from_slice(id.0.as_bytes());
            of_events.extend_from_slice(&number(bytes.len())?);
            count += 1;
        }
        let block = compressor.compress(&content)?;
        of_blocks.extend_from_slice(&number(block.len())?);
        of_blocks.extend_from_slice(&number(count)?);
        of_blocks.extend_from_slice(&Sha256::of(&block).0);
        blocks.push(block);
        rest = &rest[count..];
    }
    let index = [
        BEGINNING.as_slice(),
        &number(blocks.len())?,
        &number(events.len())?,
        &of_blocks,
        &of_events,
    ]
    .concat();
    let name = SegmentName {
        events: u32::try_from(events.len()).map_err(io::Error::other)?,
        index: Sha256::of(&index),
    };
    let head = [SKIPPED.to_le_bytes().as_slice(), &number(index.len())?, &index].concat();
    Ok((name, [head, blocks.concat()].concat().into()))
}

fn number(number: usize) -> io::Result<[u8; 4]> {
    let number = u32::try_from(number).map_err(io::Error::other)?;
    Ok(number.to_le_bytes())
}

impl Index {
    /// Reads the index at the beginning of a segment. The error says what is wrong with it.
    pub(crate) fn read(name: SegmentName, head: &[u8]) -> Result<Self, String> {
        let mut head = Reader(head);
        let (magic, size) = (head.number()?, head.number()?);
        if magic != SKIPPED {
            return Err("it does not begin like a segment".to_owned());
        }
        let index = head.take(size as usize)?;
        if Sha256::of(index) != name.index {
            return Err("its index is not the one that its name promises".to_owned());
        }
        // Everything from here on was written by a version of this program.
        let mut index = Reader(index);
        if index.take(BEGINNING.len())? != BEGINNING {
            return Err("it has another format: a later version of dbt-api may read it".to_owned());
        }
        let (blocks, events) = (index.number()? as usize, index.number()? as usize);
        if index.0.len() != blocks * OF_BLOCK + events * OF_EVENT || events != name.events as usize {
            return Err("its index has another size than its beginning says".to_owned());
        }
        let mut of_events = Reader(&index.0[blocks * OF_BLOCK..]);
        let mut found = Self {
            blocks: Vec::with_capacity(blocks),
            events: Vec::with_capacity(events),
        };
        let mut start = 8 + u64::from(size);
        for block in 0..blocks {
            let (length, count) = (index.number()?, index.number()?);
            let sha256 = index.array()?;
            let mut content = 0_u32;
            for _ in 0..count {
                let id = EventId(Uuid::from_bytes(of_events.array()?));
                let end = content.checked_add(of_events.number()?);
                let end = end.ok_or("one of its blocks is too large")?;
                found.events.push(Entry {
                    id,
                    block: u32::try_from(block).map_err(|error| error.to_string())?,
                    range: content..end,
                });
                content = end;
            }
            let end = start + u64::from(length);
            found.blocks.push(Block {
                range: start..end,
                sha256,
                content: content as usize,
            });
            start = end;
        }
        if found.events.len() != events || !found.events.is_sorted_by(|one, next| one.id < next.id) {
            return Err("its index is not consistent".to_owned());
        }
        Ok(found)
    }

    /// The ids of the events in ascending order.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = EventId> {
        self.events.iter().map(|event| event.id)
    }

    /// The position of an event, if the segment contains it.
    pub(crate) fn position(&self, id: EventId) -> Option<usize> {
        self.events.binary_search_by_key(&id, |event| event.id).ok()
    }

    /// The block that contains the event at this position.
    pub(crate) fn block_of(&self, position: usize) -> usize {
        self.events[position].block as usize
    }

    /// The bytes of a block in the segment.
    pub(crate) fn range_of(&self, block: usize) -> Range<u64> {
        self.blocks[block].range.clone()
    }

    /// Decompresses a block. The error says what is wrong with it.
    pub(crate) fn open(&self, block: usize, bytes: &[u8]) -> Result<Bytes, String> {
        let block = &self.blocks[block];
        if Sha256::of(bytes).0 != block.sha256 {
            return Err(format!(
                "its bytes {} to {} are not those that its index promises",
                block.range.start, block.range.end
            ));
        }
        let content = zstd::bulk::decompress(bytes, block.content).map_err(|error| error.to_string())?;
        if content.len() != block.content {
            return Err("one of its blocks has another size than its index promises".to_owned());
        }
        Ok(content.into())
    }

    /// The event at this position, from the content of its block.
    pub(crate) fn event_in(&self, content: &Bytes, position: usize) -> Bytes {
        let range = &self.events[position].range;
        content.slice(range.start as usize..range.end as usize)
    }

    /// About how much memory the index takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.events.len() * size_of::<Entry>() + self.blocks.len() * size_of::<Block>()
    }
}

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or("it is shorter than its index")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it is too short".to_owned())
    }

    fn number(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }
}

const _: () = assert!(
    8 + FIXED + MAX_EVENTS * OF_EVENT + 2 * (MAX_CONTENT / BLOCK + 1) * OF_BLOCK <= HEAD as usize,
    "the index of each segment must fit into its head"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<(EventId, Bytes)> {
        let event = |number: u32| {
            let text = format!("{{\"number\": {number}}}").repeat(1 + (number % 700) as usize);
            (EventId(Uuid::from_u128(u128::from(number) << 40)), text.into())
        };
        (0..500).map(event).collect()
    }

    fn read(segment: &Bytes, name: SegmentName) -> Result<Vec<(EventId, Bytes)>, String> {
        let index = Index::read(name, segment)?;
        let mut events = Vec::new();
        for id in index.ids() {
            let position = index.position(id).unwrap();
            let block = index.block_of(position);
            let range = index.range_of(block);
            let bytes = segment.get(range.start as usize..range.end as usize);
            let content = index.open(block, bytes.ok_or("a block is missing")?)?;
            events.push((id, index.event_in(&content, position)));
        }
        Ok(events)
    }

    #[test]
    fn events_are_read_back_and_the_same_events_make_the_same_segment() {
        let events = events();
        let (name, segment) = write(&events).unwrap();
        assert_eq!(read(&segment, name).unwrap(), events);
        let index = Index::read(name, &segment).unwrap();
        assert!(index.blocks.len() > 5, "{}", index.blocks.len());
        assert_eq!(write(&events).unwrap(), (name, segment));
        assert_eq!(index.position(EventId(Uuid::from_u128(1))), None);
        assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn zstd_alone_reads_all_events() {
        let events = events();
        let (_, segment) = write(&events).unwrap();
        let expected: Vec<u8> = events.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        assert!(zstd::decode_all(segment.as_ref()).unwrap() == expected);
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let (name, segment) = write(&events()).unwrap();
        for at in (0..segment.len()).step_by(97).chain(0..24) {
            let mut changed = segment.to_vec();
            changed[at] ^= 1;
            assert!(read(&changed.into(), name).is_err(), "byte {at}");
        }
        for size in [0, 7, 8, 30, segment.len() / 2, segment.len() - 1] {
            assert!(read(&segment.slice(..size), name).is_err(), "{size} bytes");
        }
    }

    #[test]
    fn another_version_is_not_read() {
        let (name, segment) = write(&events()[..1]).unwrap();
        let size = u32::from_le_bytes(segment[4..8].try_into().unwrap()) as usize;
        let mut later = segment.to_vec();
        later[15] = 2;
        let name = SegmentName {
            index: Sha256::of(&later[8..8 + size]),
            ..name
        };
        let error = read(&later.into(), name).unwrap_err();
        assert!(error.contains("later version"), "{error}");
    }
}
