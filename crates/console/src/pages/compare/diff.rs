//! The difference between two texts, line by line.

use std::time::{Duration, Instant};

use maud::{Markup, html};
use similar::{ChangeTag, DiffOp, TextDiff};

/// How many equal lines are shown around a difference.
const AROUND: usize = 3;

/// How many lines are shown at most.
const MAX_LINES: usize = 300;

/// The longest text that is compared, in characters.
const MAX_LENGTH: usize = 100_000;

/// How long the smallest difference of two texts is looked for. Then a larger one is shown.
const MAX_TIME: Duration = Duration::from_millis(50);

/// The same for all texts of a page.
const MAX_TIME_OF_ALL: Duration = Duration::from_millis(500);

/// The texts of a page, which share the time.
pub(super) struct Differ {
    end: Instant,
}

impl Differ {
    pub(super) fn new() -> Self {
        Self {
            end: Instant::now() + MAX_TIME_OF_ALL,
        }
    }

    /// Shows what differs, for screen readers and without colours too: each line begins with a sign.
    pub(super) fn lines(&self, before: &str, now: &str) -> Markup {
        let left = self.end.saturating_duration_since(Instant::now());
        lines(before, now, left.min(MAX_TIME))
    }
}

fn lines(before: &str, now: &str, time: Duration) -> Markup {
    let (before, is_cut) = crate::parts::beginning(before, MAX_LENGTH);
    let (now, also_cut) = crate::parts::beginning(now, MAX_LENGTH);
    let [before, now] = [before, now].map(ended);
    if before == now {
        return html! { p.note { "Only the white space at the end differs." } };
    }
    let diff = TextDiff::configure()
        .timeout(time)
        .diff_lines(before.as_str(), now.as_str());
    let groups = diff.grouped_ops(AROUND);
    let total: usize = groups.iter().flatten().map(length).sum();
    // A gap before each group but the first.
    let shown = groups.iter().enumerate().flat_map(|(number, group)| {
        let gap = (number > 0).then_some(None);
        gap.into_iter()
            .chain(group.iter().flat_map(|op| diff.iter_changes(op)).map(Some))
    });
    html! {
        pre.diff tabindex="0" {
            @for change in shown.take(MAX_LINES) {
                @match change {
                    Some(change) => (line(change.tag(), change.value())),
                    None => span.line.gap { "⋯" },
                }
            }
        }
        @if total > MAX_LINES { p.note { "Only the first " (MAX_LINES) " of " (total) " lines are shown." } }
        @if is_cut || also_cut { p.note { "The rest is too long to be compared." } }
    }
}

/// The text with one line break at its end. Without it, the last line would differ from the same line before others.
fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

fn length(op: &DiffOp) -> usize {
    match op {
        DiffOp::Equal { len, .. } => *len,
        DiffOp::Delete { old_len, .. } => *old_len,
        DiffOp::Insert { new_len, .. } => *new_len,
        DiffOp::Replace { old_len, new_len, .. } => old_len + new_len,
    }
}

fn line(tag: ChangeTag, text: &str) -> Markup {
    let (class, sign) = match tag {
        ChangeTag::Equal => ("same", "  "),
        ChangeTag::Delete => ("del", "− "),
        ChangeTag::Insert => ("ins", "+ "),
    };
    html! { span.line.(class) { (sign) (text.trim_end_matches(['\n', '\r'])) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_have_signs() {
        let shown = lines("a\nb\nc\n", "a\nx<y\nc\n", MAX_TIME).into_string();
        assert!(
            shown.contains(r#"<span class="line del">− b</span><span class="line ins">+ x&lt;y</span>"#),
            "{shown}"
        );
        assert!(shown.contains(r#"<span class="line same">  a</span>"#), "{shown}");
    }

    #[test]
    fn the_end_of_the_last_line_is_not_a_difference() {
        let shown = lines("a\nb", "a\nb\nc", MAX_TIME).into_string();
        assert!(
            shown.contains(r#"<span class="line same">  b</span><span class="line ins">+ c</span>"#),
            "{shown}"
        );
        assert!(
            lines("a", "a\n", MAX_TIME)
                .into_string()
                .contains("Only the white space")
        );
    }

    #[test]
    fn equal_lines_far_away_are_left_out() {
        let before = "same\n".repeat(100) + "old\n";
        let now = "new\n".to_owned() + &"same\n".repeat(100) + "old\nend\n";
        let shown = lines(&before, &now, MAX_TIME).into_string();
        assert_eq!(shown.matches("same</span>").count(), 3 + 2, "{shown}");
        assert!(shown.contains("⋯"));
    }

    #[test]
    fn huge_differences_are_cut() {
        let text = |word: &str| {
            (0..50_000)
                .map(|number| format!("{word} {number}\n"))
                .collect::<String>()
        };
        let shown = lines(&text("old"), &text("new"), MAX_TIME).into_string();
        assert!(shown.len() < 50_000, "{}", shown.len());
        assert!(shown.contains("Only the first 300 of") && shown.contains("too long to be compared"));
    }

    #[test]
    fn without_time_a_difference_is_shown_that_may_not_be_the_smallest() {
        let shown = lines("a\nb\nc\n", "a\nx\nc\n", Duration::ZERO).into_string();
        assert!(shown.contains("− b") && shown.contains("+ x"), "{shown}");
    }
}
