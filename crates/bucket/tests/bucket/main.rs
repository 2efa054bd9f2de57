//! What the bucket promises, on a local folder and on S3 over HTTP alike.

mod artifacts;
mod claims;
mod journal;
mod layout;
mod outages;
mod revocations;
mod settings;
mod stores;
