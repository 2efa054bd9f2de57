//! Implements `dbt-api import`.

use operator::{no_account, no_environment};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow, ensure};
use bucket::{Bucket, LegacyManifest, LegacyObject};
use directory::{EnvironmentEntry, queries};
use futures_util::TryStreamExt;
use ingest::ImportError;
use projector::{Outcomes, Selection};
use schemas::{AccountId, EnvironmentId, EventId, ProjectId, Slug};
use serde::Serialize;
use serde_json::json;

use super::replay::counted;
use crate::args::ImportArguments;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;

/// The number of manifests read at the same time. Each takes up to 12 MiB of memory.
const AT_ONCE: usize = 8;

pub(crate) async fn run(settings: &Settings, arguments: &ImportArguments, output: Output) -> anyhow::Result<()> {
    let import = Import::begin(settings, arguments).await?;
    let found = import.count().await?;
    let (mut done, mut events) = (Done::default(), Outcomes::default());
    if !arguments.dry_run {
        done = import.import_all(found.new, output).await?;
        // Also applies events that an earlier, interrupted import put into the journal.
        let progress = Progress::estimate("apply", output);
        let projector = settings.projector(read_model::SEARCH_PATH)?;
        events = projector
            .replay(&import.selection(), false, &|done, total| progress.update(done, total))
            .await?;
        progress.end();
    }
    let mut report = json!({
        "found": found.known + found.new + found.without_environment(),
        "imported_before": found.known,
        "new": found.new,
        "without_environment": found.without_environment(),
        "other_objects": found.others,
        "imported": done.imported,
        "refused": done.refused.len(),
        "events": events,
    });
    if matches!(output, Output::Json) {
        report["refused"] = json!(done.refused);
    }
    output.one(&report)?;
    for Refused { key, problem } in &done.refused {
        output.note(&format!("Not imported: `{key}`: {problem}"))?;
    }
    if arguments.dry_run {
        output.note("Nothing was imported yet. Run it without --dry-run to import the new manifests.")?;
    } else if done.imported == 0 {
        output.note("Nothing was imported, because there are no new manifests that can be imported.")?;
    }
    ensure!(
        events.dead_letters == 0,
        "{} could not be applied: `dbt-api dead-letters list` says why",
        counted(events.dead_letters)
    );
    ensure!(found.unknown_environments.is_empty(), "{}", import.advice(&found));
    Ok(())
}

/// An import from `from` into `to`, which may be the same bucket.
struct Import<'a> {
    settings: &'a Settings,
    arguments: &'a ImportArguments,
    from: Bucket,
    to: Bucket,
    /// The only environment whose manifests are imported.
    environment: Option<(EnvironmentId, Slug)>,
    accounts: Vec<AccountId>,
    /// The environments by account and slug, as the keys of the manifests name them.
    destinations: HashMap<(AccountId, String), EnvironmentEntry>,
    /// The ids of the upload events in the journal, in ascending order.
    journal: Vec<EventId>,
}

/// How many objects were found.
#[derive(Default)]
struct Found {
    /// Manifests that are in the journal.
    known: u64,
    /// Manifests that are not in the journal.
    new: u64,
    /// Manifests of environments that are not in the directory, by account and slug.
    unknown_environments: BTreeMap<(AccountId, String), u64>,
    /// Objects that are not manifests.
    others: u64,
}

/// The result of an import.
#[derive(Default)]
struct Done {
    imported: u64,
    refused: Vec<Refused>,
}

/// A manifest that could not be imported.
#[derive(Serialize)]
struct Refused {
    key: String,
    problem: String,
}

impl<'a> Import<'a> {
    async fn begin(settings: &'a Settings, arguments: &'a ImportArguments) -> anyhow::Result<Self> {
        let to = settings.open_bucket()?;
        let from = match &arguments.from {
            None => to.clone(),
            Some(name) => {
                let beside = settings.bucket.beside(name);
                let beside = beside.map_err(|problem| anyhow!("invalid --from: {problem}"))?;
                Bucket::open(&beside).context("cannot open the bucket of --from")?
            }
        };
        let journal = to.list_upload_events().await?;
        let operator = settings.operator()?;
        let mut connection = operator.connection().await?;
        let accounts = queries::accounts(&mut connection).await?;
        let accounts: Vec<AccountId> = accounts.iter().map(|account| AccountId(account.id)).collect();
        if let Some(account) = arguments.account {
            ensure!(accounts.contains(&account), no_account(account));
        }
        let environment = match (arguments.account, &arguments.environment) {
            (Some(account), Some(name)) => {
                let found = queries::environment_named(&mut connection, account, &name.to_string()).await?;
                let found = found.with_context(|| no_environment(account, name))?;
                Some((EnvironmentId(found.id), found.slug.parse::<Slug>()?))
            }
            _ => None,
        };
        let mut destinations = HashMap::new();
        for account in &accounts {
            for environment in queries::environments(&mut connection, *account).await? {
                // An invalid slug comes from another source, and no manifest's key can name it.
                let Ok(slug) = environment.slug.parse() else { continue };
                let destination = EnvironmentEntry {
                    account_id: *account,
                    project_id: ProjectId(environment.project_id),
                    project_slug: None,
                    environment_id: EnvironmentId(environment.id),
                    slug,
                };
                destinations.insert((*account, environment.slug), destination);
            }
        }
        Ok(Self {
            settings,
            arguments,
            from,
            to,
            environment,
            accounts,
            destinations,
            journal,
        })
    }

