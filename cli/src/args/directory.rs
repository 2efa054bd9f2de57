//! The arguments of `dbt-api account`, `project` and `environment`.

use clap::{Args, Subcommand};
use directory::IdOrSlug;
use schemas::{AccountId, EnvironmentType, Slug};

#[derive(Args, Debug)]
pub(crate) struct OfAccount {
    /// The id of the account.
    #[arg(long)]
    pub(crate) account: AccountId,
}

/// The highest number, because many clients read numbers as floating-point numbers.
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// What is said of a new account, project or environment.
#[derive(Args, Debug)]
pub(crate) struct NewRecord {
    /// The number that it gets. It must never have been used, and may be up to a million above the highest so far. By default, it is one
    /// more than the highest.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=MAX_NUMBER))]
    pub(crate) id: Option<i64>,
    #[command(flatten)]
    pub(crate) same_name: SameName,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SameName {
    /// Accept a name that another account has, or another project or environment of the account.
    #[arg(long)]
    pub(crate) allow_same_name: bool,
}

impl From<&NewRecord> for operator::NewRecord {
    fn from(new: &NewRecord) -> Self {
        Self {
            id: new.id,
            same_name: new.same_name.into(),
        }
    }
}

impl From<SameName> for operator::SameName {
    fn from(same_name: SameName) -> Self {
        Self {
            allow_same_name: same_name.allow_same_name,
        }
    }
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
        #[command(flatten)]
        new: NewRecord,
    },
    /// List all accounts.
    List,
    /// Show an account.
    Show {
        /// The id of the account.
        id: AccountId,
    },
    /// Give an account another display name. Its id and its slug stay.
    Rename {
        /// The id of the account.
        id: AccountId,
        /// The new display name.
        name: String,
        #[command(flatten)]
        same_name: SameName,
    },
    /// Refuse uploads to an account, and all of its tokens, until it is restored. Nothing is deleted.
    Retire {
        /// The id of the account.
        id: AccountId,
    },
    /// Put an account that was retired into use again, with all of its tokens.
    Restore {
        /// The id of the account.
        id: AccountId,
    },
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
        #[command(flatten)]
        new: NewRecord,
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
        project: IdOrSlug,
    },
    /// Give a project another display name. Its id and its slug stay.
    Rename {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: IdOrSlug,
        /// The new display name.
        name: String,
        #[command(flatten)]
        same_name: SameName,
    },
    /// Refuse uploads to all environments of a project until it is restored. What exists can still be read.
    Retire {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: IdOrSlug,
    },
    /// Put a project that was retired into use again. Environments that were retired by themselves stay retired.
    Restore {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: IdOrSlug,
    },
    /// Say where the warehouse of a project is. Clients read it in `connection.details`.
    SetConnection {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the project.
        project: IdOrSlug,
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
        /// The id or slug of the project.
        #[arg(long)]
        project: IdOrSlug,
        /// The display name of the environment.
        #[arg(long)]
        name: String,
        /// The name of the environment in uploads (`environment_slug`) and URLs, unique in the account.
        #[arg(long)]
        slug: Slug,
        /// The purpose of the environment: production, staging or development.
        #[arg(long = "type", default_value = "development")]
        environment_type: EnvironmentType,
        #[command(flatten)]
        new: NewRecord,
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
        environment: IdOrSlug,
    },
    /// Give an environment another display name. Its id and its slug, which uploads name, stay.
    Rename {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the environment.
        environment: IdOrSlug,
        /// The new display name.
        name: String,
        #[command(flatten)]
        same_name: SameName,
    },
    /// Refuse uploads to an environment until it is restored. What exists can still be read.
    Retire {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the environment.
        environment: IdOrSlug,
    },
    /// Put an environment that was retired into use again.
    Restore {
        #[command(flatten)]
        of: OfAccount,
        /// The id or slug of the environment.
        environment: IdOrSlug,
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
