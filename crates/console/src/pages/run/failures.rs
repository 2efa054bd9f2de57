//! What failed in a run, with message and code, and what was skipped because of it.

use api::run_overview::{FAILURES, RunFailure, RunOverview, SkippedBecause};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{Context, Shown};
use crate::parts::{ago, beginning, count, node_type, pages, plural, result_status, seconds};
use crate::{highlight, links};

/// How many characters of a message are shown.
const MESSAGE: usize = 1_500;

/// How many characters of code are shown.
const CODE: usize = 3_000;

/// How many skipped nodes are named of each group.
const NAMED: usize = 20;

/// The failures of a page.
pub(super) fn failures(context: &Context, run: &RunOverview, shown: &Shown, now: DateTime<Utc>) -> Markup {
    if run.failures_total == 0 {
        return Markup::default();
    }
    let page = count(shown.failures.unwrap_or(1).max(1));
    let address = |page| format!("{}?failures={page}#failures", context.address());
    html! {
        h2 #failures { "Failures" }
        @for (rank, failure) in run.failures.iter().enumerate() { (card(context, failure, rank, now)) }
        @if run.failures_total > run.failures.len() {
            (pages(page, count(FAILURES), run.failures.len(), count(run.failures_total), address))
        }
    }
}

fn card(context: &Context, failure: &RunFailure, rank: usize, now: DateTime<Utc>) -> Markup {
    let (message, is_cut) = beginning(failure.message.as_deref().unwrap_or_default().trim(), MESSAGE);
    html! {
        article.card.failure {
            div.row.spread {
                h3 { (context.node(&failure.unique_id)) " " span.kind { (node_type(&failure.unique_id)) } }
                div.row.quiet {
                    (result_status(&failure.status))
                    @if let Some(rows) = failure.failures.filter(|rows| *rows > 0) { span { (plural(rows, "row", "rows")) } }
                    span { "command " (failure.step) }
                    span { (seconds(failure.execution_time)) }
                }
            }
            p.note {
                @if let Some(time) = failure.last_success_at {
                    "Last worked "
                    @if let Some(run) = failure.last_success_run_id {
                        a href=(links::run(context.account, run)) { (ago(time, now)) }
                        @if run != context.run { " · " a href={ (links::compare(context.account, run, context.run)) "#nodes" } { "What changed since" } }
                    }
                    @else { (ago(time, now)) }
                } @else if is_source(&failure.unique_id) { "A check of its freshness" } @else { "Never worked before" }
                " · " a href=(links::downstream(context.account, context.environment, &failure.unique_id)) { (links::dependents(&failure.unique_id)) }
            }
            @if !message.is_empty() { pre.message tabindex="0" { (message) @if is_cut { "…" } } }
            @if let Some(code) = &failure.compiled_code {
                (code_of(context, failure, code, rank))
            } @else if !is_source(&failure.unique_id) {
                p.note { "The run's manifest has no compiled code of it." }
            }
        }
    }
}

fn code_of(context: &Context, failure: &RunFailure, code: &str, rank: usize) -> Markup {
    let (text, is_cut) = beginning(code.trim(), CODE);
    html! {
        // The first one is open, so that the reason is seen at once.
        details open[rank == 0] {
            summary { @if links::is_test(&failure.unique_id) { "SQL of the test" } @else { "Compiled code" } }
            pre.code tabindex="0" { (highlight::sql(text)) @if is_cut { "…" } }
            @if is_cut { p.note { "This is the beginning: " (context.node(&failure.unique_id)) " has all of it." } }
        }
    }
}

/// Whether this is a source, whose check of freshness failed: it has no code, and these checks are not attempts.
fn is_source(unique_id: &str) -> bool {
    unique_id.starts_with("source.")
}

/// What was skipped, by cause.
pub(super) fn skipped(context: &Context, run: &RunOverview) -> Markup {
    html! {
        @if !run.skipped.is_empty() {
            h2 #skipped { "Skipped" }
            div.scroll { table {
                thead { tr { th { "Because of" } th.number { "Nodes" } th { "Which" } } }
                tbody { @for group in run.skipped.iter().take(NAMED) { (group_row(context, group)) } }
            } }
            @if run.skipped.len() > NAMED { p.note { "And because of " (run.skipped.len() - NAMED) " more; the results below have all." } }
        }
    }
}

fn group_row(context: &Context, group: &SkippedBecause) -> Markup {
    html! {
        tr {
            td.name {
                @if let Some(cause) = &group.unique_id { (context.node(cause)) div.note { (node_type(cause)) } }
                @else { span.quiet { "no failure was found" } }
            }
            td.number { (group.nodes) }
            td {
                @for (rank, node) in group.unique_ids.iter().take(NAMED).enumerate() {
                    @if rank > 0 { ", " }
                    (context.node(node))
                }
                @if group.nodes > NAMED { " and " (group.nodes - NAMED) " more" }
            }
        }
    }
}
