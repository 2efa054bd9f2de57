//! When the nodes of a run ran, thread by thread, and which of them decided when it ended.

use std::collections::BTreeMap;

use api::run_overview::{PathNode, RunOverview, Timeline, TimelineNode};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Context;
use crate::links;
use crate::parts::{node_name, seconds, tone_of_result};

/// The width of the drawing, of the names of threads, and of the space between two commands.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 62.0;
const GAP: f64 = 14.0;

/// The height of the scale, of a thread, and of a bar.
const TOP: f64 = 36.0;
const LANE: f64 = 22.0;
const BAR: f64 = 18.0;

/// The narrowest bar.
const NARROWEST: f64 = 2.0;

/// The width of a letter, and the least width that has a name in it.
const LETTER: f64 = 6.4;
const NAMED: f64 = 46.0;

/// The distances between two lines of the scale, in seconds, and the least space between them.
const DISTANCES: [f64; 17] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
];
const LEAST_SPACE: f64 = 80.0;

/// The part of the drawing that a command has.
struct Part {
    step: i64,
    from: DateTime<Utc>,
    seconds: f64,
    x: f64,
}

/// The commands beside each other, without the time between them.
struct Scale {
    parts: Vec<Part>,
    /// The width of a second.
    second: f64,
}

impl Scale {
    fn new(timeline: &Timeline) -> Self {
        let mut times: BTreeMap<i64, (DateTime<Utc>, f64)> = BTreeMap::new();
        for node in &timeline.nodes {
            let entry = times.entry(node.step).or_insert((node.started_at, 0.0));
            entry.0 = entry.0.min(node.started_at);
        }
        for node in &timeline.nodes {
            if let Some((from, length)) = times.get_mut(&node.step) {
                *length = length.max((node.started_at - *from).as_seconds_f64() + node.execution_time);
            }
        }
        let total: f64 = times.values().map(|(_, length)| length).sum();
        let gaps = GAP * times.len().saturating_sub(1) as f64;
        let second = (WIDTH - LEFT - gaps).max(0.0) / total.max(0.001);
        let mut x = LEFT;
        let mut parts = Vec::new();
        for (step, (from, length)) in times {
            parts.push(Part {
                step,
                from,
                seconds: length,
                x,
            });
            x += length * second + GAP;
        }
        Self { parts, second }
    }

    fn x(&self, node: &TimelineNode) -> f64 {
        let part = self.parts.iter().find(|part| part.step == node.step);
        part.map_or(LEFT, |part| {
            part.x + (node.started_at - part.from).as_seconds_f64() * self.second
        })
    }

    fn distance(&self) -> f64 {
        let is_wide = |distance: &&f64| **distance * self.second >= LEAST_SPACE;
        DISTANCES.iter().find(is_wide).copied().unwrap_or(86_400.0)
    }
}

/// The timeline and the critical path.
pub(super) fn section(context: &Context, run: &RunOverview) -> Markup {
    if run.timeline.nodes.is_empty() {
        return Markup::default();
    }
    html! {
        h2 #timeline { "Timeline" }
        div.scroll.plot tabindex="0" role="region" aria-label="Timeline" { (drawing(context, &run.timeline)) }
        p.note {
            "Each row is a thread, each bar a node; outlined bars are the critical path, a cross is a failure. Time between commands is left out."
            @if run.timeline.left_out > 0 {
                " Only the nodes that took longest are drawn: " (run.timeline.left_out) " more took " (seconds(run.timeline.left_out_seconds)) " together."
            }
        }
        @if run.critical_path.len() > 1 { (critical(context, &run.critical_path)) }
    }
}

fn drawing(context: &Context, timeline: &Timeline) -> Markup {
    let scale = Scale::new(timeline);
    let threads = timeline.nodes.iter().map(|node| node.thread).max().unwrap_or(1);
    let bottom = TOP + LANE * threads as f64;
    html! {
        svg.timeline viewBox=(format!("0 0 {WIDTH} {}", bottom + 2.0)) role="group" aria-label="Nodes by thread and time" {
            @for part in &scale.parts { (ruler(part, &scale, bottom)) }
            @for thread in 1..=threads {
                text.quiet x="0" y=(TOP + LANE * thread as f64 - 8.0) { "Thread " (thread) }
            }
            @for node in &timeline.nodes { (bar(context, node, &scale)) }
        }
    }
}

