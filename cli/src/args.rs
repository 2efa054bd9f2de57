//! The command line.

use clap::{Args, Parser, Subcommand};
use schemas::{AccountId, EnvironmentType, EventId, ProjectId, Scope, Slug, TokenId};

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
        /// The slug of the only environment that it shall see; left out: all of the account.
        #[arg(long)]
        environment: Option<Slug>,
        /// What it shall allow: read, upload, or both, with a comma.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scope: Vec<Scope>,
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
