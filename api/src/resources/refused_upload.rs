//! Uploads that were refused.

use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An upload that was refused. Texts that clients sent are shortened, and characters that cannot be printed are escaped.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusedUpload {
    /// When it was answered, in RFC 3339 with microseconds.
    #[schema(format = DateTime)]
    pub(crate) refused_at: String,
    /// The HTTP status of the answer.
    status: u16,
    /// The message of the answer.
    reason: String,
    account_id: i64,
    token_id: Uuid,
    /// Null for a token of Datacoves.
    token_name: Option<String>,
    /// `active`, `deleted`, `expired`, or `inactive` because its account was retired.
    token_state: &'static str,
    /// The environment that the client named, by its slug or number.
    environment: Option<String>,
    /// The number of this environment, retired or not, or else of the one that the token is bound to.
    environment_id: Option<i64>,
    /// The file name that the client sent.
    file: Option<String>,
    /// How many bytes of the body came.
    size: u64,
    /// The address that the request came from, which may be a proxy's.
    client: Option<String>,
    user_agent: Option<String>,
    /// The method and the route.
    route: String,
    /// The `X-Request-Id` of the answer.
    request_id: Option<String>,
}

impl RefusedUpload {
    /// Describes a record of this account.
    pub(crate) fn new(account: schemas::AccountId, record: bucket::RefusedUpload) -> Self {
        Self {
            refused_at: record.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            status: record.status,
            reason: record.reason,
            account_id: account.0,
            token_id: record.token_id.0,
            token_name: record.token_name,
            token_state: record.token_state.as_str(),
            environment: record.environment,
            environment_id: record.environment_id.map(|id| id.0),
            file: record.file,
            size: record.size,
            client: record.client,
            user_agent: record.user_agent,
            route: record.route,
            request_id: record.request_id,
        }
    }
}
