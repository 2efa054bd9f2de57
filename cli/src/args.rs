//! The command line.

use clap::{Args, Parser, Subcommand};
use directory::IdOrSlug;
use schemas::{AccountId, EnvironmentId, EnvironmentType, EventId, JobId, ProjectId, Scope, Slug, TokenId};

use crate::period::{Moment, Period};

/// An API like dbt Cloud's for teams that run dbt Core.
///
/// Settings are read from environment variables, then from dbt-api.toml, then from defaults.
/// `dbt-api config variables` lists them, `dbt-api config check` reports what is wrong with them.
#[derive(Debug, Parser)]
#[command(name = "dbt-api", version)]
pub(crate) struct Arguments {
    /// Print results as JSON.
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List dead letters with their causes.
    List {
        /// Only dead letters of this account.
        #[arg(long)]
        account: Option<AccountId>,
    },
    /// Show a dead letter with its event.
    Show {
        /// The id of the event.
        event: EventId,
    },
    /// Discard dead letters. They are no longer listed or retried; their objects stay in the bucket.
    Drop {
        /// The ids of the events.
        #[arg(required = true)]
        events: Vec<EventId>,
    },
    /// Apply dead letters again, once the cause has been fixed.
    Retry {
        /// The ids of the events.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        events: Vec<EventId>,
        /// Retry all dead letters.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, oldest first.
    List {
        #[command(flatten)]
        selection: SelectionArguments,
        /// The maximum number of events. The newest ones are listed.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show an event.
    Show {
        /// The id of the event.
        event: EventId,
    },
    /// Print new events until Ctrl-C is pressed.
    Tail {
        #[command(flatten)]
        selection: SelectionArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Copy the events of all hours older than eight days into segments, as projectors do once a day.
    Pack,
    /// Delete the single objects of events that are in segments, after comparing both. Without `--apply`, only count them. Earlier versions of
    /// dbt-api cannot read these events any more.
    Trim {
        /// Only events of hours that ended longer ago than this, such as 90d.
        #[arg(long)]
        older_than: Period,
        /// Delete the objects.
        #[arg(long)]
        apply: bool,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SelectionArguments {
    /// Only events of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only events of the environment with this id, as shown by `environment list`.
    #[arg(long)]
    pub(crate) environment: Option<EnvironmentId>,
    /// Only events whose type starts with this text, such as dbt. or token.issued.v1.
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    /// Only events accepted at or after this time, such as 2026-11-24T09:00:00Z, or an age such as 2h or 7d.
    #[arg(long)]
    pub(crate) from: Option<Moment>,
    /// Only events accepted before this time, in the same formats.
    #[arg(long)]
    pub(crate) to: Option<Moment>,
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
    /// Where the earlier dbt-api stored the manifests, if not in the configured bucket: the name of another bucket (S3, MinIO) or container
    /// (Azure) that the same credentials can read, or another folder.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only manifests of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only manifests of the account's environment with this slug.
    #[arg(long, requires = "account")]
    pub(crate) environment: Option<Slug>,
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
    /// Only runs that ended longer ago than this, such as 90d. With `--keep`, both conditions must hold.
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
pub(crate) enum AccountCommand {
    /// Add an account.
    Add {
        /// The display name of the account.
        name: String,
        /// The name of the account in URLs.
        #[arg(long)]
        slug: Option<Slug>,
    },
    /// List all accounts.
    List,
    /// Show an account.
    Show {
        /// The id of the account.
        id: AccountId,
    },
}

#[derive(Args, Debug)]
pub(crate) struct OfAccount {
    /// The id of the account.
    #[arg(long)]
    pub(crate) account: AccountId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Add a project.
    Add {
        #[command(flatten)]
        of: OfAccount,
        /// The display name of the project.
        #[arg(long)]
        name: String,
        /// The name of the project in URLs, unique in the account.
        #[arg(long)]
        slug: Slug,
    },
    /// List the projects of an account.
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Show a project.
    Show {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: String,
    },
    /// Say where the warehouse of a project is. Clients read it in `connection.details`.
    SetConnection {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: String,
        /// The details, in place of all earlier ones; without any, the earlier ones are removed. The keys are account, host, port, path,
        /// warehouse, database, schema, role, catalog, http_path, method, region_name and server, as in dbt's profiles. Everyone who may read
        /// the project sees them.
        #[arg(value_name = "KEY=VALUE")]
        details: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// Add an environment.
    Add {
        #[command(flatten)]
        of: OfAccount,
        /// The id of the project.
        #[arg(long)]
        project: ProjectId,
        /// The display name of the environment.
        #[arg(long)]
        name: String,
        /// The name of the environment in uploads (`environment_slug`) and URLs, unique in the account.
        #[arg(long)]
        slug: Slug,
        /// The purpose of the environment: production, staging or development.
        #[arg(long = "type", default_value = "development")]
        environment_type: EnvironmentType,
    },
    /// List the environments of an account.
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Show an environment.
    Show {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the environment.
        environment: String,
    },
    /// Remove a dbt project from an environment. Its nodes are no longer shown there until it is uploaded again.
    RetireProject {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the environment.
        environment: IdOrSlug,
        /// The name of the dbt project, as in `name` of dbt_project.yml.
        dbt_project: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print its key, which is not shown again.
    Create {
        #[command(flatten)]
        of: OfAccount,
        /// Who or what the token is for.
        #[arg(long, default_value = "")]
        name: String,
        /// The slug or id of the only environment that the token may access. By default, it may access the whole account.
        #[arg(long)]
        environment: Option<IdOrSlug>,
        /// What the token may do: read, upload, or both, separated by a comma.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scope: Vec<Scope>,
        /// How long the token is valid, such as 90d, 12h or 30m. By default, it does not expire.
        #[arg(long)]
        expires_in: Option<Period>,
    },
    /// List tokens.
    List {
        /// Only tokens of this account.
        #[arg(long)]
        account: Option<AccountId>,
    },
    /// Delete a token. Its next request is refused.
    Delete {
        /// The id of the token, as shown by `token list`.
        id: TokenId,
    },
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
