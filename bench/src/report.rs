//! What was measured: a table for people, JSON for programs, a plot for the documentation.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// What was measured, and against what.
    pub(crate) what: String,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    /// The same of the limit or peer; none where the goal is about the figure itself.
    pub(crate) limit: Option<f64>,
    /// The figure in terms of the limit.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: String,
    pub(crate) met: bool,
    /// How much of the goal is used up: 1 is just met, more is missed.
    #[serde(skip)]
    used: f64,
}

impl Goal {
    fn used(self, value: f64) -> f64 {
        match self {
            Self::AtMost(most) => value / most,
            Self::AtLeast(least) => least / value,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most} {unit}"),
            Self::AtLeast(least) => format!("≥ {least} {unit}"),
        }
    }
}

impl Line {
    /// A figure beside its limit or peer, in the same unit; the goal is of their ratio.
    pub(crate) fn beside(what: impl Into<String>, figure: f64, unit: &'static str, limit: f64, goal: Goal) -> Self {
        let ratio = figure / limit;
        Self {
            what: what.into(),
            figure,
            unit,
            limit: Some(limit),
            ratio: Some(ratio),
            goal: goal.text("×"),
            met: goal.used(ratio) <= 1.0,
            used: goal.used(ratio),
        }
    }

    /// A figure whose goal is of itself.
    pub(crate) fn alone(what: impl Into<String>, figure: f64, unit: &'static str, goal: Goal) -> Self {
        Self {
            what: what.into(),
            figure,
            unit,
            limit: None,
            ratio: None,
            goal: goal.text(unit),
            met: goal.used(figure) <= 1.0,
            used: goal.used(figure),
        }
    }
}

/// The table for people.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut rows = vec![["what", "figure", "limit or peer", "ratio", "goal", "met"].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        [
            line.what.clone(),
            format!("{} {}", number(line.figure), line.unit),
            line.limit
                .map_or_else(String::new, |limit| format!("{} {}", number(limit), line.unit)),
            line.ratio
                .map_or_else(String::new, |ratio| format!("{} ×", number(ratio))),
            line.goal.clone(),
            if line.met { "yes" } else { "NO" }.to_owned(),
        ]
    }));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if place == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
    text
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Writes the table, the JSON and the plot into a folder.
pub(crate) fn write(lines: &[Line], machine: &str, folder: &Path) -> anyhow::Result<()> {
    let text = format!(
        "# Benchmarks\n\nWritten by `./dev bench`, which measures each figure beside its limit or peer in the same run.\n\n{machine}\n{}\n![How much of each goal is used up](results.svg)\n\n![How cost grows with what there is](growth.svg)\n",
        table(lines)
    );
    std::fs::write(folder.join("results.md"), text)?;
    std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(lines)? + "\n")?;
    std::fs::write(folder.join("results.svg"), plot(lines))?;
    Ok(())
}

const LEFT: f64 = 610.0;
const RIGHT: f64 = 1_040.0;
const WIDTH: f64 = 1_080.0;
const ROW: f64 = 22.0;

/// Bars of how much of its goal each figure uses up, on a scale of powers: from a hundredth to ten times.
fn plot(lines: &[Line]) -> String {
    let place = |used: f64| LEFT + (RIGHT - LEFT) * ((used.max(0.01).log10() + 2.0) / 3.0).clamp(0.0, 1.0);
    let height = ROW * (lines.len() as f64 + 2.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (used, label) in [(0.01, "0.01"), (0.1, "0.1"), (1.0, "goal"), (10.0, "10")] {
        let (x, color) = (place(used), if label == "goal" { "black" } else { "#ccc" });
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" y1=\"{ROW}\" x2=\"{x}\" y2=\"{height}\" stroke=\"{color}\"/><text x=\"{x}\" y=\"15\" text-anchor=\"middle\">{label}</text>"
        );
    }
    for (row, line) in lines.iter().enumerate() {
        let y = ROW * (row as f64 + 1.5);
        let color = if line.met { "#4c9a52" } else { "#c8553d" };
        let what = line.what.replace('&', "&amp;").replace('<', "&lt;");
        let width = place(line.used) - LEFT;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{what}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"14\" fill=\"{color}\"/>",
            LEFT - 8.0,
            y + 11.0
        );
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_from_its_own_side() {
        assert!(Line::beside("a", 1.2, "s", 1.0, Goal::AtMost(1.3)).met);
        assert!(!Line::beside("a", 1.4, "s", 1.0, Goal::AtMost(1.3)).met);
        assert!(Line::beside("a", 70.0, "requests/s", 100.0, Goal::AtLeast(0.6)).met);
        assert!(!Line::beside("a", 50.0, "requests/s", 100.0, Goal::AtLeast(0.6)).met);
        assert!(Line::alone("a", 100.0, "MiB", Goal::AtMost(192.0)).met);
    }
}
