//! File content embedded in JSON answers.

use artifacts::{ArtifactText, Trimmer};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use edge::hold_until_sent;
use futures_util::stream;
use read_model::queries::artifacts::RunFile;
use schemas::AccountId;
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::sync::OwnedSemaphorePermit;

use crate::content_memory::mib;
use crate::download::Extent;
use crate::error::Error;
use crate::state::State;

/// The largest file, in bytes, whose content is embedded in an answer, because it is held in memory. Clients download larger files.
const MAX_SIZE: i64 = 32 << 20;

/// The most memory that embedding a file takes, as a multiple of its size: the bytes, a second copy if the JSON needs repair, and the text,
/// in which a control character takes six bytes.
const MEMORY_FACTOR: i64 = 8;

/// The file whose content a client asked for.
pub(crate) struct Content {
    pub(crate) account: AccountId,
    pub(crate) file: RunFile,
    pub(crate) filename: String,
    pub(crate) extent: Extent,
}

/// Answers with the object `about`, to which it adds the file's content as `contents`. `around` is the JSON before and after that object.
///
/// The content of a JSON file is embedded as JSON, text as a string. Any other content, or one that is too large, is null.
pub(crate) async fn answer(
    state: &State,
    content: Content,
    about: &impl Serialize,
    around: (&'static str, &'static str),
) -> Result<Response, Error> {
    let about = serde_json::to_string(about).map_err(|error| Error::unreadable(&error))?;
    let Some(open) = about.strip_suffix('}') else {
        return Err(Error::unreadable(&"the description of a file is not a JSON object"));
    };
    let begin = format!("{}{open},\"contents\":", around.0);
    let (text, memory) = text_of(state, content).await?;
    let end = format!("}}{}", around.1);
    // Three pieces, because copying the content is expensive.
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

/// Returns the content as JSON text, with the memory reserved for it.
async fn text_of(state: &State, content: Content) -> Result<(String, Option<OwnedSemaphorePermit>), Error> {
    let size = content.file.size;
    if size > MAX_SIZE {
        return Ok(("null".to_owned(), None));
    }
    let memory = state.contents.admit(size * MEMORY_FACTOR).await?;
    let expected_size = u64::try_from(size).unwrap_or_default();
    let bytes = state
        .bucket
        .read_artifact(content.account, content.file.sha256, expected_size)
        .await?;
    // The task owns the reservation, because it continues when its client disconnects.
    let making = tokio::task::spawn_blocking(move || (json_of(bytes, &content.filename, content.extent), memory));
    let (text, mut memory) = making.await.map_err(|panic| Error::unreadable(&panic))?;
    // Releases what the text does not use, so that a slow client does not keep it from others.
    let held = mib(i64::try_from(text.capacity()).unwrap_or(i64::MAX));
    drop(memory.split(memory.num_permits().saturating_sub(held)));
    Ok((text, Some(memory)))
}

/// Turns the content into JSON.
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
            Ok(repaired) => repaired.into_text(),
            Err(_) => serde_json::Value::from(text).to_string(),
        },
        Ok(text) => serde_json::Value::from(text).to_string(),
        Err(error) if may_be_json => match ArtifactText::read(error.into_bytes()) {
            Ok(repaired) => repaired.into_text(),
            Err(_) => "null".to_owned(),
        },
        Err(_) => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_becomes_valid_json() {
        for (bytes, name, expected) in [
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
            assert_eq!(json, expected, "{name}");
            assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok());
        }
        let trimmed = json_of(br#"{"macros":{},"nodes":{"a":1}}"#.to_vec(), "file", Extent::Trimmed);
        assert_eq!(trimmed, r#"{"nodes":{"a":1}}"#);
    }
}
