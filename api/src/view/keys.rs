//! What keys are for, for the console.

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, HeaderValue};
use directory::queries::OperatorToken;
use directory::{hash_of_key, queries};
use edge::CloudError;
use schemas::Scope;
use service::Lent;

use super::bearer::{Bearer, note_outage};
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

/// Looks up the token for operators with this key, and whether its use was noted; none if it was deleted.
pub(super) async fn operator(
    lent: &mut Lent,
    key: &str,
    state: &State,
) -> Result<Option<(OperatorToken, bool)>, Error> {
    let found = queries::operator_by_key(&mut **lent, hash_of_key(key)).await?;
    state.deleted_tokens.postgres_was_reached(lent.connected_at());
    match found {
        Some((token, _)) if state.deleted_tokens.contain(token.id).await? => Ok(None),
        found => Ok(found),
    }
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
