//! Reads the form of an upload: parameters and files, in any order.

mod beginning;

use std::error::Error;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::request::Parts;
use edge::{Needed, UploadError};
use tokio::time::timeout;

use crate::Settings;
use crate::body::{ClientBody, TooLarge};
use crate::parameters::{Parameters, number_in_batch};
use crate::refused::Found;
use crate::spool::{Expected, Spool, SpoolError, Spooled};

pub(crate) use beginning::discard;
use beginning::note;

/// The maximum size of a form in bytes, not counting its files: parameters, headers and boundaries.
const MAX_AROUND_FILES: u64 = 4 << 20;

/// How many bytes of a parameter are read. The rest is ignored.
const MAX_PARAMETER_LEN: usize = 64 << 10;

/// The largest number of files in a batch. Each large file is an open file until all are stored.
const MAX_FILES: usize = 50;

/// The parameters and files of an upload.
pub(crate) struct Form {
    pub(crate) parameters: Parameters,
    /// The files in the order of the form. No two have the same part name.
    pub(crate) files: Vec<FormFile>,
}

pub(crate) struct FormFile {
    /// The name of the form part: `file` or `files[N][file]`.
    pub(crate) part: String,
    /// The file name that the client sent.
    pub(crate) filename: Option<String>,
    pub(crate) spooled: Spooled,
}

/// Returns the largest size of a form in bytes, including all of its files.
pub(crate) fn largest(settings: &Settings) -> u64 {
    settings.max_upload_bytes + MAX_AROUND_FILES
}

impl Form {
    /// Reads a whole form. Only `file` is read if an artifact is expected; other forms may have batches of files.
    pub(crate) async fn read(
        head: &Parts,
        body: &ClientBody,
        settings: &Settings,
        expected: Expected,
    ) -> Result<Self, UploadError> {
        let reading = async {
            let mut request = Request::from_parts(head.clone(), body.chunks());
            // `body` has its own limits.
            DefaultBodyLimit::disable().apply(&mut request);
            let form = Multipart::from_request(request, &()).await;
            let form = form.map_err(|_| no_file("send it as multipart/form-data"))?;
            Reader {
                body,
                settings,
                expected,
                found: Found::of(head),
            }
            .read(form)
            .await
        };
        timeout(settings.upload_timeout, reading)
            .await
            .unwrap_or_else(|_| Err(UploadError::timeout()))
    }

    /// Returns the form, or an error if it has no file.
    pub(crate) fn with_files(self) -> Result<Self, UploadError> {
        if self.files.is_empty() {
            return Err(no_file("the form has no part with this name"));
        }
        Ok(self)
    }

    /// Returns the parameters and the only file of the form, or an error if it does not have exactly one file.
    pub(crate) fn into_file(self) -> Result<(Parameters, FormFile), UploadError> {
        let Self { parameters, mut files } = self.with_files()?;
        let count = files.len();
        let file = files.pop().filter(|_| count == 1);
        let file = file.ok_or_else(|| not_one_file(count))?;
        Ok((parameters, file))
    }
}

struct Reader<'a> {
    body: &'a ClientBody,
    settings: &'a Settings,
    expected: Expected,
    found: Found,
}

