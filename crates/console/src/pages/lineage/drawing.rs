//! The drawing of a graph whose nodes have texts.

use std::fmt::Write;

use discovery::NodeIndex;
use maud::{Markup, html};
use unicode_width::UnicodeWidthChar;

use super::{Lineage, name_of};
use crate::layered::{Layout, Place};
use crate::links;
use crate::parts::{count, plural};

/// Sizes in pixels: of a node, between nodes in a layer, between layers, and around the whole.
const WIDTH: f64 = 232.0;
const HEIGHT: f64 = 42.0;
const BETWEEN_NODES: f64 = 14.0;
const BETWEEN_LAYERS: f64 = 60.0;
const MARGIN: f64 = 12.0;

/// The width of drawings that are made smaller to fit into a window that is wide enough.
const FITTING: f64 = 1480.0;

/// The most columns of a name.
const NAME: usize = 24;

/// Draws a graph, and the parts of the page that enlarge and move it.
pub(super) fn draw(lineage: &Lineage<'_>, layout: &Layout) -> Markup {
    let width = f64::from(layout.layers) * (WIDTH + BETWEEN_LAYERS) - BETWEEN_LAYERS + 2.0 * MARGIN;
    let height = layout.height * (HEIGHT + BETWEEN_NODES) - BETWEEN_NODES + 2.0 * MARGIN;
    let nodes = lineage.chosen.nodes.iter().zip(&layout.places);
    html! {
        (tools())
        div.canvas data-canvas tabindex="0" role="region" aria-label="Graph; the list below has the same nodes" {
            svg.graph.fits[width <= FITTING] width=(whole(width)) height=(whole(height)) viewBox=(format!("0 0 {} {}", whole(width), whole(height))) {
                path.edges d=(edges(lineage, layout)) {}
                @for (index, place) in nodes { (node(lineage, *index, *place)) }
            }
        }
    }
}

/// Buttons that JavaScript shows.
pub(super) fn tools() -> Markup {
    html! {
        div.tools hidden data-tools {
            button.plain type="button" data-zoom="1.25" title="Larger" { "+" }
            button.plain type="button" data-zoom="0.8" title="Smaller" { "−" }
            button.plain type="button" data-zoom="0" title="All of it" { "Fit" }
        }
    }
}

fn whole(number: f64) -> i64 {
    number.round() as i64
}

fn left(place: Place) -> f64 {
    MARGIN + f64::from(place.layer) * (WIDTH + BETWEEN_LAYERS)
}

fn middle(place: Place) -> f64 {
    MARGIN + place.y * (HEIGHT + BETWEEN_NODES) - BETWEEN_NODES / 2.0
}

/// All edges as one path: curves between the layers, and straight lines where a long edge passes a layer.
fn edges(lineage: &Lineage<'_>, layout: &Layout) -> String {
    let mut path = String::new();
    let is_point = |vertex: u32| vertex as usize >= lineage.chosen.nodes.len();
    for (from, to) in &layout.parts {
        let (start, end) = (layout.places[*from as usize], layout.places[*to as usize]);
        let (x1, y1) = (whole(left(start) + WIDTH), whole(middle(start)));
        let (x2, y2) = (whole(left(end)), whole(middle(end)));
        let between = i64::midpoint(x1, x2);
        _ = match y1 == y2 {
            true => write!(path, "M{x1} {y1}H{x2}"),
            false => write!(path, "M{x1} {y1}C{between} {y1} {between} {y2} {x2} {y2}"),
        };
        if is_point(*to) {
            _ = write!(path, "h{}", whole(WIDTH));
        }
    }
    path
}

fn node(lineage: &Lineage<'_>, index: NodeIndex, place: Place) -> Markup {
    let chosen = lineage.chosen;
    let graph = chosen.defined.graph();
    let of = graph.node(index);
    let (sign, name) = (lineage.sign(index), name_of(chosen, index));
    let hidden = |others: &[NodeIndex]| {
        let hidden = others.iter().filter(|other| chosen.nodes.binary_search(other).is_err());
        hidden.filter(|other| !discovery::is_test(graph.node(**other))).count()
    };
    let (parents, children) = (hidden(&of.parents), hidden(&of.children));
    let classes = [
        (lineage.is_selected(index), "selected"),
        (lineage.is_found(index), "found"),
    ];
    let classes: Vec<&str> = classes
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, class)| class)
        .collect();
    let failing = chosen.failing_tests(index);
    let words = chosen
        .statuses
        .get(&index)
        .map_or(sign.word(), |last| last.status.as_str());
    let more = match (parents, children) {
        (0, 0) => String::new(),
        (parents, 0) => format!("← {parents}"),
        (0, children) => format!("{children} →"),
        (parents, children) => format!("← {parents} · {children} →"),
    };
    html! {
        g class={ "node " (classes.join(" ")) } transform=(format!("translate({} {})", whole(left(place)), whole(middle(place) - HEIGHT / 2.0))) {
            a href=(links::node(lineage.account, lineage.environment, &of.unique_id)) {
                title { (of.unique_id) ": " (words) }
                rect class=(sign.tone()) width=(WIDTH) height=(HEIGHT) rx="7" {}
                path.(sign.tone()) transform="translate(16 21)" d=(sign.outline()) {}
                text x="32" y="18" { (shortened(name)) }
                text.sub x="32" y="33" {
                    (of.resource_type)
                    @if failing > 0 { tspan.failing { " · " (plural(count(failing), "test fails", "tests fail")) } }
                    @else if let Some(materialized) = of.materialized.as_ref().filter(|it| **it != of.resource_type) { " · " (materialized) }
                }
            }
            @if !more.is_empty() {
                a.more href=(lineage.address.selecting(&of.unique_id)) {
                    title { "Not shown: " (plural(count(parents), "parent", "parents")) ", " (plural(count(children), "child", "children")) ". Show the lineage of " (name) }
                    text x=(WIDTH - 9.0) y="33" text-anchor="end" { (more) }
                }
            }
        }
    }
}

/// A name that fits into its node: the middle of a long one is left out, since names of a project often begin alike.
fn shortened(name: &str) -> String {
    let width = |text: &str| text.chars().map(|it| it.width().unwrap_or(0)).sum::<usize>();
    if width(name) <= NAME {
        return name.to_owned();
    }
    let take = |characters: &mut dyn Iterator<Item = char>, most: usize| {
        let mut taken = Vec::new();
        let mut used = 0;
        for character in characters {
            used += character.width().unwrap_or(0);
            // Marks without a width of their own could be any number.
            if used > most || taken.len() > 2 * most {
                break;
            }
            taken.push(character);
        }
        taken
    };
    let start = take(&mut name.chars(), NAME / 2);
    let end = take(&mut name.chars().rev(), NAME / 2 - 1);
    start.into_iter().chain(['…']).chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_beginning_and_end() {
        assert_eq!(shortened("stg_orders"), "stg_orders");
        assert_eq!(
            shortened("int_customers_with_orders_and_payments_daily"),
            "int_customer…ments_daily"
        );
        assert_eq!(
            shortened(&"漢".repeat(30)).chars().count(),
            12,
            "wide characters count twice"
        );
        assert!(shortened(&"\u{301}".repeat(500)).chars().count() <= 500);
    }
}
