//! The memory of `api` while many clients read all pages.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Asker, PAGE};
use crate::installation::{Installation, forget_peak, peak_mib, resident_mib};
use crate::report::{Goal, Line};

/// The number of clients.
const CLIENTS: usize = 16;

pub(super) async fn measure(installation: &Installation, models: usize) -> anyhow::Result<Line> {
    let api = installation.start("api").await?;
    let idle = resident_mib(&api)?;
    forget_peak(&api)?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(read_pages(Asker::of(installation, &api), models));
    }
    while let Some(read) = clients.join_next().await {
        read??;
    }
    Ok(Line::alone(
        format!("memory that {CLIENTS} clients add to api while they page through {models} models"),
        peak_mib(&api)? - idle,
        "MiB",
        Goal::AtMost(128.0),
    )
    .named("api_memory"))
}

/// Reads all pages, of the largest size.
async fn read_pages(asker: Asker, models: usize) -> anyhow::Result<()> {
    let (mut after, mut read) = (Value::Null, 0);
    loop {
        let request = json!({ "query": PAGE, "variables": { "first": 500, "after": after } });
        let mut page = asker.ask(&request).await?["models"].take();
        read += page["edges"].as_array().context("no page")?.len();
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = page["pageInfo"]["endCursor"].take();
    }
    ensure!(read == models, "{read} models were read");
    Ok(())
}