/// The name of a command, and lines at whole times after its beginning.
fn ruler(part: &Part, scale: &Scale, bottom: f64) -> Markup {
    let distance = scale.distance();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few lines fit")]
    let lines = ((part.seconds / distance).floor() as u32).min(40);
    let end = part.x + part.seconds * scale.second;
    html! {
        text x=(tenths(part.x)) y="12" { "#" (part.step) }
        @for line in 0..=lines {
            @let x = part.x + f64::from(line) * distance * scale.second;
            path.grid d=(format!("M{} {}V{}", tenths(x), TOP - 4.0, bottom)) {}
            @if x + 30.0 < end || line == 0 { text.quiet x=(tenths(x)) y="27" { (short(f64::from(line) * distance)) } }
        }
    }
}

/// A time on the scale.
fn short(time: f64) -> String {
    match time {
        60.0.. => {
            let (minutes, rest) = ((time / 60.0).floor(), time % 60.0);
            if rest < 0.5 {
                format!("{minutes} min")
            } else {
                format!("{minutes}:{rest:02.0} min")
            }
        }
        time if time.fract() > 0.01 => format!("{time:.1} s"),
        time => format!("{time:.0} s"),
    }
}

fn bar(context: &Context, node: &TimelineNode, scale: &Scale) -> Markup {
    let x = scale.x(node);
    let width = (node.execution_time * scale.second).max(NARROWEST);
    let y = TOP + LANE * (node.thread as f64 - 1.0);
    let name = node_name(&node.unique_id);
    let tone = tone_of_result(&node.status);
    let class = if node.is_critical {
        format!("{tone} critical")
    } else {
        tone.to_owned()
    };
    html! {
        a href=(links::node(context.account, context.environment, &node.unique_id)) {
            title { (name) ", " (node.status) ", " (seconds(node.execution_time)) }
            rect class=(class) x=(tenths(x)) y=(y) width=(tenths(width)) height=(BAR) {}
            @if tone == "bad" && width >= 8.0 {
                path.cross d=(format!("M{0} {1}l7 7m0 -7l-7 7", tenths(x + width.min(16.0) / 2.0 - 3.5), y + 5.5)) {}
            }
            @if width >= NAMED { text.on-bar x=(tenths(x + if tone == "bad" { 18.0 } else { 5.0 })) y=(y + 13.0) { (fitting(&name, width)) } }
        }
    }
}

/// As much of a name as a bar has room for.
fn fitting(name: &str, width: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the width is that of the drawing at most"
    )]
    let letters = ((width - 22.0) / LETTER) as usize;
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let shown: String = name.chars().take(letters.saturating_sub(1)).collect();
    shown + "…"
}

/// Positions with one digit, which is finer than a screen.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn critical(context: &Context, path: &[PathNode]) -> Markup {
    let total: f64 = path.iter().map(|node| node.execution_time + node.waited).sum();
    html! {
        h3 { "Critical path" }
        p.note { "Each of these nodes waited for the one before it, and the last one decided when the longest command ended. They took " (seconds(total)) ", with the time that they waited for a thread or for tests." }
        div.scroll { table {
            thead { tr { th { "Node" } th { "Share" } th.number { "Took" } th.number { "Waited before" } } }
            tbody {
                @for node in path {
                    tr {
                        td.name { (context.node(&node.unique_id)) }
                        td { (share(node.execution_time / total.max(0.001))) }
                        td.number { (seconds(node.execution_time)) }
                        td.number { @if node.waited >= 0.01 { (seconds(node.waited)) } @else { "–" } }
                    }
                }
            }
        } }
    }
}

fn share(share: f64) -> Markup {
    html! {
        svg.share width="160" height="10" viewBox="0 0 160 10" role="img" aria-label={ (format!("{:.0} %", share * 100.0)) } {
            rect.rest width="160" height="10" rx="2" {}
            rect.part width=(tenths(160.0 * share.clamp(0.0, 1.0))) height="10" rx="2" {}
        }
    }
}