impl Reader<'_> {
    async fn read(&self, mut form: Multipart) -> Result<Form, UploadError> {
        let mut parameters = Parameters::default();
        let mut files: Vec<FormFile> = Vec::new();
        while let Some(mut field) = self.in_time(form.next_field()).await? {
            let name = field.name().unwrap_or_default().to_owned();
            if !self.is_file(&name) {
                let value = self.parameter(&mut field).await?;
                note(&self.found, &name, &value);
                parameters.set(&name, &value)?;
                continue;
            }
            if let Some(filename) = field.file_name() {
                self.found.note_own_name(filename);
            }
            if files.iter().any(|file| file.part == name) {
                let rule = "was sent twice; send one file per name";
                return Err(UploadError::unprocessable(name, rule));
            }
            if files.len() == MAX_FILES {
                let rule = format!("expected at most {MAX_FILES} files, got more; send several batches");
                return Err(UploadError::unprocessable("files", rule));
            }
            files.push(FormFile {
                filename: field.file_name().map(str::to_owned),
                spooled: self.spool(&mut field, &name).await?,
                part: name,
            });
        }
        Ok(Form { parameters, files })
    }

    fn is_file(&self, name: &str) -> bool {
        name == "file" || (self.expected == Expected::AnyFile && number_in_batch(name, "file").is_some())
    }

    async fn spool(&self, field: &mut Field<'_>, name: &str) -> Result<Spooled, UploadError> {
        let spool = Spool::begin(self.settings.spool_dir.clone(), self.expected);
        let mut size = 0;
        while let Some(chunk) = self.in_time(field.chunk()).await? {
            size += chunk.len() as u64;
            if size > self.settings.max_upload_bytes {
                return Err(UploadError::too_large(self.settings.max_upload_bytes));
            }
            if !spool.push(chunk).await {
                break;
            }
        }
        spool.finish().await.map_err(|error| match error {
            SpoolError::Scan(reason) => UploadError::unprocessable(name.to_owned(), reason.to_string()),
            SpoolError::Disk(_) => UploadError::unavailable(Needed::Disk, &error),
            SpoolError::Thread(_) => UploadError::internal(&error),
        })
    }

    /// Reads a parameter, up to a length that is always too long.
    async fn parameter(&self, field: &mut Field<'_>) -> Result<Vec<u8>, UploadError> {
        let mut value = Vec::new();
        while let Some(chunk) = self.in_time(field.chunk()).await? {
            let room = MAX_PARAMETER_LEN - value.len();
            value.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(value)
    }

    /// Waits for the next part or chunk, and fails if the client stops sending.
    async fn in_time<T>(&self, next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, UploadError> {
        let next = timeout(self.settings.idle_timeout, next)
            .await
            .map_err(|_| UploadError::timeout())?;
        self.body.made_progress();
        next.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &MultipartError) -> UploadError {
        let mut causes = std::iter::successors(error.source(), |&error| error.source());
        match causes.find_map(|cause| cause.downcast_ref()) {
            Some(TooLarge::Body) => UploadError::too_large(self.settings.max_upload_bytes),
            Some(between @ TooLarge::BetweenParts) => UploadError::bad_request(between.to_string()),
            None => UploadError::bad_request(format!("the form is broken or incomplete: {}", error.body_text())),
        }
    }
}

/// The error for a form with `count` files on a route that takes one.
pub(crate) fn not_one_file(count: usize) -> UploadError {
    UploadError::unprocessable("file", format!("expected one file, got {count}"))
}

fn no_file(reason: &str) -> UploadError {
    UploadError::unprocessable("file", format!("can't be blank: {reason}"))
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use schemas::{ArtifactKind, Sha256};

    use super::*;
    use crate::hostile::read_body as read;

    pub(super) const MANIFEST: &str = r#"{"metadata":{},"nodes":{},"macros":{}}"#;

    /// Encodes a form with these parts, as curl and requests do.
    pub(super) fn form(parts: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for (name, content) in parts {
            let file = if *name == "file" { r#"; filename="file""# } else { "" };
            text += &format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n");
        }
        text + "--b0--\r\n"
    }

    async fn read_text(text: String) -> Result<Form, UploadError> {
        read(Body::from(text), &Settings::default()).await?.with_files()
    }

    /// Returns the status and the body of a refusal.
    async fn refusal(result: Result<Form, UploadError>) -> (StatusCode, String) {
        let error = result.err().expect("the form is refused");
        let status = error.status();
        let body = axum::body::to_bytes(error.into_response().into_body(), 10_000)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn parts_may_come_in_any_order_and_in_any_chunks() {
        let parts = [
            ("run_id", "r-1"),
            ("file", MANIFEST),
            ("unknown", "x"),
            ("environment_slug", "dev123"),
            ("tag", ""),
        ];
        for (turn, chunk) in [(0, 1), (2, 5), (3, 1000)] {
            let mut parts = parts;
            parts.rotate_left(turn);
            let chunks: Vec<_> = form(&parts)
                .into_bytes()
                .chunks(chunk)
                .map(Bytes::copy_from_slice)
                .collect();
            let body = Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)));
            let form = read(body, &Settings::default()).await.unwrap();
            let (parameters, file) = form.into_file().unwrap();
            assert_eq!(file.spooled.sha256, Sha256::of(MANIFEST.as_bytes()));
            assert_eq!(file.spooled.scanned.kind, ArtifactKind::Manifest);
            let values = ["environment_slug", "run_id", "tag"].map(|name| parameters.text(name));
            assert_eq!(values, [Some("dev123".to_owned()), Some("r-1".to_owned()), None]);
        }
    }

    #[tokio::test]
    async fn errors_name_the_field_and_the_problem() {
        let long = "x".repeat(1001);
        let huge = "x".repeat(200_000);
        let whole = form(&[("file", MANIFEST)]);
        for (text, status, message) in [
            (form(&[("run_id", "r")]), 422, r#"{"errors":{"file":["can't be blank"#),
            (
                form(&[("file", MANIFEST), ("file", MANIFEST)]),
                422,
                r#"{"errors":{"file":["was sent twice"#,
            ),
            (form(&[("file", "")]), 422, r#"{"errors":{"file":["the file is empty"#),
            (
                form(&[("file", "nodes: []")]),
                422,
                r#"{"errors":{"file":["the file is not JSON"#,
            ),
            (
                form(&[("file", "{\"nodes\":{")]),
                422,
                r#"{"errors":{"file":["the file is truncated"#,
            ),
            (
                form(&[("file", "{\"a\":1}")]),
                422,
                r#"{"errors":{"file":["the file is not an artifact"#,
            ),
            (
                form(&[("dag_id", &long), ("file", MANIFEST)]),
                422,
                r#"{"errors":{"dag_id":["expected at most 1000 characters, got 1001"#,
            ),
            (
                form(&[("dag_id", &huge), ("file", MANIFEST)]),
                422,
                r#"{"errors":{"dag_id":["expected at most 1000 characters, got 65536"#,
            ),
            (
                whole[..whole.len() - 6].to_owned(),
                400,
                r#"{"errors":{"message":"the form is broken or incomplete"#,
            ),
            (
                "no form".to_owned(),
                400,
                r#"{"errors":{"message":"the form is broken or incomplete"#,
            ),
        ] {
            let (got, body) = refusal(read_text(text).await).await;
            assert_eq!(got, status, "{body}");
            assert!(body.starts_with(message), "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_a_form_has_no_file() {
        let request = Request::post("/").header("content-type", "application/json");
        let (head, body) = request.body(Body::from(MANIFEST)).unwrap().into_parts();
        let settings = Settings::default();
        let (status, body) =
            refusal(Form::read(&head, &ClientBody::new(body, 1000), &settings, Expected::Artifact).await).await;
        assert_eq!(status, 422);
        assert!(body.contains("multipart/form-data"), "{body}");
    }

    #[tokio::test]
    async fn a_file_may_be_as_large_as_the_settings_allow_and_no_larger() {
        let settings = |max_upload_bytes| Settings {
            max_upload_bytes,
            ..Settings::default()
        };
        let body = || Body::from(form(&[("file", MANIFEST)]));
        assert!(read(body(), &settings(MANIFEST.len() as u64)).await.is_ok());
        let (status, body) = refusal(read(body(), &settings(MANIFEST.len() as u64 - 1)).await).await;
        assert_eq!(status, 413);
        assert!(
            body.starts_with(r#"{"errors":{"message":"the file is larger than 37 bytes"#),
            "{body}"
        );
    }

    /// Returns an endless body whose chunks are always ready, and a counter of the chunks that were read.
    fn endless(first: String) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let rest = stream::repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Bytes::from_static(&[b' '; 64 << 10])
        });
        let chunks = stream::iter([Bytes::from(first)])
            .chain(rest)
            .map(Ok::<_, std::io::Error>);
        (Body::from_stream(chunks), taken)
    }

    #[tokio::test]
    async fn an_endless_body_is_not_read_beyond_the_limit() {
        let head = |name: &str| format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        let settings = Settings {
            max_upload_bytes: 3 << 20,
            ..Settings::default()
        };
        for (first, status, limit) in [
            (head("file"), 413, 3 << 20),
            (head("other"), 413, largest(&settings)),
            ("preamble".to_owned(), 400, 1 << 20),
            ("--b0\r\nX: ".to_owned(), 400, 1 << 20),
        ] {
            let (body, taken) = endless(first.clone());
            let (got, text) = refusal(read(body, &settings).await).await;
            assert_eq!(got, status, "{first}: {text}");
            assert!(taken.load(Ordering::Relaxed) as u64 <= (limit >> 16) + 1, "{first}");
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_times_out() {
        let begun = form(&[("file", MANIFEST)])[..80].to_owned();
        let chunks = stream::iter([Ok::<_, std::io::Error>(begun)]).chain(stream::pending());
        let settings = Settings {
            idle_timeout: Duration::from_millis(50),
            ..Settings::default()
        };
        let (status, _) = refusal(read(Body::from_stream(chunks), &settings).await).await;
        assert_eq!(status, 408);
    }

    #[tokio::test]
    async fn a_client_that_sends_too_slowly_times_out() {
        let begun = stream::iter([Bytes::from(form(&[("file", MANIFEST)])[..80].to_owned())]);
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Bytes::from_static(b" "), ()))
        });
        let chunks = begun.chain(drops).map(Ok::<_, std::io::Error>);
        let settings = Settings {
            upload_timeout: Duration::from_millis(200),
            ..Settings::default()
        };
        let (status, _) = refusal(read(Body::from_stream(chunks), &settings).await).await;
        assert_eq!(status, 408);
    }

    #[tokio::test]
    async fn a_client_that_disconnects_gets_400_and_not_408() {
        let begun = form(&[("file", MANIFEST)])[..80].to_owned();
        let broken = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let chunks = stream::iter([Ok(begun), broken]);
        let (status, _) = refusal(read(Body::from_stream(chunks), &Settings::default()).await).await;
        assert_eq!(status, 400);
    }
}
