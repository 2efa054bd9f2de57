//! The arguments of the commands about events: `dbt-api events`, `journal`, `dead-letters` and `replay`.

use clap::{ArgGroup, Args, Subcommand};
use directory::IdOrSlug;
use schemas::{AccountId, EventId};

use crate::period::{Moment, Period};

#[derive(Args, Clone, Debug)]
pub(crate) struct SelectionArguments {
    /// Only events of this account.
    #[arg(long)]
    pub(crate) account: Option<AccountId>,
    /// Only events of the environment with this slug or id. A slug needs `--account`.
    #[arg(long)]
    pub(crate) environment: Option<IdOrSlug>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, oldest first.
    List {
        #[command(flatten)]
        selection: SelectionArguments,
        /// Only events that wait: no projector has applied them yet, and they are not dead letters. This needs PostgreSQL.
        #[arg(long)]
        waiting: bool,
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
    #[command(group(ArgGroup::new("which").required(true).args(["events", "all"])))]
    Retry {
        /// The ids of the events.
        events: Vec<EventId>,
        /// Retry all dead letters.
        #[arg(long)]
        all: bool,
    },
}
