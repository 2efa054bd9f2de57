#![doc = include_str!("../README.md")]

mod answer;
mod api;
mod arguments;
mod data;
mod defined;
mod doc;
mod document;
mod error;
mod facts;
mod graph;
mod graphiql;
mod kind;
mod memory;
mod needs;
mod page;
mod plan;
mod recent;
mod related;
mod request;
mod resolve;
mod scope;
mod search;
mod select;
mod semantic;
mod steps;
mod tree;
mod types;
mod values;
mod write;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod hostile;

pub use answer::{Answer, Discovery, Loaded, MAX_TIME, Query};
pub use api::Api;
pub use defined::{Defined, is_test};
pub use error::{Error, QueryError};
pub use graph::{Graph, GraphNode, NodeIndex};
pub use graphiql::{PAGE, PageFile, page_file};
pub use memory::Memory;
pub use recent::Recent;
pub use request::MAX_BODY;
pub use search::{Found, Hit, Snippet, Wanted};
pub use write::Pieces;
