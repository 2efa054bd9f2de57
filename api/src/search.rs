//! Searches the nodes of an environment, for the REST API and for the console.

use discovery::{Defined, Discovery, Found, Wanted};
use edge::CloudError;
use schemas::EnvironmentId;

use crate::error::Error;
use crate::view::View;

/// Searches the names, tags, columns and descriptions of the nodes that an environment defines now.
///
/// # Errors
/// If the environment does not exist or is not visible, or if a query fails.
pub async fn search(
    view: &mut View,
    discovery: &Discovery,
    environment: EnvironmentId,
    wanted: &Wanted<'_>,
) -> Result<(Defined, Found), Error> {
    let account = view.account();
    let defined = discovery.defined(view.connection(), account, environment).await?;
    let defined = defined.ok_or_else(CloudError::not_found)?;
    let found = discovery.search(view.connection(), &defined, wanted).await?;
    Ok((defined, found))
}
