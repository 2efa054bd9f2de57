//! What must hold for every form and every zip, whoever sent it. Property tests and fuzz targets check it; the service does not contain it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check that cannot be made has failed"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path};
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use edge::UploadError;
use futures_util::stream;
use schemas::Sha256;
use tokio::runtime::Runtime;

use crate::Settings;
use crate::archive::{ArchiveError, MAX_FILES, unpack};
use crate::body::ClientBody;
use crate::form::{Form, largest};
use crate::parameters::Parameters;
use crate::spool::Expected;
use crate::store::NamedFile;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// How long reading a small form may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The limit for unpacking a zip, in bytes.
pub(crate) const MAX_BYTES: u64 = 10_000;

/// The contents of a form that was read: its parameters, and its file's hash and size.
pub(crate) type Contents = (Parameters, Sha256, u64);

/// Checks a form, whose boundary is `b0`. The first byte says into pieces of which size it is cut.
pub fn form(bytes: &[u8]) {
    let Some((size, text)) = bytes.split_first() else {
        return;
    };
    form_in_pieces(text, text.chunks(1 + usize::from(*size)));
}

/// Checks that a form gives the same in one piece and in these.
pub(crate) fn form_in_pieces<'a>(text: &'a [u8], pieces: impl Iterator<Item = &'a [u8]>) {
    match (read(std::iter::once(text)), read(pieces)) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        // If two things are wrong, which of them is found first depends on the pieces.
        (Err(whole), Err(cut)) => assert!(
            (400..500).contains(&whole) && (400..500).contains(&cut),
            "whole: {whole}, cut: {cut}"
        ),
        (whole, cut) => panic!("whole: {whole:?}, cut: {cut:?}"),
    }
}

/// Returns the contents of a form, or the status of the refusal.
pub(crate) fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Contents, u16> {
    let pieces: Vec<_> = pieces
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let settings = Settings::default();
    let reading = read_body(Body::from_stream(stream::iter(pieces)), &settings);
    let form = RUNTIME.block_on(async { tokio::time::timeout(PATIENCE, reading).await });
    match form.expect("reading a form hangs").and_then(Form::into_file) {
        Ok((parameters, file)) => Ok((parameters, file.spooled.sha256, file.spooled.size)),
        Err(error) => Err(error.status().as_u16()),
    }
}

/// Reads the form of an artifact, whose boundary is `b0`.
pub(crate) async fn read_body(body: Body, settings: &Settings) -> Result<Form, UploadError> {
    let request = Request::post("/").header("content-type", "multipart/form-data; boundary=b0");
    let (head, body) = request.body(body).unwrap().into_parts();
    Form::read(
        &head,
        &ClientBody::new(body, largest(settings)),
        settings,
        Expected::Artifact,
    )
    .await
}

/// Checks a zip.
pub fn zip(bytes: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    // What is wrong with a zip does not matter here.
    unpacked(file).ok();
}

/// Unpacks a zip, and checks the files.
pub(crate) fn unpacked(zip: File) -> Result<Vec<NamedFile>, ArchiveError> {
    let unpacking = RUNTIME.spawn_blocking(move || unpack(zip, None, MAX_BYTES));
    let files = RUNTIME.block_on(unpacking).unwrap()?.files;
    let names: BTreeSet<&str> = files.iter().map(|file| file.uploaded.name.as_str()).collect();
    assert_eq!(names.len(), files.len());
    assert!(!files.is_empty() && files.len() <= MAX_FILES);
    for name in names {
        for part in name.split('/') {
            let parts: Vec<Component<'_>> = Path::new(part).components().collect();
            assert_eq!(parts, [Component::Normal(part.as_ref())]);
        }
        assert!(!name.contains(|letter: char| letter == '\\' || letter == ':' || letter.is_control()));
    }
    assert!(files.iter().map(|file| file.uploaded.size).sum::<u64>() <= MAX_BYTES);
    Ok(files)
}
