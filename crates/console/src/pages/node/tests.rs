//! The tests of a node with their last results.

use api::node::{NodeDetails, Test};
use maud::{Markup, html};

use super::Context;
use crate::parts;

/// The most tests of each table.
const MAX_TESTS: usize = 200;

/// Shows the tests of a node, and those of others that also read it.
pub(super) fn tests(node: &NodeDetails, context: Context) -> Markup {
    html! {
        @if !node.tests.is_empty() {
            section { h2 { "Tests " span.count { (node.tests.len()) } } (table(&node.tests, context)) }
        }
        @if !node.related_tests.is_empty() {
            section { h2 { "Tests of other nodes that read it " span.count { (node.related_tests.len()) } } (table(&node.related_tests, context)) }
        }
    }
}

fn table(tests: &[Test], context: Context) -> Markup {
    let mut sorted: Vec<&Test> = tests.iter().collect();
    sorted.sort_by_key(|test| rank(test));
    html! {
        div.scroll {
            table {
                thead { tr { th { "Test" } th { "Last result" } th.number { "Failures" } th.narrow-hidden { "When" } th { "Run" } } }
                tbody { @for test in sorted.iter().take(MAX_TESTS) { (row(test, context)) } }
            }
        }
        @if tests.len() > MAX_TESTS { p.note { "Only " (MAX_TESTS) " are shown, those that fail first." } }
    }
}

/// Failures come first, then warnings, then what has no result.
fn rank(test: &Test) -> u8 {
    match test
        .last_result
        .as_ref()
        .map(|result| parts::tone_of_result(&result.status))
    {
        Some("bad") => 0,
        Some("warn") => 1,
        None => 2,
        Some("idle") => 3,
        Some(_) => 4,
    }
}

fn row(test: &Test, context: Context) -> Markup {
    let name = test.name.clone().unwrap_or_else(|| parts::node_name(&test.unique_id));
    let result = test.last_result.as_ref();
    html! {
        tr {
            td.name { a href=(context.node(&test.unique_id)) { bdi { (name) } } }
            td { @if let Some(result) = result { (parts::result_status(&result.status)) } @else { span.quiet { "none yet" } } }
            td.number { @if let Some(failures) = result.and_then(|result| result.failures) { (failures) } }
            td.narrow-hidden { @if let Some(result) = result { (parts::moment(result.completed_at)) } }
            td.run { @if let Some(run) = result.and_then(|result| result.run_id) { a href=(context.run(run)) { "Run " (run) } } }
        }
    }
}
