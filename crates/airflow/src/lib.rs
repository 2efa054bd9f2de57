#![doc = include_str!("../README.md")]

mod answers;
mod client;
mod error;
mod settings;

pub use answers::{Dag, DagRun};
pub use client::{Airflow, Listing, Which};
pub use error::Error;
pub use settings::{Environment, Login, Settings};
