//! Pages in Chromium, which `console/measure.mjs` drives.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::discovery::Files;
use crate::report::{Goal, Line};

/// What is needed to look at pages.
pub(crate) struct Browser<'a> {
    /// The folder with playwright-core.
    pub(crate) modules: &'a str,
    /// The `index.html` that dbt writes beside the manifest and the catalog.
    pub(crate) site: &'a str,
}

/// The page of the console, and the same of dbt's site.
#[derive(Deserialize)]
struct Both {
    console: Visit,
    site: Visit,
}

/// Medians of several visits.
#[derive(Clone, Copy, Deserialize)]
struct Visit {
    seconds: f64,
    bytes: f64,
    mib: f64,
}

#[derive(Deserialize)]
struct Measured {
    lineage: Both,
    node: Both,
}

impl Browser<'_> {
    /// Measures the lineage of a model from the link, and its page when both have been visited before.
    pub(crate) fn measure(&self, url: &str, key: &str, model: &str, files: &Files) -> anyhow::Result<Vec<Line>> {
        let folder = tempfile::tempdir()?;
        std::fs::copy(self.site, folder.path().join("index.html"))?;
        std::fs::write(folder.path().join("manifest.json"), &files.manifest)?;
        std::fs::write(folder.path().join("catalog.json"), &files.catalog)?;
        let id = format!("model.shop.{model}");
        let ours = format!("/console/1/environments/1/lineage?select=1%2B{model}%2B1");
        let page = format!("/console/1/environments/1/nodes/{id}");
        let given = json!({
            "modules": self.modules, "docs": folder.path(), "url": url, "key": key,
            "pages": {
                "lineage": [ours, format!("/index.html#!/model/{id}?g_v=1&g_i=1%2B{model}%2B1"), false],
                "node": [page, format!("/index.html#!/model/{id}"), true],
            },
        });
        let output = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("console/measure.mjs"))
            .env("CONSOLE_BENCH", given.to_string())
            .output()
            .context("cannot run Node.js")?;
        ensure!(
            output.status.success(),
            "measure.mjs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let Measured { lineage, node } = serde_json::from_slice(&output.stdout).context("measure.mjs")?;
        let site = "dbt's own site, compressed";
        let line = |what: &str, of: fn(Visit) -> f64, unit, goal, both: &Both| {
            Line::beside(
                format!("{what}; {site}"),
                of(both.console),
                unit,
                of(both.site),
                Goal::AtMost(goal),
            )
        };
        Ok(vec![
            line(
                "from a link to the lineage of a model",
                |visit| visit.seconds,
                "s",
                0.1,
                &lineage,
            )
            .named("console_lineage"),
            line("the bytes of that", |visit| visit.bytes / 1000.0, "KB", 0.02, &lineage).named("console_lineage_size"),
            line("the memory of that tab", |visit| visit.mib, "MiB", 0.2, &lineage).named("console_lineage_memory"),
            line(
                "the page of a model, visited before",
                |visit| visit.seconds,
                "s",
                0.33,
                &node,
            )
            .named("console_node"),
        ])
    }
}
