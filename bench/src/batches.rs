//! Events in batches, compared with an earlier build that applies them one by one.

mod growth;
mod journal;
mod load;

use anyhow::Context;

use crate::report::{Goal, Line};

/// Adds the lines, so that those before an error are kept.
pub(crate) async fn measure(binary: &str, before: Option<&str>, lines: &mut Vec<Line>) -> anyhow::Result<()> {
    let before = before.context("`batches` needs an earlier build to compare with: pass it as --before")?;
    lines.extend(growth::measure(binary).await?);
    lines.extend(journal::measure(binary, before).await?);
    lines.extend(load::measure(binary, before).await?);
    Ok(())
}

/// A figure of this build beside one of the same kind, with the id of the goal.
fn line(id: &'static str, what: &str, own: f64, peer: f64, unit: &'static str, goal: Goal) -> Line {
    Line::beside(what, own, unit, peer, goal).named(id)
}
