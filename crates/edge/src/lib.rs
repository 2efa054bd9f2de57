#![doc = include_str!("../README.md")]

mod auth;
mod causes;
mod cloud_error;
mod envelope;
mod file;
mod headers;
mod layers;
mod older;
mod outage;
mod path;
mod query;
mod queue;
mod rate;
mod reason;
mod request_metrics;
mod shield;
mod signed;
mod unserved;
mod upload_error;
mod verifier;

pub use auth::key_of;
pub use causes::{Cause, Causes};
pub use cloud_error::CloudError;
pub use envelope::{One, Status, one};
pub use file::{FileFacts, FileMetadata, FileOwner};
pub use headers::{OLDER_UPLOAD_PREFIX, UPLOAD_PREFIX, guard, is_upload_path};
pub use layers::{RequestId, loggable, observe, panics_as_cloud_error};
pub use older::older;
pub use outage::Outage;
pub use path::absorb_slashes;
pub use query::{Given, InvalidParam, List, Query, TimeRange, UploadQuery, read_query};
pub use queue::Queue;
pub use rate::{RateLimit, TooMany};
pub use reason::Reason;
pub use shield::{Shield, hold_until_sent, shield};
pub use signed::{NotPermitted, Signer};
pub use unserved::{Unserved, method_not_allowed, not_found};
pub use upload_error::{Needed, UploadError};
pub use verifier::{Purpose, Silent, Verifier, VerifierSettings};

/// Shows counters with 0 before anything is counted, because an alert on a rate does not see a counter that begins with 1.
pub fn declare_metrics() {
    request_metrics::declare();
    metrics::counter!("dbt_api_rate_limited_total").increment(0);
    for result in verifier::RESULTS {
        metrics::counter!("dbt_api_verifications_total", "result" => result).increment(0);
    }
}
