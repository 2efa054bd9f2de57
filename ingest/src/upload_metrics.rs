//! Counts uploads.

use axum::http::StatusCode;
use metrics::Counter;
use schemas::ArtifactKind;

/// The kind of an upload whose content was not recognized.
pub(crate) const NONE: &str = "none";

/// The kind of a zip that dbt sends.
pub(crate) const ZIP: &str = "zip";

/// The kind of a file that is stored under a name.
pub(crate) const FILE: &str = "file";

/// The statuses of uploads that were refused.
const REFUSED: [u16; 10] = [400, 401, 403, 404, 408, 413, 422, 429, 500, 503];

/// Shows the counters with 0 before the first upload, because an alert on a rate does not see a counter that begins with 1.
pub(crate) fn declare() {
    for kind in ArtifactKind::NAMED {
        uploads(kind.as_str(), 201).increment(0);
    }
    for (kind, accepted) in [(NONE, &[][..]), (ZIP, &[200]), (FILE, &[200, 201, 204])] {
        for status in accepted.iter().chain(&REFUSED) {
            uploads(kind, *status).increment(0);
        }
    }
}

/// Counts an upload that was answered.
pub(crate) fn count(kind: &'static str, status: StatusCode) {
    uploads(kind, status.as_u16()).increment(1);
}

fn uploads(kind: &'static str, status: u16) -> Counter {
    metrics::counter!("dbt_api_uploads_total", "kind" => kind, "status" => status.to_string())
}
