//! The parents and children of a node, and the macros that it calls.

use api::node::NodeDetails;
use maud::{Markup, html};

use super::Context;
use crate::parts;

/// The most nodes of each list.
const MAX_RELATIVES: usize = 200;

/// Shows the nodes around a node.
pub(super) fn relatives(node: &NodeDetails, context: Context) -> Markup {
    let knows_relatives = super::has_lineage(&node.resource_type);
    html! {
        @if knows_relatives {
            div.columns {
                section { h2 { "Depends on " span.count { (node.parents.len()) } } (list(&node.parents, node, context)) }
                section { h2 { "Used by " span.count { (node.children.len()) } } (list(&node.children, node, context)) }
            }
        }
        @if !node.macros.is_empty() {
            details.section {
                summary { "Macros that it calls " span.count { (node.macros.len()) } }
                (list(&node.macros, node, context))
            }
        }
    }
}

fn list(ids: &[String], node: &NodeDetails, context: Context) -> Markup {
    html! {
        @if ids.is_empty() { p.quiet { "None." } } @else {
            ul.nodes {
                @for id in ids.iter().take(MAX_RELATIVES) {
                    li {
                        span.kind { (parts::words(parts::node_type(id))) }
                        a href=(context.node(id)) { bdi { (parts::node_name(id)) } }
                        @if let Some(result) = node.results_of_relatives.get(id) { (parts::result_status(&result.status)) }
                    }
                }
            }
        }
        @if ids.len() > MAX_RELATIVES { p.note { "Only the first " (MAX_RELATIVES) " are shown." } }
    }
}
