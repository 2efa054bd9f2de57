//! The arguments of `dbt-api uploads`.

use clap::{Args, Subcommand};
use directory::IdOrSlug;
use schemas::AccountId;

use crate::period::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum UploadsCommand {
    /// List refused uploads of known tokens, oldest first. Accepted uploads are among the events: see `events list`.
    List(RefusedArguments),
}

#[derive(Args, Debug)]
pub(crate) struct RefusedArguments {
    /// List refused uploads, which are kept for 30 days. This is what the command does without options, too.
    #[arg(long)]
    refused: bool,
    /// Only uploads with tokens of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only uploads to the environment with this slug or id.
    #[arg(long)]
    pub(crate) environment: Option<IdOrSlug>,
    /// Only uploads refused at or after this time, such as 2026-11-24T09:00:00Z, or an age such as 2h or 7d.
    #[arg(long)]
    pub(crate) from: Option<Moment>,
    /// Only uploads refused before this time, in the same formats.
    #[arg(long)]
    pub(crate) to: Option<Moment>,
    /// The maximum number of uploads. The newest ones are listed.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}
