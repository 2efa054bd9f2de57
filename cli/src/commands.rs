//! The commands that run once and exit, one file for each.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod environment;
pub(crate) mod events;
pub(crate) mod healthcheck;
pub(crate) mod import;
pub(crate) mod journal;
pub(crate) mod manual;
pub(crate) mod migrate;
pub(crate) mod project;
pub(crate) mod prune;
pub(crate) mod rebuild;
pub(crate) mod recover;
pub(crate) mod replay;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod uploads;
