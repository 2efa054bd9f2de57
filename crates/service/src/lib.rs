#![doc = include_str!("../README.md")]

mod database;
mod health;
mod hosts;
mod logs;
mod metrics;
mod read_pool;
mod reads;
mod server;
mod session;
mod settings;
mod shutdown;
mod tls;

pub use database::DatabaseSettings;
pub use health::{Health, Need};
pub use logs::start_logs;
pub use metrics::start_metrics;
pub use read_pool::{Lent, ReadPool, WarmUp};
pub use reads::{Reads, check_copy};
pub use server::serve;
pub use session::{Session, explained};
pub use settings::{LogFormat, ServiceSettings};
pub use shutdown::on_signals;
pub use tls::install_tls;
