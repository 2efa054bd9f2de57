//! A cold start of the service.

use std::time::Instant;

use crate::installation::{Installation, median, until};
use crate::report::{Goal, Line};

const ROUNDS: usize = 10;

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let service = testkit::Service::start(binary, "serve", &installation.system).await;
        until("the service is ready", async || installation.is_ready(&service).await).await?;
        figures.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(vec![Line::alone(
        "cold start of serve until ready",
        median(figures),
        "ms",
        Goal::AtMost(300.0),
    )])
}
