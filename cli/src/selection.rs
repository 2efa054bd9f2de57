//! Which events operators mean.

use anyhow::ensure;
use bucket::Bucket;
use clock::Clock;
use directory::IdOrSlug;
use operator::history::{environment_named, read_history, require_account};
use projector::Selection;

use crate::args::SelectionArguments;

/// Converts the arguments into a selection. Ages are relative to now. Fails if the account or the environment is not in the journal.
pub(crate) async fn selection_of(bucket: &Bucket, arguments: &SelectionArguments) -> anyhow::Result<Selection> {
    let now = Clock::System.now();
    let mut selection = Selection {
        account: arguments.account,
        environment: None,
        kind: arguments.kind.clone(),
        from: arguments.from.map(|moment| moment.before(now)),
        to: arguments.to.map(|moment| moment.before(now)),
    };
    if let Some(IdOrSlug::Slug(slug)) = &arguments.environment {
        ensure!(
            arguments.account.is_some(),
            "`--environment {slug}` needs --account, because each account may have an environment with this slug"
        );
    }
    if arguments.account.is_some() || arguments.environment.is_some() {
        let history = read_history(bucket).await?;
        if let Some(account) = arguments.account {
            require_account(&history, account)?;
        }
        if let Some(name) = &arguments.environment {
            selection.environment = Some(environment_named(&history, arguments.account, name)?);
        }
    }
    Ok(selection)
}
