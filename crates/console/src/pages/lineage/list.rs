//! The shown nodes as a list: the graph for those who do not see it, or whose browser does not draw it.

use discovery::NodeIndex;
use maud::{Markup, html};

use super::picture::Drawn;
use super::{Lineage, name_of};
use crate::links;
use crate::parts::{count, moment, plural, result_status};

/// The most nodes that are listed.
const MAX_LISTED: usize = 300;

/// Lists the nodes: those that were searched for, then those that did not succeed, then from parents to children.
pub(super) fn list(lineage: &Lineage<'_>) -> Markup {
    let nodes = &lineage.chosen.nodes;
    let layer = |place: usize| match &lineage.picture.drawn {
        Drawn::Labels(layout) => layout.places[place].layer,
        Drawn::Dots(dots) => dots.places[place].0,
    };
    let mut sorted: Vec<(bool, u8, u32, NodeIndex)> = nodes
        .iter()
        .enumerate()
        .map(|(place, node)| {
            let sign = (lineage.sign(*node) as u8).min(super::Sign::Good as u8);
            (!lineage.is_found(*node), sign, layer(place), *node)
        })
        .collect();
    sorted.sort_unstable();
    html! {
        h2 { "The nodes as a list" }
        div.scroll { table.nodes {
            thead { tr { th { "Node" } th { "Type" } th { "Last result" } th.narrow-hidden { "Completed" } th.number.narrow-hidden { "Parents" } th.number.narrow-hidden { "Children" } th { "Lineage" } } }
            tbody { @for (.., node) in sorted.iter().take(MAX_LISTED) { (row(lineage, *node)) } }
        } }
        @if sorted.len() > MAX_LISTED {
            p.note { (MAX_LISTED) " of " (plural(count(sorted.len()), "node", "nodes")) " are listed: those that did not succeed come first. Select or find others to list them." }
        }
    }
}

fn row(lineage: &Lineage<'_>, index: NodeIndex) -> Markup {
    let graph = lineage.chosen.defined.graph();
    let node = graph.node(index);
    let children = node
        .children
        .iter()
        .filter(|child| !discovery::is_test(graph.node(**child)))
        .count();
    let last = lineage.chosen.statuses.get(&index);
    let failing = lineage.chosen.failing_tests(index);
    let name = name_of(lineage.chosen, index);
    html! {
        tr aria-current=[lineage.is_selected(index).then_some("true")] {
            td.name { a href=(links::node(lineage.account, lineage.environment, &node.unique_id)) title=(node.unique_id) {
                @if lineage.is_found(index) { mark { bdi { (name) } } } @else { bdi { (name) } }
            } }
            td.of-type { (node.resource_type) @if let Some(materialized) = node.materialized.as_ref().filter(|it| **it != node.resource_type) { span.note { " · " (materialized) } } }
            td {
                @match last { Some(last) => (result_status(&last.status)), None => span.quiet { "–" } }
                @if failing > 0 { " " span.note { (plural(count(failing), "test fails", "tests fail")) } }
            }
            td.narrow-hidden { @if let Some(last) = last { (moment(last.at)) } }
            td.number.narrow-hidden { (node.parents.len()) }
            td.number.narrow-hidden { (children) }
            td { a href=(lineage.address.selecting(&node.unique_id)) aria-label={ "Show the lineage of " (name) } { "Show" } }
        }
    }
}
