//! The things that answers hold, with the fields that dbt Cloud gives them.

pub(crate) mod account;
pub(crate) mod change;
pub(crate) mod column;
pub(crate) mod comparison;
pub(crate) mod connection;
pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod job;
pub(crate) mod lineage;
pub(crate) mod manifest;
pub(crate) mod node;
pub(crate) mod node_details;
pub(crate) mod outcome;
pub(crate) mod overview;
pub(crate) mod program;
pub(crate) mod project;
pub(crate) mod refused_upload;
pub(crate) mod result_row;
pub(crate) mod run;
pub(crate) mod run_overview;
pub(crate) mod run_result;
pub(crate) mod search;
pub(crate) mod selected_lineage;
pub(crate) mod step;
pub(crate) mod who_am_i;
