//! The results that differ between two runs.

use api::run_overview::RunComparison;
use maud::{Markup, html};

use super::Context;
use crate::parts;

/// Shows the nodes that ended with another status, and how many took another time.
pub(super) fn results(comparison: &RunComparison, context: &Context) -> Markup {
    let shown = comparison.status_changed.len();
    html! {
        h2 { "Results" }
        @if shown == 0 { p.quiet { "No node that both have ended with another status." } } @else {
            div.scroll { table {
                thead { tr { th { "Node" } th { "Before" } th { "Now" } } }
                tbody { @for change in &comparison.status_changed {
                    tr {
                        td.name { (context.node(&change.unique_id, true)) }
                        td { (parts::result_status(&change.before)) }
                        td { (parts::result_status(&change.now)) }
                    }
                } }
            } }
            (parts::rest(parts::count(comparison.status_changed_total), shown))
        }
        @if comparison.added_total + comparison.removed_total + comparison.slower_total + comparison.faster_total > 0 {
            p.note {
                (comparison.added_total) " only in the second, " (comparison.removed_total) " only in the first, "
                (comparison.slower_total) " slower, " (comparison.faster_total) " faster."
            }
        }
    }
}
