//! The content of a file inside of a JSON answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use edge::{CloudError, hold_until_sent};
use futures_util::stream;
use read_model::queries::RunFile;
use schemas::{AccountId, ArtifactText, Trimmer};
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::State;
use crate::download::Extent;
use crate::error::Error;

/// The largest file whose content is put into an answer, in bytes: it is held in memory for it. Larger ones are downloaded.
const LARGEST: i64 = 32 << 20;

/// How much memory a content takes at its worst while it is made, in sizes of its file: its bytes, twice where its JSON may be mended, and
/// the text, in which a control character takes six bytes.
const WHILE_MADE: i64 = 8;

/// How many MiB of contents are held at once; others wait.
const MEMORY_MIB: usize = 512;

/// How long one waits for those that are held.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What bounds the memory of contents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ContentMemory(Arc<Semaphore>);

impl Default for ContentMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY_MIB)))
    }
}

impl ContentMemory {
    /// The right to hold so many bytes until an answer is sent; of more than there are, to all.
    pub(crate) async fn admit(&self, bytes: i64) -> Result<OwnedSemaphorePermit, CloudError> {
        let permits = mib(bytes).min(MEMORY_MIB);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let admitted = timeout(MAX_WAIT, Arc::clone(&self.0).acquire_many_owned(permits)).await;
        admitted.ok().and_then(Result::ok).ok_or_else(CloudError::busy)
    }
}

fn mib(bytes: i64) -> usize {
    usize::try_from(bytes >> 20).unwrap_or_default().saturating_add(1)
}

/// A file whose content is asked for.
pub(crate) struct Content {
    pub(crate) account: AccountId,
    pub(crate) file: RunFile,
    pub(crate) filename: String,
    pub(crate) extent: Extent,
}

/// Answers with `about`, which is an object, and in it the content of the file as `contents`: within `around`, whose `%` it replaces.
///
/// A JSON file's content is the value; text is a string; of anything else, and of what is too large, it is null.
pub(crate) async fn answer(
    state: &State,
    content: Content,
    about: &impl Serialize,
    around: (&'static str, &'static str),
) -> Result<Response, Error> {
    let about = serde_json::to_string(about).map_err(|error| Error::unreadable(&error))?;
    let Some(open) = about.strip_suffix('}') else {
        return Err(Error::unreadable(&"what is told of a file is no object"));
    };
    let begin = format!("{}{open},\"contents\":", around.0);
    let (text, memory) = text_of(state, content).await?;
    let end = format!("}}{}", around.1);
    // Three pieces, since a copy of the content is dear.
    let pieces = [begin, text, end].map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece)));
    let response = (
        [(CONTENT_TYPE, "application/json")],
        Body::from_stream(stream::iter(pieces)),
    )
        .into_response();
    Ok(match memory {
        Some(memory) => hold_until_sent(response, memory),
        None => response,
    })
}

/// The text, and the right to the memory that it takes.
async fn text_of(state: &State, content: Content) -> Result<(String, Option<OwnedSemaphorePermit>), Error> {
    let size = content.file.size;
    if size > LARGEST {
        return Ok(("null".to_owned(), None));
    }
    let memory = state.contents.admit(size * WHILE_MADE).await?;
    let bytes_due = u64::try_from(size).unwrap_or_default();
    let bytes = state
        .bucket
        .read_artifact(content.account, content.file.sha256, bytes_due)
        .await?;
    // The right goes along, since the work goes on when its client leaves.
    let making = tokio::task::spawn_blocking(move || (json_of(bytes, &content.filename, content.extent), memory));
    let (text, mut memory) = making.await.map_err(|panic| Error::unreadable(&panic))?;
    // The rest is for others, however slowly the client reads.
    let held = mib(i64::try_from(text.capacity()).unwrap_or(i64::MAX));
    drop(memory.split(memory.num_permits().saturating_sub(held)));
    Ok((text, Some(memory)))
}

/// The content as JSON.
fn json_of(mut bytes: Vec<u8>, filename: &str, extent: Extent) -> String {
    if extent == Extent::Trimmed {
        let (mut trimmer, mut kept) = (Trimmer::new(), Vec::new());
        trimmer.push(&bytes, &mut kept);
        trimmer.finish(&mut kept);
        bytes = kept;
    }
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let may_be_json = filename.ends_with(".json") || matches!(first, Some(b'{' | b'['));
    match String::from_utf8(bytes) {
        Ok(text) if may_be_json && serde_json::from_str::<IgnoredAny>(&text).is_ok() => text,
        Ok(text) if may_be_json => match ArtifactText::read(text.clone().into_bytes()) {
            Ok(mended) => mended.into_text(),
            Err(_) => serde_json::Value::from(text).to_string(),
        },
        Ok(text) => serde_json::Value::from(text).to_string(),
        Err(error) if may_be_json => match ArtifactText::read(error.into_bytes()) {
            Ok(mended) => mended.into_text(),
            Err(_) => "null".to_owned(),
        },
        Err(_) => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_json_whatever_the_file_is() {
        for (bytes, name, due) in [
            (br#" {"a": 1}"#.as_slice(), "a.json", r#" {"a": 1}"#),
            (b"[1,2]", "file", "[1,2]"),
            (b"12", "n.json", "12"),
            (b"12", "n.txt", r#""12""#),
            (b"{\"a\": NaN}", "a.json", "{\"a\": null}"),
            (b"{not json", "a.json", r#""{not json""#),
            (b"two\nlines \"x\"", "a.log", r#""two\nlines \"x\"""#),
            (b"", "empty", r#""""#),
            (b"\xff\xfe\x00", "partial_parse.msgpack", "null"),
            (b"\x80{", "a.json", "null"),
        ] {
            let json = json_of(bytes.to_vec(), name, Extent::Whole);
            assert_eq!(json, due, "{name}");
            assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok());
        }
        let trimmed = json_of(br#"{"macros":{},"nodes":{"a":1}}"#.to_vec(), "file", Extent::Trimmed);
        assert_eq!(trimmed, r#"{"nodes":{"a":1}}"#);
    }
}
