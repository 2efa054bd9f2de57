//! What differs between a run and the one before.

use api::run_overview::{RunComparison, RunOverview, TimeChange};
use maud::{Markup, html};

use super::Context;
use crate::links;
use crate::parts::{count, rest, result_status, seconds};

/// The differences.
pub(super) fn section(context: &Context, run: &RunOverview) -> Markup {
    let Some(comparison) = &run.comparison else {
        return Markup::default();
    };
    html! {
        h2 #comparison { "Compared with before" }
        p {
            "The run before is " a href=(links::run(context.account, comparison.run_id)) { "#" (comparison.run_id) } ". "
            a href=(links::compare(context.account, comparison.run_id, run.run_id)) { "Compare the code and columns of both" } "."
        }
        @if is_same(comparison) {
            p.empty { "The same nodes ended in the same way, in about the same time." }
        }
        (statuses(context, comparison))
        div.columns {
            (times(context, "Slower", comparison.slower_total, &comparison.slower))
            (times(context, "Faster", comparison.faster_total, &comparison.faster))
            (names(context, "Only in this run", comparison.added_total, &comparison.added))
            (names(context, "Only in the run before", comparison.removed_total, &comparison.removed))
        }
    }
}

fn is_same(comparison: &RunComparison) -> bool {
    let RunComparison {
        status_changed_total,
        added_total,
        removed_total,
        slower_total,
        faster_total,
        ..
    } = comparison;
    [
        status_changed_total,
        added_total,
        removed_total,
        slower_total,
        faster_total,
    ]
    .into_iter()
    .all(|total| *total == 0)
}

fn statuses(context: &Context, comparison: &RunComparison) -> Markup {
    html! {
        @if !comparison.status_changed.is_empty() {
            h3 { "Another status (" (comparison.status_changed_total) ")" }
            div.scroll { table {
                thead { tr { th { "Node" } th { "Before" } th { "Now" } } }
                tbody { @for change in &comparison.status_changed {
                    tr { td.name { (context.node(&change.unique_id)) } td { (result_status(&change.before)) } td { (result_status(&change.now)) } }
                } }
            } }
            (rest(count(comparison.status_changed_total), comparison.status_changed.len()))
        }
    }
}

fn times(context: &Context, title: &str, total: usize, changes: &[TimeChange]) -> Markup {
    html! {
        @if !changes.is_empty() {
            section {
                h3 { (title) " (" (total) ")" }
                table {
                    thead { tr { th { "Node" } th.number { "Before" } th.number { "Now" } } }
                    tbody { @for change in changes {
                        tr { td.name { (context.node(&change.unique_id)) } td.number { (seconds(change.before)) } td.number { (seconds(change.now)) } }
                    } }
                }
                (rest(count(total), changes.len()))
            }
        }
    }
}

fn names(context: &Context, title: &str, total: usize, unique_ids: &[String]) -> Markup {
    html! {
        @if !unique_ids.is_empty() {
            section {
                h3 { (title) " (" (total) ")" }
                ul { @for unique_id in unique_ids { li { (context.node(unique_id)) } } }
                (rest(count(total), unique_ids.len()))
            }
        }
    }
}
