//! The drawing of a graph with very many nodes: dots and lines, with few bytes for each.

use std::fmt::Write;

use maud::{Markup, html};

use super::Lineage;
use super::drawing::tools;
use super::sign::Sign;
use crate::layered::Dots;
use crate::parts::{count, plural};

/// The distance of two dots, in the units of the drawing.
const STEP: u32 = 8;

/// Draws a graph.
pub(super) fn draw(lineage: &Lineage<'_>, dots: &Dots) -> Markup {
    let (width, height) = (dots.columns * STEP, dots.rows * STEP);
    let nodes = lineage.chosen.nodes.iter().zip(&dots.places);
    let mut paths = [const { String::new() }; Sign::ALL.len()];
    for (node, place) in nodes.clone() {
        let (x, y) = at(*place);
        let sign = lineage.sign(*node);
        _ = write!(paths[sign as usize], "M{x} {y}{}", shape(sign));
    }
    let marked = nodes.filter(|(node, _)| {
        lineage.is_found(**node) || (lineage.chosen.selected.len() == 1 && lineage.is_selected(**node))
    });
    let label = plural(count(lineage.chosen.nodes.len()), "node", "nodes");
    html! {
        (tools())
        div.canvas.whole data-canvas data-near=(lineage.address.near()) tabindex="0" role="region" aria-label={ "Graph of " (label) "; the list below names them" } {
            svg.graph.dots viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(label) {
                path.edges d=(edges(lineage, dots)) {}
                @for (sign, path) in Sign::ALL.into_iter().rev().zip(paths.iter().rev()) {
                    @if !path.is_empty() { path class={ "dot " (sign.tone()) } d=(path) {} }
                }
                @for (_, place) in marked {
                    @let (x, y) = at(*place);
                    circle.ring cx=(x) cy=(y) r="7" {}
                }
            }
        }
        p.note.near data-near-name hidden { "Point at a dot to see its name; click it for its lineage. " }
    }
}

/// The middle of a dot.
pub(super) fn at((column, row): (u32, u32)) -> (u32, u32) {
    (column * STEP + STEP / 2, row * STEP + STEP / 2)
}

/// The place of the dot that is nearest to a point.
pub(super) fn nearest(dots: &Dots, (x, y): (i64, i64)) -> Option<usize> {
    let distance = |place: &(u32, u32)| {
        let (of_x, of_y) = at(*place);
        let square = |one: u32, other: i64| u128::from(i64::from(one).abs_diff(other)).pow(2);
        square(of_x, x) + square(of_y, y)
    };
    let places = dots.places.iter().enumerate();
    places.min_by_key(|(_, place)| distance(place)).map(|(index, _)| index)
}

/// The path of a dot from its middle.
fn shape(sign: Sign) -> &'static str {
    match sign {
        Sign::Bad => "m-4-4h8v8h-8z",
        Sign::Tests => "m0-5l5 5l-5 5l-5-5z",
        Sign::Warn => "m0-4l4 7h-8z",
        Sign::Skipped => "m-3-1h6v2h-6z",
        Sign::Good => "m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z",
        Sign::Nothing => "m-1.5-1.5h3v3h-3z",
    }
}

/// All edges as straight lines, relative to where they start.
fn edges(lineage: &Lineage<'_>, dots: &Dots) -> String {
    let mut path = String::with_capacity(lineage.picture.edges.len() * 14);
    for (from, to) in &lineage.picture.edges {
        let ((x1, y1), (x2, y2)) = (at(dots.places[*from as usize]), at(dots.places[*to as usize]));
        let (dx, dy) = (i64::from(x2) - i64::from(x1), i64::from(y2) - i64::from(y1));
        // A minus also separates.
        let separator = if dy < 0 { "" } else { " " };
        _ = write!(path, "M{x1} {y1}l{dx}{separator}{dy}");
    }
    path
}
