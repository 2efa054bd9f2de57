#![doc = include_str!("../README.md")]

mod artifacts;
mod claims;
mod counted;
mod decompress;
mod deleted_tokens;
mod error;
mod hours;
mod journal;
mod leftovers;
mod legacy;
mod open;
mod parts;
mod reading;
mod refused;
mod revocations;
mod segments;
mod settings;
mod signing;
mod spool;
mod store;
mod trimmed;

pub use artifacts::Compressed;
pub use claims::{Claim, ClaimKind, SegmentClaim};
pub use counted::Counted;
pub use deleted_tokens::DeletedTokens;
pub use error::{Error, Problem};
pub use hours::Hours;
pub use journal::{Journal, made_at};
pub use leftovers::ABANDONED_AFTER;
pub use legacy::{LegacyManifest, LegacyObject, LegacyRun};
pub use parts::Part;
pub use refused::{REFUSED_KEPT_FOR, RefusedObject, RefusedOfHour, RefusedUpload};
pub use segments::{PACKED_AFTER, Packed, Trimmed};
pub use settings::{AzureCredentials, S3Credentials, Settings};
pub use spool::FrameSpool;
pub use store::Bucket;
