#![doc = include_str!("../README.md")]

mod answer;
mod api;
mod arguments;
mod data;
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
mod related;
mod request;
mod resolve;
mod scope;
mod select;
mod semantic;
mod steps;
mod tree;
mod types;
mod values;
mod write;

pub use answer::{Answer, Discovery, Loaded, MAX_TIME, Query};
pub use api::Api;
pub use error::{Error, QueryError};
pub use graphiql::{PAGE, PageFile, page_file};
pub use memory::Memory;
pub use request::MAX_BODY;
pub use write::Pieces;
