#![doc = include_str!("../README.md")]

mod artifacts;
mod claims;
mod decompress;
mod error;
mod hours;
mod journal;
mod leftovers;
mod legacy;
mod parts;
mod reading;
mod revocations;
mod segments;
mod settings;
mod signing;
mod spool;
mod store;
mod trimmed;

pub use artifacts::Compressed;
pub use claims::{Claim, ClaimKind, SegmentClaim};
pub use error::{Error, Problem};
pub use hours::Hours;
pub use journal::{Journal, made_at};
pub use leftovers::ABANDONED_AFTER;
pub use legacy::{LegacyManifest, LegacyObject, LegacyRun};
pub use parts::Part;
pub use segments::{PACKED_AFTER, Packed, Trimmed};
pub use settings::Settings;
pub use spool::FrameSpool;
pub use store::Bucket;
