#![doc = include_str!("../README.md")]

pub mod airflow;
pub mod artifacts;
pub mod aspects;
pub mod catalogs;
pub mod compare;
pub mod dead_letters;
pub mod doc;
mod failures;
pub mod files;
pub mod format;
pub mod ids;
pub mod journal;
pub mod manifests;
pub mod migrations;
pub mod operators;
pub mod outage;
pub mod pack;
mod partitions;
pub mod placement;
pub mod progress;
pub mod projects;
pub mod prune;
pub mod queries;
pub mod rebuild;
pub mod replay;
pub mod results;
pub mod run_keys;
pub mod runs;
pub mod silence;
pub mod sizes;
pub mod statistics;
pub mod steps;
pub mod text;
pub mod texts;

/// The search path that all statements assume.
pub const SEARCH_PATH: &str = "read_model,ids,directory,public";
