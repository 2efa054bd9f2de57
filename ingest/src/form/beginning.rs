//! What the beginning of a form says about an upload that is refused before the form is read.

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;

use crate::body::ClientBody;
use crate::refused::Found;

/// Reads and discards the rest of a refused upload for a while, as [`ClientBody::drain`] does. If it was refused before its form was read, what
/// the beginning of the form says is noted.
pub(crate) async fn discard(head: &Parts, body: ClientBody) {
    let beginning = body.drain().await;
    let request = Request::from_parts(head.clone(), beginning.into());
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return;
    };
    let found = Found::of(head);
    // The beginning may end in the middle of a part.
    while let Ok(Some(field)) = form.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        if let Some(filename) = field.file_name() {
            found.note_own_name(filename);
        } else if let Ok(value) = field.bytes().await {
            note(&found, &name, &value);
        }
    }
}

/// Notes what a refusal of this upload should say, which is not known any more when the form is refused.
pub(super) fn note(found: &Found, name: &str, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    match name {
        "environment_slug" => found.note_environment(&text),
        "filename" => found.note_file(&text),
        _ => {}
    }
}