    async fn count(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        let mut objects = self.objects();
        while let Some(object) = objects.try_next().await? {
            match object {
                LegacyObject::Other => found.others += 1,
                LegacyObject::Manifest(manifest) => match self.destination_of(&manifest) {
                    Some(_) if self.is_new(&manifest) => found.new += 1,
                    Some(_) => found.known += 1,
                    None => {
                        let environment = (manifest.account, manifest.environment);
                        *found.unknown_environments.entry(environment).or_default() += 1;
                    }
                },
            }
        }
        Ok(found)
    }

    /// Imports the new manifests into the journal. The bucket is listed a second time, so that a long list need not be kept in memory.
    async fn import_all(&self, total: u64, output: Output) -> anyhow::Result<Done> {
        let (progress, count) = (Progress::begin("import", output), AtomicU64::new(0));
        let done = self
            .objects()
            .map_err(anyhow::Error::from)
            .try_filter_map(async |object| {
                Ok(match object {
                    LegacyObject::Manifest(manifest) if self.is_new(&manifest) => self
                        .destination_of(&manifest)
                        .map(|destination| (manifest, destination)),
                    _ => None,
                })
            })
            .map_ok(|(manifest, destination)| self.import(manifest, destination))
            .try_buffer_unordered(AT_ONCE)
            .inspect_ok(|_| progress.update(count.fetch_add(1, Ordering::Relaxed) + 1, total))
            .try_fold(Done::default(), async |mut done, refused| {
                match refused {
                    None => done.imported += 1,
                    Some(refused) => done.refused.push(refused),
                }
                Ok(done)
            })
            .await
            .context("the import was interrupted: run it again to continue")?;
        progress.end();
        Ok(done)
    }

    async fn import(&self, manifest: LegacyManifest, destination: EnvironmentEntry) -> anyhow::Result<Option<Refused>> {
        match ingest::import(&self.settings.ingest, &self.from, &self.to, destination, &manifest).await {
            Ok(()) => Ok(None),
            Err(ImportError::Refused(problem)) => Ok(Some(Refused {
                key: manifest.key().to_owned(),
                problem,
            })),
            Err(error) => Err(error.into()),
        }
    }

    fn objects(&self) -> impl TryStreamExt<Ok = LegacyObject, Error = bucket::Error> + use<> {
        self.from
            .legacy_objects(self.arguments.account, self.environment.as_ref().map(|(_, slug)| slug))
    }

    fn destination_of(&self, manifest: &LegacyManifest) -> Option<EnvironmentEntry> {
        self.destinations
            .get(&(manifest.account, manifest.environment.clone()))
            .cloned()
    }

    fn is_new(&self, manifest: &LegacyManifest) -> bool {
        self.journal.binary_search(&ingest::import_id(manifest)).is_err()
    }

    /// Selects the events to apply: those of the import, and others of the same account and environment that were missed.
    fn selection(&self) -> Selection {
        Selection {
            account: self.arguments.account,
            environment: self.environment.as_ref().map(|(id, _)| *id),
            ..Selection::default()
        }
    }

    /// Describes what to do about environments that are not in the directory.
    fn advice(&self, found: &Found) -> String {
        let lines: Vec<String> = found
            .unknown_environments
            .iter()
            .map(|((account, environment), manifests)| {
                let hint = if self.accounts.contains(account) {
                    format!("add it with `dbt-api environment add --account {account} --slug {environment} …`")
                } else {
                    format!("first add the account with `dbt-api account add --id {account} …`")
                };
                format!("account {account}, environment `{environment}` (manifests: {manifests}): {hint}")
            })
            .collect();
        format!(
            "skipped manifests of environments that are not in the directory:\n  - {}\nThen run the import again to import what is missing.",
            lines.join("\n  - ")
        )
    }
}

impl Found {
    fn without_environment(&self) -> u64 {
        self.unknown_environments.values().sum()
    }
}
