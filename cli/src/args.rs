//! The command line.

use clap::{Args, Parser, Subcommand};
use directory::Name;
use schemas::{AccountId, EnvironmentId, EnvironmentType, EventId, JobId, ProjectId, Scope, Slug, TokenId};

use crate::period::{Moment, Period};

/// An API like dbt Cloud's for those who run dbt Core.
///
/// Settings come from environment variables, over dbt-api.toml, over defaults: `dbt-api config variables` lists them,
/// `dbt-api config check` tells what is wrong with them.
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
    /// Run the write side alone: take uploads.
    Ingest,
    /// Run the projector alone: bring uploads into the database. It serves health and metrics only.
    Projector,
    /// Run the read side alone: answer as dbt Cloud does.
    Api,
    /// Bring the database's tables up to date.
    Migrate,
    /// Ask the service on this machine whether it is alive; for containers.
    Healthcheck,
    /// Accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Projects of accounts.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Environments of projects.
    #[command(subcommand)]
    Environment(EnvironmentCommand),
    /// Tokens, with which clients come.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Events that could not be applied.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Events as the journal in the bucket holds them.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Apply events of the journal that were missed.
    Replay {
        #[command(flatten)]
        selection: SelectionArguments,
        /// Apply all that are selected once more, with their files read anew. To repair a few; `rebuild` repairs all.
        #[arg(long)]
        again: bool,
    },
    /// Make the read model anew from the bucket, beside the one in use, compare the two, and put it in place.
    Rebuild(RebuildArguments),
    /// Bring everything back from the bucket alone into an empty database: tables, directory, tokens, numbers, runs.
    Recover,
    /// Take the manifests that the earlier dbt-api stored into the journal, and apply them. It can be cut short and run again.
    Import(ImportArguments),
    /// Remove old runs from the database. Without `--apply` it only tells what would be removed.
    Prune(PruneArguments),
    /// Settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List them with their causes.
    List {
        /// Only those of this account.
        #[arg(long)]
        account: Option<AccountId>,
    },
    /// Show one of them with its event.
    Show {
        /// The event's id.
        event: EventId,
    },
    /// Give some of them up for good: they are not listed or tried any more. Their objects in the bucket stay.
    Drop {
        /// The events' ids.
        #[arg(required = true)]
        events: Vec<EventId>,
    },
    /// Apply some of them again, after what caused them was mended.
    Retry {
        /// The events' ids.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        events: Vec<EventId>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, the oldest first.
    List {
        #[command(flatten)]
        selection: SelectionArguments,
        /// The most that are listed: the newest ones.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one event.
    Show {
        /// Its id.
        event: EventId,
    },
    /// Print events as they come, until Ctrl-C.
    Tail {
        #[command(flatten)]
        selection: SelectionArguments,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SelectionArguments {
    /// Only those of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only those of the environment with this number, which `environment list` shows.
    #[arg(long)]
    pub(crate) environment: Option<EnvironmentId>,
    /// Only those whose type begins so, such as dbt. or token.issued.v1.
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    /// Only those accepted at this time or later: 2026-11-24T09:00:00Z, or how long ago, such as 2h or 7d.
    #[arg(long)]
    pub(crate) from: Option<Moment>,
    /// Only those accepted before this time, written in the same ways.
    #[arg(long)]
    pub(crate) to: Option<Moment>,
}

#[derive(Args, Debug)]
pub(crate) struct RebuildArguments {
    /// Compare only: make it, tell what differs, and remove it.
    #[arg(long, conflicts_with_all = ["accept_differences", "keep_old"])]
    pub(crate) verify: bool,
    /// Put the new one in place even if it differs, as it does when it repairs something.
    #[arg(long)]
    pub(crate) accept_differences: bool,
    /// Keep the old one in the schema read_model_old.
    #[arg(long)]
    pub(crate) keep_old: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// Where the earlier dbt-api stored them, if not in the bucket of the settings: the name of another bucket (S3, MinIO) or container
    /// (Azure) that the same keys may read, or another folder.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only those of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only those of the environment of the account with this slug.
    #[arg(long, requires = "account")]
    pub(crate) environment: Option<Slug>,
    /// Count only. The manifests are not read: some that are counted as new may be refused.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
#[group(id = "measure", required = true, multiple = true, args = ["older_than", "keep"])]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    pub(crate) of: OfAccount,
    /// Only runs of the environment with this slug or number.
    #[arg(long)]
    pub(crate) environment: Option<Name>,
    /// Only runs of this job.
    #[arg(long)]
    pub(crate) job: Option<JobId>,
    /// Runs that ended longer ago than this, such as 90d. With `--keep`, both must hold.
    #[arg(long)]
    pub(crate) older_than: Option<Period>,
    /// Runs that are not among this many newest ones of their job.
    #[arg(long)]
    pub(crate) keep: Option<u32>,
    /// Do it.
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account.
    Add {
        /// Its name, for people.
        name: String,
        /// Its name in URLs.
        #[arg(long)]
        slug: Option<Slug>,
    },
    /// List all accounts.
    List,
    /// Show one account.
    Show {
        /// Its number.
        id: AccountId,
    },
}

#[derive(Args, Debug)]
pub(crate) struct OfAccount {
    /// The number of the account.
    #[arg(long)]
    pub(crate) account: AccountId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Add a project.
    Add {
        #[command(flatten)]
        of: OfAccount,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        /// Its name in URLs; unique in the account.
        #[arg(long)]
        slug: Slug,
    },
    /// List the projects of an account.
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Show one project.
    Show {
        #[command(flatten)]
        of: OfAccount,
        /// Its number or slug.
        project: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// Add an environment.
    Add {
        #[command(flatten)]
        of: OfAccount,
        /// The number of its project.
        #[arg(long)]
        project: ProjectId,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        /// Its name in uploads (`environment_slug`) and URLs; unique in the account.
        #[arg(long)]
        slug: Slug,
        /// What it is for: production, staging or development.
        #[arg(long = "type", default_value = "development")]
        environment_type: EnvironmentType,
    },
    /// List the environments of an account.
    List {
        #[command(flatten)]
        of: OfAccount,
    },
    /// Show one environment.
    Show {
        #[command(flatten)]
        of: OfAccount,
        /// Its number or slug.
        environment: String,
    },
    /// Take a dbt project out of an environment: its nodes are not shown there any more, until it is uploaded again.
    RetireProject {
        #[command(flatten)]
        of: OfAccount,
        /// The environment's number or slug.
        environment: Name,
        /// dbt's name of the project, as `name` in dbt_project.yml has it.
        dbt_project: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print its key, which is shown this once.
    Create {
        #[command(flatten)]
        of: OfAccount,
        /// Whom or what it is for.
        #[arg(long, default_value = "")]
        name: String,
        /// The slug or number of the only environment that it shall see; left out: all of the account.
        #[arg(long)]
        environment: Option<Name>,
        /// What it shall allow: read, upload, or both, with a comma.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scope: Vec<Scope>,
        /// After what time it ends by itself, such as 90d, 12h or 30m; left out: never.
        #[arg(long)]
        expires_in: Option<Period>,
    },
    /// List tokens.
    List {
        /// Of this account only.
        #[arg(long)]
        account: Option<AccountId>,
    },
    /// Delete a token: its next request is refused.
    Delete {
        /// Its id, as `token list` shows it.
        id: TokenId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read all settings and tell all that is wrong with them.
    Check,
    /// List the names of all settings.
    Variables,
}
