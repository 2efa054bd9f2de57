//! Why a request was refused, for layers around the handler.

use axum::response::Response;

/// The message of an error, as the client reads it. It is among the extensions of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub String);

impl Reason {
    pub(crate) fn add_to(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }
}
