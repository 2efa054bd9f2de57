//! A client of Airflow's public REST API: the stable v1 of Airflow 2 (2.6 and later) and v2 of Airflow 3. It covers only what is needed to
//! observe DAG runs.

mod answers;
mod client;
mod error;
mod settings;

pub use answers::{Dag, DagRun};
pub use client::{Airflow, Listing, Which};
pub use error::Error;
pub use settings::{Environment, Login, Settings};
