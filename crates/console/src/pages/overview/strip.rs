//! The newest runs of a job as a row of bars.

use api::overview::{JobStrip, MAX_RUNS, StripRun};
use maud::{Markup, html};
use schemas::{AccountId, RunStatus};

use crate::links;
use crate::parts::{seconds, tone_of_run};

/// The width of a bar with the space after it.
const STEP: usize = 10;

/// The lowest and the highest bar.
const HEIGHTS: (f64, f64) = (4.0, 24.0);

/// Draws the runs, the newest at the right. The longest run has the highest bar. Below the bars of runs that did not succeed is a mark, so that
/// they are known without colours.
pub(super) fn strip(account: AccountId, job: &JobStrip, name: &str) -> Markup {
    let slots = usize::try_from(MAX_RUNS).unwrap_or(0).max(job.runs.len());
    let longest = job.runs.iter().map(|run| run.duration).fold(0.0, f64::max);
    let width = slots * STEP;
    let first = slots - job.runs.len();
    html! {
        svg.strip width=(width) height="32" viewBox=(format!("0 0 {width} 32")) role="group" aria-label={ "Last runs of " (name) } {
            path.base d=(format!("M0 25.5h{width}")) {}
            @for (place, run) in job.runs.iter().enumerate() {
                (bar(account, run, (first + place) * STEP, longest))
            }
        }
    }
}

fn bar(account: AccountId, run: &StripRun, x: usize, longest: f64) -> Markup {
    let (lowest, highest) = HEIGHTS;
    let share = if longest > 0.0 { run.duration / longest } else { 0.0 };
    let height = (lowest + share * (highest - lowest)).round();
    let top = highest + 1.0 - height;
    let mark = match RunStatus::from_number(run.status) {
        Some(RunStatus::Error) => format!("M{} 27h5v5h-5z", x + 1),
        Some(RunStatus::Success) => String::new(),
        _ => format!("M{x} 28h7v1.5h-7z"),
    };
    html! {
        a href=(links::run(account, run.run_id)) {
            title { (said(run)) }
            path.slot d=(format!("M{x} 0h{STEP}v32h-{STEP}z")) {}
            path class=(tone_of_run(run.status)) d=(format!("M{x} {top}h7v{height}h-7z{mark}")) {}
        }
    }
}

fn said(run: &StripRun) -> String {
    let word = RunStatus::from_number(run.status).map_or("Unknown", RunStatus::humanized);
    format!("{word}, {} UTC, {}", run.started_at.format("%Y-%m-%d %H:%M"), took(run))
}

/// How long a run took.
pub(super) fn took(run: &StripRun) -> String {
    seconds(run.duration)
}
