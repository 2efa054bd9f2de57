//! What the handlers share.

use std::sync::Arc;

use bucket::{Bucket, DeletedTokens};
use clock::Clock;
use discovery::Discovery;
use edge::{RateLimit, Shield, Signer, Verifier};
use service::Reads;
use tokio::sync::OnceCell;

use crate::content_memory::ContentMemory;
use crate::token_use::TokenUse;
use crate::trimmed_manifests::TrimmedManifests;

/// The state that the handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections under the role `dbt_api_reader`, with the read model's search path.
    pub reads: Reads,
    /// The bucket that holds the artifacts.
    pub bucket: Bucket,
    /// The tokens that were deleted, also while PostgreSQL was down.
    pub deleted_tokens: DeletedTokens,
    /// The URL at which clients reach the service, without a trailing slash.
    pub public_url: String,
    /// The clock from which ages such as "3 minutes ago" are computed.
    pub clock: Clock,
    /// Signs URLs; set when its key has been read from the bucket.
    pub signer: Arc<OnceCell<Signer>>,
    /// Verifies keys that this service did not issue.
    pub verifier: Option<Verifier>,
    /// Limits how many requests read at once: each holds a connection.
    pub reading: Shield,
    /// Limits the requests of each token.
    pub rate: Arc<RateLimit>,
    /// Records when tokens were used.
    pub token_use: TokenUse,
    /// Limits the memory of file contents in answers.
    pub contents: ContentMemory,
    /// Makes trimmed manifests.
    pub trimmed_manifests: TrimmedManifests,
    /// Answers GraphQL.
    pub discovery: Discovery,
}

impl State {
    pub(crate) async fn signer(&self) -> Result<&Signer, bucket::Error> {
        let read = || async { Ok(Signer::new(&self.bucket.signing_key().await?)) };
        self.signer.get_or_try_init(read).await
    }
}
