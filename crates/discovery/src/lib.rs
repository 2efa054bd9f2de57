//! The Discovery API: the GraphQL face of the read side.
mod document;
mod error;
mod request;
mod types;
