//! A run: what it did, what failed and why, which nodes took the time, and what differs from the run before.

mod comparison;
mod counts;
mod failures;
mod files;
mod results;
mod timeline;

use api::run_overview::{Attempt, FAILURES, RunOverview, StepFacts};
use api::{Error, Ids, View};
use axum::extract::{Extension, State};
use chrono::{DateTime, Utc};
use directory::queries::{account, environment};
use edge::{CloudError, Query};
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId, RunId};
use serde::Deserialize;

pub(crate) use files::download;

use crate::forms::FormToken;
use crate::layout::{self, Document, Page};
use crate::links;
use crate::parts::{ago, duration, job_name, moment, node_name, run_status};

/// What of a large run is shown.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Shown {
    /// The page of failures.
    failures: Option<usize>,
    /// Only results of nodes of this type.
    r#type: Option<String>,
    /// Only results with this status.
    status: Option<String>,
    /// Only results of nodes whose name contains this.
    name: Option<String>,
    /// The page of results.
    page: Option<usize>,
}

/// Where the page is.
struct Context {
    account: AccountId,
    environment: i64,
    run: i64,
}

impl Context {
    /// A link to a node.
    fn node(&self, unique_id: &str) -> Markup {
        html! { a href=(links::node(self.account, self.environment, unique_id)) title=(unique_id) { bdi { (node_name(unique_id)) } } }
    }

    fn address(&self) -> String {
        links::run(self.account, self.run)
    }
}

/// Shows a run.
pub(crate) async fn show(
    State(state): State<api::State>,
    mut view: View,
    Ids((id, run)): Ids<(AccountId, RunId)>,
    Query(shown): Query<Shown>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let now = state.clock.now();
    let record = account(view.connection(), id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let first_failure = shown
        .failures
        .unwrap_or(1)
        .max(1)
        .saturating_sub(1)
        .saturating_mul(FAILURES);
    let (overview, attempts) = api::run_overview::of(&mut view, run, first_failure).await?;
    let found = environment(view.connection(), id, EnvironmentId(overview.environment_id)).await?;
    // Nothing is read from here on, so others may use the connection.
    drop(view);
    layout::beside(move || {
        let context = Context {
            account: id,
            environment: overview.environment_id,
            run: overview.run_id,
        };
        let job = job_name(overview.dag_id.as_deref());
        let mut above = vec![(record.name, links::account(id))];
        above.extend(found.map(|found| (found.name, links::environment(id, overview.environment_id))));
        let of_job = format!("environment={}&job={}", overview.environment_id, overview.job_id);
        above.push((job.to_owned(), links::runs(id, &of_job)));
        Page {
            title: &format!("Run {} of {job}", overview.run_id),
            above: &above,
            location: Some((id, Some(overview.environment_id))),
            twin: Some(links::twin(
                id,
                &format!("runs/{}/overview?failures_offset={first_failure}", overview.run_id),
            )),
            form_token: &form_token,
            content: content(&context, &overview, &attempts, &shown, now),
        }
        .render()
    })
    .await
}

fn content(context: &Context, run: &RunOverview, attempts: &[Attempt], shown: &Shown, now: DateTime<Utc>) -> Markup {
    html! {
        div.row.spread {
            h1 { "Run " (run.run_id) " " (run_status(run.status)) }
            @if let Some(before) = run.previous_run_id { a rel="prev" href=(links::run(context.account, before)) { "The run before" } }
        }
        (facts(run, now))
        (sections(run))
        @if !run.is_whole {
            p.message { "This run has very many results. What follows is made of " (run.results_total) " of them; the API lists all." }
        }
        (failures::failures(context, run, shown, now))
        (failures::skipped(context, run))
        (steps(run))
        (timeline::section(context, run))
        (comparison::section(context, run))
        (results::section(context, attempts, run, shown))
        (files::section(context, run))
    }
}

fn facts(run: &RunOverview, now: DateTime<Utc>) -> Markup {
    html! {
        dl.facts.inline {
            div { dt { "Started" } dd { (moment(run.started_at)) " (" (ago(run.started_at, now)) ")" } }
            @if let Some(end) = run.finished_at {
                div { dt { "Took" } dd { (duration(end - run.started_at)) } }
            } @else {
                div { dt { "Runs for" } dd { (duration(now - run.started_at)) } }
            }
            @if let Some(version) = &run.dbt_version { div { dt { "dbt" } dd { (version) } } }
            @if let Some(airflow) = &run.airflow_run_id { div { dt { "Airflow" } dd { bdi { (airflow) } } } }
        }
    }
}

/// The sections of the page, with what is in them.
fn sections(run: &RunOverview) -> Markup {
    let skipped: usize = run.skipped.iter().map(|group| group.nodes).sum();
    html! {
        nav.tabs aria-label="On this page" {
            @if run.failures_total > 0 { a href="#failures" { "Failures (" (run.failures_total) ")" } }
            @if skipped > 0 { a href="#skipped" { "Skipped (" (skipped) ")" } }
            a href="#steps" { "Commands (" (run.steps.len()) ")" }
            @if !run.timeline.nodes.is_empty() { a href="#timeline" { "Timeline" } }
            @if run.comparison.is_some() { a href="#comparison" { "Compared with before" } }
            a href="#results" { "Results" }
            a href="#files" { "Files (" (run.files.len()) ")" }
        }
    }
}

fn steps(run: &RunOverview) -> Markup {
    html! {
        h2 #steps { "Commands" }
        @if run.steps.is_empty() {
            p.empty { "No command was uploaded. Airflow alone reported this run." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Commands" { table {
                thead { tr { th.number { "#" } th { "Command" } th { "Status" } th { "Started" } th.number { "Took" } th.number { "Nodes" } th.number { "Failed" } } }
                tbody { @for step in &run.steps { (step_row(step)) } }
            } }
        }
    }
}

fn step_row(step: &StepFacts) -> Markup {
    let took = step.started_at.zip(step.finished_at).map(|(start, end)| end - start);
    html! {
        tr {
            td.number { (step.index) }
            td {
                @if let Some(command) = &step.command { code { (command) } } @else { span.quiet { "not known" } }
                @if let Some(invocation) = &step.invocation_id { div.note { "Invocation " (invocation) } }
            }
            td { (run_status(step.status)) }
            td { @if let Some(start) = step.started_at { (moment(start)) } }
            td.number { (took.map_or_else(|| "–".to_owned(), duration)) }
            td.number { (step.nodes) }
            td.number { (step.failed) }
        }
    }
}
