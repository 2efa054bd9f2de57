//! The files of a run.

use api::run_overview::{RunFileFacts, RunOverview};
use axum::Router;
use axum::routing::get;
use maud::{Markup, html};

use super::Context;
use crate::links::encoded;
use crate::parts::size;

/// The route that sends a file, as the API does.
pub(crate) fn download() -> Router<api::State> {
    Router::new().route(
        "/console/{account_id}/runs/{run_id}/artifacts/{*path}",
        get(api::run_artifact),
    )
}

/// The list, each with a link that downloads it.
pub(super) fn section(context: &Context, run: &RunOverview) -> Markup {
    html! {
        h2 #files { "Files" }
        @if run.files.is_empty() {
            p.empty { "No files were uploaded, or they were pruned." }
        } @else {
            div.scroll { table {
                thead { tr { th { "File" } th.number { "Command" } th.number { "Size" } } }
                tbody { @for file in &run.files {
                    tr {
                        td { a href=(address(context, file)) download { bdi { (file.name) } } }
                        td.number { @if let Some(step) = file.step { (step) } }
                        td.number { (size(file.size)) }
                    }
                } }
            } }
        }
    }
}

fn address(context: &Context, file: &RunFileFacts) -> String {
    let path: Vec<String> = file.name.split('/').map(encoded).collect();
    let step = file.step.map(|step| format!("?step={step}")).unwrap_or_default();
    format!("{}/artifacts/{}{step}", context.address(), path.join("/"))
}
