//! What became of each node of a run, with filters.

use api::run_overview::{Attempt, RunOverview};
use maud::{Markup, html};

use super::counts::Counts;
use super::{Context, Shown};
use crate::links::{self, encoded};
use crate::parts::{count, moment, pages, result_status, seconds};

/// How many results one page has.
const ON_PAGE: usize = 50;

/// The counts, and a page of results: those that took longest first.
pub(super) fn section(context: &Context, attempts: &[Attempt], run: &RunOverview, shown: &Shown) -> Markup {
    let mut found: Vec<&Attempt> = attempts.iter().filter(|attempt| is_wanted(attempt, shown)).collect();
    found.sort_by(|one, other| {
        other
            .seconds
            .total_cmp(&one.seconds)
            .then_with(|| one.unique_id.cmp(&other.unique_id))
    });
    let page = shown.page.unwrap_or(1).max(1);
    let rows: Vec<&Attempt> = found
        .iter()
        .skip((page - 1).saturating_mul(ON_PAGE))
        .take(ON_PAGE)
        .copied()
        .collect();
    let address = |page| format!("{}?{}page={page}#results", context.address(), filters(shown));
    let step = |attempt: &Attempt| {
        run.steps
            .iter()
            .find(|step| step.step_id == attempt.step_id)
            .map(|step| step.index)
    };
    let counts = Counts::new(&run.counts);
    html! {
        h2 #results { "Results" }
        @if attempts.is_empty() {
            p.empty { "No results were uploaded." }
        } @else {
            (counts.table(context))
            (form(context, &counts, shown))
            @if rows.is_empty() {
                p.empty { "No result meets these filters." }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Node" } th { "Type" } th { "Status" } th.number { "Took" } th { "Ended" } th.number { "Command" } } }
                    tbody { @for attempt in &rows {
                        tr {
                            td.name { (context.node(&attempt.unique_id)) }
                            td.word { (attempt.resource_type()) }
                            td { (result_status(&attempt.status)) }
                            td.number { @if attempt.is_skipped() { "–" } @else { (seconds(attempt.seconds)) } }
                            td { (moment(attempt.at)) }
                            td.number { @if let Some(index) = step(attempt) { (index) } }
                        }
                    } }
                } }
                (pages(count(page), count(ON_PAGE), rows.len(), count(found.len()), address))
                p.note { "The same as JSON: " code { "GET " (links::results(context.account, context.run)) } }
            }
        }
    }
}

fn is_wanted(attempt: &Attempt, shown: &Shown) -> bool {
    let is = |wanted: Option<&String>, value: &str| wanted.is_none_or(|wanted| wanted == value);
    let named = shown.name.as_ref().map(|name| name.to_lowercase());
    is(shown.r#type.as_ref(), attempt.resource_type())
        && is(shown.status.as_ref(), &attempt.status)
        && named.is_none_or(|name| attempt.unique_id.to_lowercase().contains(&name))
}

/// The filters as the beginning of a query.
fn filters(shown: &Shown) -> String {
    let values = [
        ("type", &shown.r#type),
        ("status", &shown.status),
        ("name", &shown.name),
    ];
    let present = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    present
        .map(|(name, value)| format!("{name}={}&", encoded(value)))
        .collect()
}

fn form(context: &Context, counts: &Counts<'_>, shown: &Shown) -> Markup {
    let choices = |title: &str, name: &str, values: &[&str], chosen: Option<&str>| {
        // What is chosen stays, although it may be too rare to be offered.
        let other = chosen.filter(|chosen| !chosen.is_empty() && !values.contains(chosen));
        html! {
            label { (title)
                select name=(name) {
                    option value="" { "All" }
                    @for value in values.iter().copied().chain(other) { option value=(value) selected[chosen == Some(value)] { (value) } }
                }
            }
        }
    };
    html! {
        form.filters method="get" action={ (context.address()) "#results" } {
            (choices("Type", "type", counts.types(), shown.r#type.as_deref()))
            (choices("Status", "status", counts.statuses(), shown.status.as_deref()))
            label { "Name contains" input type="text" name="name" value=[shown.name.as_ref()]; }
            button type="submit" { "Show" }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::run_overview::StatusCount;

    use super::*;

    #[test]
    fn few_of_many_words_are_offered_and_what_is_chosen_stays() {
        let counts: Vec<StatusCount> = (0..10_000)
            .map(|number| StatusCount {
                resource_type: "model".to_owned(),
                status: format!("status {number}"),
                nodes: 1,
            })
            .collect();
        let context = Context {
            account: schemas::AccountId(1),
            environment: 2,
            run: 3,
        };
        let chosen = Shown {
            status: Some("status 9999".to_owned()),
            ..Shown::default()
        };
        let shown = form(&context, &Counts::new(&counts), &chosen).into_string();
        assert!(shown.len() < 3_000, "{} bytes", shown.len());
        assert!(shown.contains(r#"<option value="status 9999" selected>"#), "{shown}");
    }
}
