//! What keys are for, for the console.

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, HeaderValue};
use directory::queries::OperatorToken;
use edge::CloudError;
use schemas::Scope;

use super::bearer::{Bearer, note_outage, operator};
use crate::error::Error;
use crate::state::State;

/// Returns the token for operators with this key, if there is one that is valid.
///
/// # Errors
/// If the token made too many requests, or the database is unavailable.
pub async fn operator_of_key(key: &str, state: &State) -> Result<Option<OperatorToken>, Error> {
    let begun = state.reads.primary().begin("SELECT").await;
    let (mut lent, _) = begun.inspect_err(|error| note_outage(error, state))?;
    let found = operator(&mut lent, key, state).await?;
    if let Some((token, use_noted)) = &found {
        state.rate.check(token.id).map_err(CloudError::from)?;
        if !use_noted {
            state.token_use.note(state.reads.primary(), token.id);
        }
    }
    Ok(found.map(|(token, _)| token))
}

/// Whether this is the key of a valid token that may read.
///
/// # Errors
/// If the token made too many requests, or what knows the token is unavailable.
pub async fn may_read(key: &str, state: &State) -> Result<bool, Error> {
    let Ok(value) = HeaderValue::try_from(format!("Bearer {key}")) else {
        return Ok(false);
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    match Bearer::authenticate(&headers, &Extensions::new(), state).await {
        Ok(bearer) => Ok(bearer.access.allows(Scope::Read)),
        Err(error) if error.is_unauthorized() => Ok(false),
        Err(error) => Err(error),
    }
}
