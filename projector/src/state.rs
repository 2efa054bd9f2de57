//! Derives the state of environments and runs from the manifests and catalogs of uploads: which nodes they show, and where their compiled
//! code and columns come from.

use std::collections::BTreeSet;

use read_model::artifacts::Uploaded;
use read_model::aspects::{FileAspects, aspects_of_files, environments_of_files, note_aspects, recompute_aspects};
use read_model::projects::{
    environments_of_several_projects, older_manifests, projects_of_environment, refresh_environment_nodes,
    refresh_run_nodes, runs_of_several_projects,
};
use schemas::{AccountId, ArtifactKind, EnvironmentId, EventId, RunId, Sha256, UploadedFile};
use sqlx::PgConnection;

use crate::ApplyError;
use crate::content::Reading;

/// What follows from manifests and catalogs regardless of runs.
pub(crate) struct Followed {
    /// The environments that show the nodes of several dbt projects.
    environments: Vec<(AccountId, EnvironmentId)>,
}

/// Updates the state of environments after the files of uploads were stored, under [`read_model::placement::lock_placement`]. It needs no
/// numbers of runs, so that it is done before the lock on numbers, which all accounts share.
pub(crate) async fn follow(
    transaction: &mut PgConnection,
    uploads: &[Uploaded],
    reading: Reading,
) -> Result<Followed, ApplyError> {
    let has = |uploaded: &&Uploaded, kinds: &[ArtifactKind]| {
        let mut files = uploaded.upload.files.iter();
        files.any(|file| kinds.contains(&file.kind))
    };
    let event = |uploaded: &Uploaded| uploaded.artifacts.first().map(|artifact| artifact.event_id);
    let kinds = [ArtifactKind::Manifest, ArtifactKind::Catalog];
    let with_state: Vec<EventId> = uploads
        .iter()
        .filter(|uploaded| has(uploaded, &kinds))
        .filter_map(event)
        .collect();
    if with_state.is_empty() {
        return Ok(Followed {
            environments: Vec::new(),
        });
    }
    match reading {
        Reading::WhatIsNew => note_aspects(transaction, &with_state).await?,
        Reading::Everything => recompute(transaction, uploads).await?,
    }
    for manifest in older_manifests(transaction, &with_state).await? {
        tracing::info!(
            event_id = %manifest.event, environment_id = %manifest.environment, generated_at = %manifest.done_at,
            newest_generated_at = %manifest.newest,
            "a manifest is older than the newest by its own clock: it arrived late, or the clock of its worker is slow"
        );
    }
    let with_manifest: BTreeSet<(AccountId, EnvironmentId)> = uploads
        .iter()
        .filter(|uploaded| has(uploaded, &[ArtifactKind::Manifest]))
        .map(|uploaded| (uploaded.upload.account_id, uploaded.upload.environment_id))
        .collect();
    let with_manifest: Vec<(AccountId, EnvironmentId)> = with_manifest.into_iter().collect();
    let environments = environments_of_several_projects(transaction, &with_manifest).await?;
    Ok(Followed { environments })
}

async fn recompute(transaction: &mut PgConnection, uploads: &[Uploaded]) -> Result<(), ApplyError> {
    let is_state = |file: &&UploadedFile| matches!(file.kind, ArtifactKind::Manifest | ArtifactKind::Catalog);
    for Uploaded { upload, .. } in uploads {
        let account = upload.account_id;
        let files: Vec<Sha256> = upload.files.iter().filter(is_state).map(|file| file.sha256).collect();
        // Content that other environments share was also read again, and has new ids now.
        for environment in environments_of_files(transaction, account, &files).await? {
            let aspects = aspects_of_files(transaction, account, environment, &files).await?;
            recompute_aspects(transaction, account, environment, &aspects).await?;
        }
    }
    Ok(())
}

/// Recomputes which nodes environments and runs show after files were placed, account by account: these share sets of nodes, which are locked.
/// The runs are those whose manifests may be others than before. Nearly always, nothing has to be done.
pub(crate) async fn refresh_nodes(
    transaction: &mut PgConnection,
    Followed { environments }: Followed,
    runs: BTreeSet<(AccountId, EnvironmentId, RunId)>,
) -> Result<(), ApplyError> {
    let runs: Vec<(AccountId, EnvironmentId, RunId)> = runs.into_iter().collect();
    let runs = runs_of_several_projects(transaction, &runs).await?;
    let environments = environments
        .into_iter()
        .map(|(account, environment)| (account, environment, None));
    let runs = runs
        .into_iter()
        .map(|(account, environment, run)| (account, environment, Some(run)));
    let mut all: Vec<(AccountId, EnvironmentId, Option<RunId>)> = environments.chain(runs).collect();
    all.sort();
    for (account, environment, run) in all {
        match run {
            Some(run) => refresh_run_nodes(transaction, account, environment, run).await?,
            None => {
                let projects = projects_of_environment(transaction, account, environment).await?;
                refresh_environment_nodes(transaction, account, environment, &projects).await?;
            }
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
