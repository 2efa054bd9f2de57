//! The history of a node as a plot: a bar for each result, as high as it took long.

use api::node::{Attempt, NodeDetails};
use maud::{Markup, html};

use super::Context;
use crate::parts;

/// The measures of the plot, in its own units.
const WIDTH: usize = 600;
const HEIGHT: usize = 96;
const STEP: usize = 10;

/// A bar is at least this high, so that it is seen.
const LEAST: f64 = 4.0;

/// Shows the results of a node, the oldest on the left.
pub(super) fn history(node: &NodeDetails, context: Context) -> Markup {
    let is_source = node.resource_type == "source";
    let attempts = &node.history;
    let longest = attempts
        .iter()
        .filter_map(|attempt| attempt.execution_time)
        .fold(0.0, f64::max);
    let title = if is_source {
        "Checks of freshness"
    } else {
        "Results over time"
    };
    html! {
        h2 { (title) }
        svg.history viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group" aria-label=(title) {
            line.axis x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
            @for (place_of, attempt) in attempts.iter().rev().enumerate() {
                (bar(attempt, WIDTH - (attempts.len() - place_of) * STEP, longest, context))
            }
        }
        p.row.spread.note {
            @if let (Some(first), Some(last)) = (attempts.last(), attempts.first()) {
                span { (attempts.len()) @if attempts.len() == 1 { " result" } @else { " results" } ", since " (parts::moment(first.completed_at)) }
                @if longest > 0.0 { span { "longest " (parts::seconds(longest)) } }
                @if let Some(time) = last.execution_time.filter(|_| !is_source) { span { "last " (parts::seconds(time)) } }
            }
        }
    }
}

fn bar(attempt: &Attempt, x: usize, longest: f64, context: Context) -> Markup {
    let share = attempt
        .execution_time
        .filter(|_| longest > 0.0)
        .map_or(0.0, |time| time.max(0.0) / longest);
    // Room for the sign above.
    let height = LEAST + share * (HEIGHT as f64 - 14.0 - LEAST);
    let top = HEIGHT as f64 - height;
    let tone = parts::tone_of_result(&attempt.status);
    let what = describe(attempt);
    let drawn = html! {
        title { (what) }
        rect.(tone) x=(x) y=(format!("{top:.1}")) width=(STEP - 2) height=(format!("{height:.1}")) rx="1" {}
        @if let Some(sign) = sign(tone) { text.sign x=(x + STEP / 2 - 1) y=(format!("{:.1}", top - 3.0)) { (sign) } }
    };
    html! {
        @if let Some(run) = attempt.run_id { a href=(context.run(run)) aria-label=(what) { (drawn) } } @else { g { (drawn) } }
    }
}

/// A sign beside the colour, for what is not good.
fn sign(tone: &str) -> Option<&'static str> {
    match tone {
        "bad" => Some("×"),
        "warn" => Some("!"),
        "idle" => Some("–"),
        _ => None,
    }
}

fn describe(attempt: &Attempt) -> String {
    let mut what = format!(
        "{}, {} UTC",
        attempt.status,
        attempt.completed_at.format("%Y-%m-%d %H:%M")
    );
    if let Some(time) = attempt.execution_time {
        what.push_str(&format!(", {}", parts::seconds(time)));
    }
    if let Some(failures) = attempt.failures.filter(|failures| *failures > 0) {
        what.push_str(&format!(", {failures} failures"));
    }
    what
}
