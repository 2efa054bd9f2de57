//! The whole line through the real program, with PostgreSQL, NATS and a bucket of each test's own.

mod installation;

mod errors;
mod isolation;
mod outages;
mod tokens;
mod uploads;
