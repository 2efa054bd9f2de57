//! Sends files to clients, as they were uploaded or trimmed.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use read_model::queries::artifacts::RunFile;
use schemas::AccountId;

use crate::error::Error;
use crate::state::State;

/// How much of a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The whole file, byte for byte.
    Whole,
    /// Only `metadata` and `nodes` of a manifest.
    Trimmed,
}

/// A file to send.
pub(crate) struct Download {
    pub(crate) account: AccountId,
    pub(crate) file: RunFile,
    pub(crate) extent: Extent,
    pub(crate) content_type: &'static str,
}

/// Chooses the content type by file name.
pub(crate) fn content_type(name: &str) -> &'static str {
    if name.ends_with(".json") {
        "application/json"
    } else if name.ends_with(".log") {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

impl Download {
    /// Sends the file. Clients that accept zstd get the stored bytes, which costs no work.
    pub(crate) async fn send(&self, state: &State, headers: &HeaderMap) -> Result<Response, Error> {
        let etag = self.etag();
        if has_already(headers, &etag) {
            return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
        }
        if self.extent == Extent::Trimmed {
            state
                .trimmed_manifests
                .make(&state.bucket, self.account, self.file.sha256)
                .await?;
        }
        let mut response = if takes_zstd(headers) {
            let (size, frames) = match self.extent {
                Extent::Whole => state.bucket.open_compressed(self.account, self.file.sha256).await?,
                Extent::Trimmed => {
                    state
                        .bucket
                        .open_trimmed_compressed(self.account, self.file.sha256)
                        .await?
                }
            };
            let headers = [
                (CONTENT_ENCODING, "zstd".to_owned()),
                (CONTENT_LENGTH, size.to_string()),
            ];
            (headers, Body::from_stream(frames)).into_response()
        } else if self.extent == Extent::Whole {
            let content = state.bucket.open_artifact(self.account, self.file.sha256).await?;
            (
                [(CONTENT_LENGTH, self.file.size.to_string())],
                Body::from_stream(content),
            )
                .into_response()
        } else {
            let content = state.bucket.open_trimmed(self.account, self.file.sha256).await?;
            Body::from_stream(content).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(ETAG, etag);
        }
        Ok(response)
    }

    fn etag(&self) -> String {
        match self.extent {
            Extent::Whole => format!("\"{}\"", self.file.sha256),
            Extent::Trimmed => format!("\"{}-trimmed\"", self.file.sha256),
        }
    }
}

/// Returns whether the client accepts zstd. The compression layer handles the other codings.
fn takes_zstd(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality
            .trim()
            .strip_prefix("q=")
            .and_then(|quality| quality.parse().ok());
        name.trim().eq_ignore_ascii_case("zstd") && quality.unwrap_or(1.0) > 0.0
    })
}

/// Returns whether the client already has this content, by naming its tag or `*`.
pub(crate) fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    names(headers, etag) || known(headers).any(|known| known == "*")
}

/// Returns whether the client's `If-None-Match` lists this tag, weak or strong.
pub(crate) fn names(headers: &HeaderMap, etag: &str) -> bool {
    known(headers).any(|known| known.trim_start_matches("W/") == etag)
}

fn known(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_lists_what_the_client_has() {
        let has = |value: &'static str| {
            has_already(
                &HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]),
                "\"ab\"",
            )
        };
        assert!(has("\"ab\""));
        assert!(has("\"cd\", W/\"ab\""));
        assert!(has("*"));
        assert!(!has("\"abc\""));
        assert!(!has_already(&HeaderMap::new(), "\"ab\""));
    }

    #[test]
    fn zstd_is_sent_only_to_clients_that_accept_it() {
        let takes =
            |value: &'static str| takes_zstd(&HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]));
        assert!(takes("gzip, deflate, zstd"));
        assert!(takes("zstd;q=0.5"));
        assert!(!takes("gzip, zstd;q=0"));
        assert!(!takes("gzip"));
        assert!(!takes_zstd(&HeaderMap::new()));
    }
}
