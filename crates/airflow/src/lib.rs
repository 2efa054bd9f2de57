//! Airflow's public REST API: the stable v1 of Airflow 2 (from 2.6 on) and v2 of Airflow 3. Only what it takes to observe DAG runs.

mod answers;
mod client;
mod error;
mod settings;

pub use answers::{Dag, DagRun};
pub use client::{Airflow, Listing, Which};
pub use error::Error;
pub use settings::{Environment, Login, Settings};
