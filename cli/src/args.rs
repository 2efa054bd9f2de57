//! The command line.

mod directory;
mod journal;
mod token;
mod uploads;

use std::path::PathBuf;

use ::directory::IdOrSlug;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use schemas::{AccountId, JobId};

pub(crate) use self::directory::{AccountCommand, EnvironmentCommand, OfAccount, ProjectCommand};
pub(crate) use self::journal::{DeadLettersCommand, EventsCommand, JournalCommand, SelectionArguments};
pub(crate) use self::token::{TokenCommand, TokenScope};
pub(crate) use self::uploads::{RefusedArguments, UploadsCommand};
use crate::period::Period;

/// An API like dbt Cloud's for teams that run dbt Core.
///
/// Settings are read from environment variables, then from dbt-api.toml, then from defaults.
/// `dbt-api config variables` lists them, `dbt-api config check` reports what is wrong with them.
#[derive(Debug, Parser)]
#[command(name = "dbt-api", version)]
pub(crate) struct Arguments {
    /// Print results as JSON, with all fields. Tables show what fits into 100 columns.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all roles on one port.
    Serve,
    /// Run only the write side, which accepts uploads.
    Ingest,
    /// Run only the projector, which writes uploads to the database. It serves health checks and metrics only.
    Projector,
    /// Run only the read side, which answers like dbt Cloud.
    Api,
    /// Create or update the database's roles and tables.
    Migrate {
        /// Print the SQL with which an administrator creates the roles, for a DB_USER that may not.
        #[arg(long)]
        print_roles: bool,
    },
    /// Check whether the service on this machine is alive, for use in containers.
    Healthcheck,
    /// Show what can be reached, and what was accepted and is not shown yet. Ends with 1 if something is wrong.
    Status,
    /// Manage accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Manage the projects of accounts.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Manage the environments of projects.
    #[command(subcommand)]
    Environment(EnvironmentCommand),
    /// Manage the tokens that clients authenticate with.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Inspect and retry events that could not be applied.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Inspect the events in the bucket's journal.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Pack past hours of the bucket's journal, and delete what is packed.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Inspect uploads that were refused.
    #[command(subcommand)]
    Uploads(UploadsCommand),
    /// Apply events of the journal that have not been applied.
    Replay {
        #[command(flatten)]
        selection: SelectionArguments,
        /// Apply all selected events again, and read their files again. Meant for a few events; `rebuild` repairs everything.
        #[arg(long)]
        again: bool,
    },
    /// Build a new read model from the bucket beside the current one, compare both, and replace the current one.
    Rebuild(RebuildArguments),
    /// Restore an empty database from the bucket alone: tables, directory, tokens, ids and runs.
    Recover,
    /// Import the manifests stored by the earlier dbt-api into the journal, and apply them. It can be interrupted and run again.
    Import(ImportArguments),
    /// Remove old runs from the database. Without `--apply`, only show what would be removed.
    Prune(PruneArguments),
    /// Check and list the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page of the program.
    Man {
        /// Instead, write a man page for each command into this folder.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct RebuildArguments {
    /// Only compare: build the new read model, report the differences, and remove it.
    #[arg(long, conflicts_with_all = ["accept_differences", "keep_old"])]
    pub(crate) verify: bool,
    /// Replace the current read model even if the new one differs, as it does when it repairs something.
    #[arg(long)]
    pub(crate) accept_differences: bool,
    /// Keep the current read model in the schema read_model_old.
    #[arg(long)]
    pub(crate) keep_old: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// Where the earlier dbt-api stored the manifests, if not in the configured bucket: the name of another bucket (S3, MinIO, Google) or
    /// container (Azure) that the same credentials can read, or another folder.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only manifests of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only manifests of the account's environment with this slug or id.
    #[arg(long, requires = "account")]
    pub(crate) environment: Option<IdOrSlug>,
    /// Only count the manifests. They are not read, so some that count as new may be refused later.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
#[group(id = "measure", required = true, multiple = true, args = ["older_than", "keep"])]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    pub(crate) of: OfAccount,
    /// Only runs of the environment with this slug or id.
    #[arg(long)]
    pub(crate) environment: Option<IdOrSlug>,
    /// Only runs of this job.
    #[arg(long)]
    pub(crate) job: Option<JobId>,
    /// Only runs that ended longer ago than this, such as 90d. This or `--keep` alone is enough; with both, both conditions must hold.
    #[arg(long)]
    pub(crate) older_than: Option<Period>,
    /// Only runs beyond this number of newest runs of their job.
    #[arg(long)]
    pub(crate) keep: Option<u32>,
    /// Remove the runs.
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read all settings, report what is wrong with them, and print which bucket, database and NATS they name.
    Check {
        /// Also try to reach them, and Datacoves and Airflow. In the bucket, this may create the object `check`.
        #[arg(long)]
        connect: bool,
    },
    /// List the names of all settings.
    Variables,
}
