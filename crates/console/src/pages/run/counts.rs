//! How many nodes of each type ended with each status. Both are words of an upload, which may have any number of them, of any length: the page
//! names those that most nodes have, and counts all others together.

use std::collections::{BTreeMap, HashMap};

use api::run_overview::StatusCount;
use maud::{Markup, html};

use super::Context;
use crate::links::encoded;
use crate::parts::result_status;

/// The most types that are named, and the most statuses.
const MAX_WORDS: usize = 20;

/// The longest word that is named, in bytes: each is repeated in many links.
const MAX_LENGTH: usize = 100;

/// The numbers of nodes, by the words that are named.
pub(super) struct Counts<'a> {
    types: Vec<&'a str>,
    statuses: Vec<&'a str>,
    /// By type and status; nothing stands for all those that are not named.
    nodes: HashMap<(Option<&'a str>, Option<&'a str>), usize>,
}

impl<'a> Counts<'a> {
    pub(super) fn new(counts: &'a [StatusCount]) -> Self {
        let types = most_frequent(counts, |count| &count.resource_type);
        let statuses = most_frequent(counts, |count| &count.status);
        let mut nodes = HashMap::new();
        for count in counts {
            let key = (named(&types, &count.resource_type), named(&statuses, &count.status));
            *nodes.entry(key).or_default() += count.nodes;
        }
        Self { types, statuses, nodes }
    }

    /// The types that are named.
    pub(super) fn types(&self) -> &[&'a str] {
        &self.types
    }

    /// The statuses that are named.
    pub(super) fn statuses(&self) -> &[&'a str] {
        &self.statuses
    }

    /// The table, which leads to the results of each type and status.
    pub(super) fn table(&self, context: &Context) -> Markup {
        let has_other_types = self.nodes.keys().any(|(of_type, _)| of_type.is_none());
        let has_other_statuses = self.nodes.keys().any(|(_, status)| status.is_none());
        let types = with_other(&self.types, has_other_types);
        let statuses = with_other(&self.statuses, has_other_statuses);
        html! {
            div.scroll { table.counts {
                thead { tr { th { "Type" } @for status in &statuses {
                    th.number { @if let Some(status) = status { (result_status(status)) } @else { "other" } }
                } } }
                tbody { @for of_type in &types {
                    tr {
                        th.word scope="row" { (of_type.unwrap_or("other")) }
                        @for status in &statuses { td.number { (self.cell(context, *of_type, *status)) } }
                    }
                } }
            } }
        }
    }

    fn cell(&self, context: &Context, of_type: Option<&str>, status: Option<&str>) -> Markup {
        let nodes = self.nodes.get(&(of_type, status));
        html! {
            @match (nodes, of_type, status) {
                (None, ..) => span.quiet { "·" },
                (Some(nodes), Some(of_type), Some(status)) => {
                    a href=(format!("{}?type={}&status={}#results", context.address(), encoded(of_type), encoded(status))) { (nodes) }
                },
                // No filter finds these.
                (Some(nodes), ..) => (nodes),
            }
        }
    }
}

/// The words that most nodes have, in the order of the alphabet.
fn most_frequent<'a>(counts: &'a [StatusCount], word: impl Fn(&'a StatusCount) -> &'a str) -> Vec<&'a str> {
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for count in counts.iter().filter(|count| word(count).len() <= MAX_LENGTH) {
        *sums.entry(word(count)).or_default() += count.nodes;
    }
    let mut words: Vec<(&str, usize)> = sums.into_iter().collect();
    words.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
    words.truncate(MAX_WORDS);
    let mut words: Vec<&str> = words.into_iter().map(|(word, _)| word).collect();
    words.sort_unstable();
    words
}

fn named<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    words.binary_search(&word).ok().map(|at| words[at])
}

fn with_other<'a>(words: &[&'a str], has_other: bool) -> Vec<Option<&'a str>> {
    let other = has_other.then_some(None);
    words.iter().copied().map(Some).chain(other).collect()
}

#[cfg(test)]
mod tests {
    use schemas::AccountId;

    use super::*;

    fn counted(resource_type: &str, status: &str, nodes: usize) -> StatusCount {
        StatusCount {
            resource_type: resource_type.to_owned(),
            status: status.to_owned(),
            nodes,
        }
    }

    fn table(counts: &[StatusCount]) -> String {
        let context = Context {
            account: AccountId(1),
            environment: 2,
            run: 3,
        };
        Counts::new(counts).table(&context).into_string()
    }

    #[test]
    fn a_few_words_are_all_named() {
        let shown = table(&[counted("model", "success", 4), counted("test", "pass", 2)]);
        assert!(
            shown.contains(r#"<a href="/console/1/runs/3?type=model&amp;status=success#results">4</a>"#),
            "{shown}"
        );
        assert!(!shown.contains("other"), "{shown}");
    }

    #[test]
    fn many_words_are_counted_together() {
        let mut counts: Vec<StatusCount> = (0..100_000)
            .map(|number| counted(&format!("type {number}"), &format!("status {number}"), 1))
            .collect();
        counts.push(counted("model", "success", 7));
        counts.push(counted("model", "status 99999", 1));
        let shown = table(&counts);
        assert!(shown.len() < 30_000, "{} bytes", shown.len());
        assert_eq!(shown.matches("<tr>").count(), 1 + MAX_WORDS + 1);
        assert!(
            shown.contains("type=model&amp;status=success#results\">7</a>"),
            "{shown}"
        );
        let sum: usize = Counts::new(&counts).nodes.values().sum();
        assert_eq!(sum, 100_008, "nothing is left out");
    }

    #[test]
    fn long_words_are_not_repeated() {
        let long = "x".repeat(1_000_000);
        let shown = table(&[counted("model", &long, 5), counted("model", "success", 1)]);
        assert!(shown.len() < 2_000, "{} bytes", shown.len());
        assert!(shown.contains(r#"<th class="number">other</th>"#), "{shown}");
        assert!(shown.contains(r#"<td class="number">5</td>"#), "{shown}");
    }
}
