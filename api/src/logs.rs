//! The logs of steps: the end of the `dbt.log` that was uploaded with the files of a step.

use std::sync::Arc;

use bucket::{Bucket, Error};
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::queries::artifacts::RunFile;
use read_model::queries::logs::StepLog;
use schemas::AccountId;

use crate::resources::step::{Log, Step};
use crate::state::State;

/// How many lines of a log are shown, as in dbt Cloud.
const MAX_LINES: usize = 1_000;

/// The longest text that is shown of a log, in bytes.
const MAX_TEXT: usize = 100 << 10;

/// The longest text that is shown where the client asks for whole logs, in bytes.
const MAX_WHOLE: usize = 2 << 20;

/// The most that the logs of one answer show together, in bytes.
const MAX_TOTAL: usize = 2 << 20;

/// The most that is decompressed for one answer, in bytes. The end of a log can only be reached through the rest of it.
const MAX_READ: i64 = 64 << 20;

/// How many logs are read at once.
const AT_ONCE: usize = 4;

/// What is shown in place of a log that is too large.
const TOO_LARGE: &str = "This log is too large to be shown here. The whole file is among the artifacts of the run.";

/// A log to read: the index of its step, the file, and how many bytes of its end are wanted.
struct Wanted(usize, RunFile, usize);

/// Adds the logs to these steps. Later steps come first if not all of them can be shown. A log that cannot be read is left out, because the
/// rest of the answer does not depend on the bucket.
pub(crate) async fn add(state: &State, account: AccountId, steps: &mut [Step], logs: &[StepLog], is_whole: bool) {
    let wanted = plan(steps, logs, if is_whole { MAX_WHOLE } else { MAX_TEXT });
    let ends = stream::iter(wanted).map(|Wanted(index, file, limit)| async move {
        let end = end_of(&state.bucket, account, file, limit).await;
        (index, end.map(|(text, is_cut)| text_of(&text, is_cut, limit)))
    });
    let ends: Vec<_> = ends.buffer_unordered(AT_ONCE).collect().await;
    for (index, text) in ends {
        match text {
            Ok(text) => {
                let end: Arc<str> = last_lines(&text).into();
                let debug = if is_whole { text.into() } else { Arc::clone(&end) };
                steps[index].set_log(Log { end, debug });
            }
            Err(error) => tracing::warn!(%error, "cannot read the log of a step"),
        }
    }
}

/// Chooses what is read. Steps whose log is too large get a remark instead.
fn plan(steps: &mut [Step], logs: &[StepLog], limit: usize) -> Vec<Wanted> {
    let (mut left_to_read, mut left_to_show) = (MAX_READ, MAX_TOTAL);
    let mut wanted = Vec::new();
    for (index, step) in steps.iter_mut().enumerate().rev() {
        let Some(log) = logs.iter().find(|log| log.step_id == step.id()) else {
            continue;
        };
        let limit = limit.min(left_to_show);
        if log.file.size > left_to_read || limit == 0 {
            let remark: Arc<str> = TOO_LARGE.into();
            step.set_log(Log {
                end: Arc::clone(&remark),
                debug: remark,
            });
            continue;
        }
        left_to_read -= log.file.size;
        left_to_show -= usize::try_from(log.file.size).map_or(limit, |size| size.min(limit));
        wanted.push(Wanted(index, log.file, limit));
    }
    wanted
}

/// Returns at most the last `limit` bytes of a file, and whether there are more before them.
async fn end_of(bucket: &Bucket, account: AccountId, file: RunFile, limit: usize) -> Result<(Vec<u8>, bool), Error> {
    let mut content = bucket.open_artifact(account, file.sha256).await?;
    let (mut end, mut is_cut) = (Vec::new(), false);
    while let Some(piece) = content.try_next().await? {
        end.extend_from_slice(&piece);
        if let Some(excess) = end.len().checked_sub(limit).filter(|excess| *excess > 0) {
            end.drain(..excess);
            is_cut = true;
        }
    }
    Ok((end, is_cut))
}

/// Turns the end of a log into text of at most `limit` bytes. It begins with a whole line, unless it is all in one line.
fn text_of(end: &[u8], is_cut: bool, limit: usize) -> String {
    let text = String::from_utf8_lossy(end);
    // Bytes that are not UTF-8 take three times as many as text.
    let excess = text.len().saturating_sub(limit);
    let start = (excess..).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let text = &text[start..];
    let whole = text.split_once('\n').map(|(_, whole)| whole);
    match whole.filter(|whole| !whole.is_empty() && (is_cut || excess > 0)) {
        Some(whole) => whole.to_owned(),
        None => text.to_owned(),
    }
}

/// Returns the last lines, which fit into the shorter text.
fn last_lines(text: &str) -> &str {
    let start = text.trim_end_matches('\n').rmatch_indices('\n').nth(MAX_LINES - 1);
    let text = start.map_or(text, |(at, _)| &text[at + 1..]);
    let Some(excess) = text.len().checked_sub(MAX_TEXT).filter(|excess| *excess > 0) else {
        return text;
    };
    let start = (excess..).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let text = &text[start..];
    text.split_once('\n')
        .map(|(_, whole)| whole)
        .filter(|whole| !whole.is_empty())
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        let lines: String = (0..3_000).map(|number| format!("line {number}\n")).collect();
        let end = last_lines(&lines);
        assert_eq!(end.lines().count(), MAX_LINES);
        assert!(end.starts_with("line 2000\n") && end.ends_with("line 2999\n"));
        assert_eq!(last_lines("one line"), "one line");
        assert_eq!(last_lines(""), "");
        let long = format!("{}\n", "é".repeat(200)).repeat(MAX_LINES);
        let end = last_lines(&long);
        assert!(end.len() <= MAX_TEXT && end.lines().all(|line| line.chars().count() == 200));
        let one = "é".repeat(MAX_TEXT);
        assert_eq!(last_lines(&one).len(), MAX_TEXT);
    }

    #[test]
    fn bytes_become_text_that_is_not_too_long() {
        assert_eq!(text_of(b"a\nb", false, 10), "a\nb");
        assert_eq!(text_of(b"a\nb", true, 3), "b");
        assert_eq!(text_of(b"ab", true, 2), "ab");
        assert_eq!(text_of(b"\xff\n", false, 10), "\u{fffd}\n");
        let text = text_of(&[0xff; 1_000], false, 1_000);
        assert!(text.len() <= 1_000 && text.chars().all(|letter| letter == '\u{fffd}'));
        assert_eq!(text_of(b"", false, 10), "");
    }
}
