//! Counts refused uploads by token.

use std::collections::HashSet;

use bucket::RefusedUpload;
use schemas::TokenId;

/// How many tokens are counted separately, because each makes another series.
const MAX_TOKENS: usize = 200;

/// The tokens that are counted separately since the start.
#[derive(Debug, Default)]
pub(super) struct Counter(HashSet<TokenId>);

impl Counter {
    /// Counts a refused upload. These series cannot begin with 0, since nobody knows which tokens there will be.
    pub(super) fn count(&mut self, record: &RefusedUpload) {
        let is_known = self.0.contains(&record.token_id);
        let (account, token) = if is_known || self.0.len() < MAX_TOKENS {
            self.0.insert(record.token_id);
            let account = record.account_id.map(|id| id.to_string());
            (account.unwrap_or_default(), record.token_id.to_string())
        } else {
            ("other".to_owned(), "other".to_owned())
        };
        let status = record.status.to_string();
        metrics::counter!("dbt_api_refused_uploads_total", "status" => status, "account" => account, "token" => token)
            .increment(1);
    }
}
