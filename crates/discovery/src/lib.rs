#![doc = include_str!("../README.md")]

mod answer;
mod arguments;
mod data;
mod doc;
mod document;
mod error;
mod facts;
mod graph;
mod graphiql;
mod kind;
mod needs;
mod page;
mod plan;
mod related;
mod request;
mod resolve;
mod scope;
mod select;
mod tree;
mod types;
mod values;
mod write;

pub use answer::{Answer, Discovery, Loaded, MAX_TIME, Query};
pub use error::{Error, QueryError};
pub use graphiql::{PAGE, PageFile, page_file};
pub use request::MAX_BODY;
pub use types::sdl;
pub use write::Pieces;
