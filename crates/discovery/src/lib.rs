//! The Discovery API.
