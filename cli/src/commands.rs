//! The commands that come to an end, one a file.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod environment;
pub(crate) mod healthcheck;
pub(crate) mod migrate;
pub(crate) mod project;
pub(crate) mod token;
