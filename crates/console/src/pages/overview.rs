//! An environment: how its jobs did, what fails now and since when, what is not fresh, and what changed since yesterday.

mod strip;

use api::overview::{Changes, EnvironmentOverview, Failing, JobStrip, Stale};
use api::{Error, Ids, View};
use axum::extract::{Extension, State};
use chrono::{DateTime, Utc};
use directory::queries::account;
use edge::CloudError;
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId};

use super::account::silence;
use crate::forms::FormToken;
use crate::layout::{Document, Page};
use crate::links;
use crate::parts::{
    ago, beginning, count, freshness_limits, job_name, node_name, node_type, plural, rest, result_status, run_status,
};

/// How many characters of a message are shown in a list.
const MESSAGE: usize = 280;

/// Where the page is, and when.
struct Context {
    account: AccountId,
    environment: i64,
    now: DateTime<Utc>,
}

/// Shows the overview of an environment.
pub(crate) async fn show(
    State(state): State<api::State>,
    mut view: View,
    Ids((id, environment)): Ids<(AccountId, EnvironmentId)>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let now = state.clock.now();
    let record = account(view.connection(), id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let overview = api::overview::of_environment(&mut view, environment, now).await?;
    drop(view);
    let context = Context {
        account: id,
        environment: environment.0,
        now,
    };
    Ok(Page {
        title: &overview.name,
        above: &[(record.name, links::account(id))],
        location: Some((id, Some(environment.0))),
        twin: Some(links::twin(id, &format!("environments/{}/overview", environment.0))),
        form_token: &form_token,
        content: content(&context, &overview),
    }
    .render())
}

fn content(context: &Context, overview: &EnvironmentOverview) -> Markup {
    let address = links::environment(context.account, context.environment);
    html! {
        div.row.spread {
            h1 { bdi { (overview.name) } " " span.kind { (overview.environment_type) } }
            nav.row aria-label="Of this environment" {
                a href=(links::runs(context.account, &format!("environment={}", context.environment))) { "Runs" }
                a href={ (address) "/lineage" } { "Lineage" }
                a href={ (address) "/search" } { "Search" }
                a href=(links::compare_environment(context.account, context.environment)) { "Compare" }
            }
        }
        @if let Some(uploads) = overview.uploads.as_ref().filter(|uploads| uploads.is_silent) {
            p.message role="status" { (silence(uploads, context.now)) "." }
        }
        (tiles(context, overview))
        (jobs(context, overview))
        (failing(context, overview))
        (stale(context, overview))
    }
}

fn tiles(context: &Context, overview: &EnvironmentOverview) -> Markup {
    let failed = overview.jobs.iter().filter(|job| job.has_failed()).count();
    let tone = |is_bad: bool, bad: &'static str| if is_bad { bad } else { "good" };
    html! {
        ul.tiles {
            li class=(tone(failed > 0, "bad")) {
                a href="#jobs" { strong { (failed) } " of " (plural(count(overview.jobs.len()), "job", "jobs")) " failing" }
            }
            li class=(tone(overview.failing_total > 0, "bad")) {
                a href="#failing" { (counted(overview.failing_total, "No node fails", "node fails", "nodes fail")) " now" }
            }
            li class=(tone(overview.stale_total > 0, "warn")) {
                a href="#stale" { (counted(overview.stale_total, "No source was found too old", "source is too old", "sources are too old")) }
            }
            li.idle { (changes(context, overview.changes.as_ref())) }
            @if let Some(uploads) = &overview.uploads {
                li class=(tone(uploads.is_silent, "bad")) { span { "Last upload " strong { (ago(uploads.last_upload_at, context.now)) } } }
            }
        }
    }
}

fn counted(count: i64, none: &str, one: &str, several: &str) -> Markup {
    html! {
        @match count {
            0 => (none),
            1 => { strong { "1" } " " (one) }
            _ => { strong { (count) } " " (several) }
        }
    }
}

fn changes(context: &Context, changes: Option<&Changes>) -> Markup {
    let Some(changes) = changes else {
        return html! { span { "No manifest from yesterday to compare with" } };
    };
    let counts = [
        (changes.added, "added"),
        (changes.removed, "removed"),
        (changes.changed, "changed"),
    ];
    let words: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let text = html! {
        "Definitions: "
        strong { @if words.is_empty() { "no change" } @else { (words.join(", ")) } }
        " since " (ago(changes.from_generated_at, context.now))
    };
    html! {
        @if changes.from_run_id == changes.to_run_id {
            span { "No new manifest since " (ago(changes.from_generated_at, context.now)) }
        } @else {
            a href=(links::compare(context.account, changes.from_run_id, changes.to_run_id)) { (text) }
        }
    }
}

fn jobs(context: &Context, overview: &EnvironmentOverview) -> Markup {
    let shown = count(overview.jobs.len());
    html! {
        h2 #jobs { "Jobs" }
        @if overview.jobs.is_empty() {
            p.empty { "No run was uploaded yet." }
        } @else {
            table.jobs {
                thead { tr { th { "Job" } th { "Last 30 runs" } th { "Last run" } th.number { "Took" } th.number { "Usually" } } }
                tbody { @for job in &overview.jobs { (job_row(context, job)) } }
            }
            p.note {
                "The higher the bar, the longer the run; the newest is at the right. A square below a bar: it failed. A dash: it has not ended, or was cancelled."
                @if shown < overview.jobs_total { " Of " (overview.jobs_total) " jobs, these " (shown) " were updated last." }
            }
        }
    }
}

fn job_row(context: &Context, job: &JobStrip) -> Markup {
    let name = job_name(job.dag_id.as_deref());
    let filters = format!("environment={}&job={}", context.environment, job.job_id);
    html! {
        tr {
            th scope="row" {
                a href=(links::runs(context.account, &filters)) { bdi { (name) } }
                @if let Some(cron) = &job.cron { div.note { code { (cron) } } }
            }
            td { (strip::strip(context.account, job, name)) }
            @if let Some(last) = job.runs.last() {
                td { a href=(links::run(context.account, last.run_id)) { (run_status(last.status)) } div.note { (ago(last.started_at, context.now)) } }
                td.number { (strip::took(last)) }
                td.number { (usual(job)) }
            } @else {
                td colspan="3" { "No runs" }
            }
        }
    }
}

/// The median duration of the runs before the last one.
fn usual(job: &JobStrip) -> String {
    let mut runs: Vec<_> = job.runs.iter().rev().skip(1).collect();
    runs.sort_by(|one, other| one.duration.total_cmp(&other.duration));
    runs.get(runs.len() / 2)
        .map_or_else(|| "–".to_owned(), |run| strip::took(run))
}

fn failing(context: &Context, overview: &EnvironmentOverview) -> Markup {
    html! {
        h2 #failing { "What fails now" }
        @if overview.failing.is_empty() {
            p.empty { "No node failed when it was last attempted." }
        } @else {
            div.scroll { table.stack {
                thead { tr { th { "Node" } th { "Since" } th { "Last worked" } th { "Last attempt" } th { "Message" } } }
                tbody { @for node in &overview.failing { (failing_row(context, node)) } }
            } }
            (rest(overview.failing_total, overview.failing.len()))
        }
    }
}

fn failing_row(context: &Context, node: &Failing) -> Markup {
    let since = html! { (ago(node.failing_since_at, context.now)) };
    html! {
        tr {
            td.name {
                a href=(links::node(context.account, context.environment, &node.unique_id)) title=(node.unique_id) { bdi { (node_name(&node.unique_id)) } }
                div.note {
                    (node_type(&node.unique_id)) " · "
                    a href=(links::downstream(context.account, context.environment, &node.unique_id)) { (links::dependents(&node.unique_id)) }
                }
            }
            td data-label="Since" { @if let Some(run) = node.since_run_id { a href=(links::run(context.account, run)) { (since) } } @else { (since) } }
            td data-label="Last worked" { @if let Some(time) = node.last_success_at { (ago(time, context.now)) } @else { "never" } }
            td data-label="Last attempt" {
                (result_status(&node.status))
                div.note {
                    (ago(node.failed_at, context.now))
                    @if let Some(run) = node.run_id { " · " a href=(links::run(context.account, run)) { "Run " (run) } }
                }
            }
            td.text { (message(node.message.as_deref())) }
        }
    }
}

fn stale(context: &Context, overview: &EnvironmentOverview) -> Markup {
    // dbt says something only if the check itself failed.
    let has_message = overview.stale.iter().any(|node| node.message.is_some());
    html! {
        h2 #stale { "Sources that are too old" }
        @if overview.stale.is_empty() {
            p.empty { "The last checks of freshness found no old data, or there were none." }
        } @else {
            div.scroll { table.stack {
                thead { tr { th { "Source" } th { "Newest row" } th { "May be as old as" } th { "Checked" } @if has_message { th { "Message" } } } }
                tbody { @for node in &overview.stale { (stale_row(context, node, has_message)) } }
            } }
            (rest(overview.stale_total, overview.stale.len()))
        }
    }
}

fn stale_row(context: &Context, node: &Stale, has_message: bool) -> Markup {
    html! {
        tr {
            td.name {
                a href=(links::node(context.account, context.environment, &node.unique_id)) title=(node.unique_id) { bdi { (node_name(&node.unique_id)) } }
            }
            td data-label="Newest row" { @if let Some(time) = node.max_loaded_at { (ago(time, context.now)) } @else { "not known" } }
            td data-label="May be as old as" { (allowed(node)) }
            td data-label="Checked" {
                @if let Some(run) = node.run_id { a href=(links::run(context.account, run)) { (result_status(&node.status)) } }
                @else { (result_status(&node.status)) }
                div.note { (ago(node.checked_at, context.now)) }
            }
            @if has_message { td.text { (message(node.message.as_deref())) } }
        }
    }
}

/// How old a source may be, as dbt's criteria say it.
fn allowed(node: &Stale) -> String {
    let [warn, error] = freshness_limits(node.criteria.as_deref());
    let named = [
        warn.map(|limit| format!("{limit} (warn)")),
        error.map(|limit| format!("{limit} (error)")),
    ];
    named.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

fn message(message: Option<&str>) -> Markup {
    let (text, is_cut) = beginning(message.unwrap_or_default().trim(), MESSAGE);
    html! { (text) @if is_cut { "…" } }
}
