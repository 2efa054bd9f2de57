//! The data of events about operators, who belong to no account.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, EventId, Sha256, TokenId};

/// The data of `token.issued.v2`: a token for operators was created. It belongs to no account. A later event about the same token lets it
/// expire earlier: of all `expires_at`, the earliest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorTokenIssued {
    /// The id of the token.
    pub token_id: TokenId,
    /// The display name.
    pub name: String,
    /// The hash of the key, which is a prefix followed by 256 random bits.
    pub key_sha256: Sha256,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
}

/// The data of `token.revoked.v2`: a token for operators was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorTokenRevoked {
    /// The id of the token.
    pub token_id: TokenId,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAction {
    /// Created this token. The event of the token itself follows.
    TokenIssued(TokenId),
    /// Revoked this token. The event of the token itself follows.
    TokenRevoked(TokenId),
    /// Had this event applied again, which could not be applied before.
    DeadLetterRetried(EventId),
    /// Dropped this event, which could not be applied: it is not tried again.
    DeadLetterDropped(EventId),
}

/// The data of `operator.acted.v1`: an operator did something in the console. Whoever applies the event also retries or drops the dead
/// letter that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorActed {
    /// The token that was used.
    pub operator: TokenId,
    /// The account that it concerns. It is absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// What was done.
    pub action: OperatorAction,
}
