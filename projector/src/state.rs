//! Derives the state of an environment from the manifests and catalogs of an upload: which nodes it shows, and where their compiled code
//! and columns come from.

use read_model::{
    FileAspects, add_to_ledger, aspects_of_files, environments_of_files, lock_account, lock_placement,
    manifests_of_project, note_aspects, project_of_manifest, projects_of_environment, recompute_aspects,
    refresh_environment_nodes, retire_project, without_nul,
};
use schemas::{
    AccountId, ArtifactKind, ArtifactsUploaded, DbtProjectRetired, EnvironmentId, Event, EventId, Sha256, UploadedFile,
};
use sqlx::PgConnection;

use crate::apply::Reading;
use crate::{ApplyError, Outcome, Projector};

/// Updates the state of an environment after the files of an upload were placed, under [`lock_placement`].
pub(crate) async fn follow(
    transaction: &mut PgConnection,
    upload: &ArtifactsUploaded,
    event: EventId,
    reading: Reading,
) -> Result<(), ApplyError> {
    let (account, environment) = (upload.account_id, upload.environment_id);
    let is_state = |file: &&UploadedFile| matches!(file.kind, ArtifactKind::Manifest | ArtifactKind::Catalog);
    let files: Vec<Sha256> = upload.files.iter().filter(is_state).map(|file| file.sha256).collect();
    if files.is_empty() {
        return Ok(());
    }
    match reading {
        Reading::WhatIsNew => note_aspects(transaction, account, environment, event, &files).await?,
        Reading::Everything => {
            // Content that other environments share was also read again, and has new ids now.
            for environment in environments_of_files(transaction, account, &files).await? {
                let aspects = aspects_of_files(transaction, account, environment, &files).await?;
                recompute_aspects(transaction, account, environment, &aspects).await?;
            }
        }
    }
    let mut manifests = upload.files.iter().filter(|file| file.kind == ArtifactKind::Manifest);
    let Some(manifest) = manifests.next() else {
        return Ok(());
    };
    let projects = projects_of_environment(transaction, account, environment).await?;
    refresh_environment_nodes(transaction, account, environment, &projects).await?;
    if let Some(written) = manifest.generated_at
        && projects.iter().any(|project| project.done_at > written)
    {
        let name = project_of_manifest(transaction, account, manifest.sha256)
            .await?
            .unwrap_or_default();
        let of_it = projects.iter().find(|project| project.dbt_project == name);
        if let Some(newest) = of_it.map(|project| project.done_at).filter(|newest| *newest > written) {
            tracing::info!(
                event_id = %event, environment_id = %environment, generated_at = %written, newest_generated_at = %newest,
                "a manifest is older than the newest by its own clock: it arrived late, or the clock of its worker is slow"
            );
        }
    }
    Ok(())
}

/// Recomputes the state of an environment after files that contributed to it were removed.
pub(crate) async fn shrink(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    before: &FileAspects,
) -> Result<(), ApplyError> {
    recompute_aspects(transaction, account, environment, before).await?;
    let projects = projects_of_environment(transaction, account, environment).await?;
    Ok(refresh_environment_nodes(transaction, account, environment, &projects).await?)
}

impl Projector {
    pub(crate) async fn project_retirement(
        &self,
        event: &Event,
        retired: &DbtProjectRetired,
    ) -> Result<Outcome, ApplyError> {
        let (account, environment) = (retired.account_id, retired.environment_id);
        let name = without_nul(&retired.dbt_project);
        let mut change = self.begin_change(event.id, account).await?;
        lock_account(&mut change, account).await?;
        if !add_to_ledger(&mut change, event.id).await? {
            return Ok(Outcome::Known);
        }
        lock_placement(&mut change, environment).await?;
        if retire_project(&mut change, account, environment, &name, event.time).await? {
            let files = manifests_of_project(&mut change, account, environment, &name, event.time).await?;
            let before = aspects_of_files(&mut change, account, environment, &files).await?;
            shrink(&mut change, account, environment, &before).await?;
        }
        change.commit().await?;
        Ok(Outcome::Applied)
    }
}
