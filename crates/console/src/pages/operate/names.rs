//! The names of tokens.

use std::collections::HashMap;
use std::time::Duration;

use api::Error;
use directory::queries::tokens;
use operator::history::read_history;
use schemas::TokenId;
use tokio::time::timeout;

use crate::operate::OperatorState;

/// How long the journal is read for the names of tokens that were revoked.
const PATIENCE: Duration = Duration::from_secs(3);

/// The names of these tokens. PostgreSQL forgets those that were revoked, and the journal does not. Keys of Datacoves are in neither.
pub(super) async fn names_of(state: &OperatorState, wanted: &[TokenId]) -> Result<HashMap<TokenId, String>, Error> {
    let mut names = HashMap::new();
    for token in tokens(&mut *state.connection().await?, None).await? {
        let id = TokenId(token.id);
        if wanted.contains(&id) {
            names.insert(id, super::tokens::name_of(&token).to_owned());
        }
    }
    let others: Vec<TokenId> = wanted.iter().copied().filter(|id| !names.contains_key(id)).collect();
    if others.iter().any(|id| !state.names.lock().contains_key(id)) {
        read_names(state, &others).await;
    }
    let known = state.names.lock();
    names.extend(others.iter().filter_map(|id| Some((*id, known.get(id)?.clone()?))));
    Ok(names)
}

/// Reads names in the journal, once for each token.
async fn read_names(state: &OperatorState, wanted: &[TokenId]) {
    match timeout(PATIENCE, read_history(&state.operations.operator.bucket)).await {
        Ok(Ok(history)) => {
            let name = |id: &TokenId| Some(history.token(*id)?.issued.name().to_owned());
            state.names.lock().extend(wanted.iter().map(|id| (*id, name(id))));
        }
        Ok(Err(error)) => tracing::warn!(%error, "the names of revoked tokens cannot be read"),
        Err(_) => tracing::warn!("reading the names of revoked tokens takes too long"),
    }
}
