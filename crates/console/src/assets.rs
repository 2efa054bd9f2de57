//! The style and the script of the pages. Their addresses change with their content, so that browsers keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use edge::CloudError;
use schemas::Sha256;

/// A file that pages load.
pub(crate) struct Asset {
    name: String,
    kind: &'static str,
    content: &'static str,
}

pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("../assets/console.css")));

pub(crate) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/console.js"),
    )
});

pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("../assets/icon.svg")));

impl Asset {
    fn new(extension: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = Sha256::of(content.as_bytes()).to_string();
        Self {
            name: format!("console-{}.{extension}", &hash[..12]),
            kind,
            content,
        }
    }

    /// The path under which the file is served.
    pub(crate) fn address(&self) -> String {
        format!("/console/assets/{}", self.name)
    }
}

/// Sends a file.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let assets: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    match assets.into_iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.kind),
                (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (StatusCode::OK, headers, asset.content).into_response()
        }
        None => CloudError::not_found().into_response(),
    }
}
