//! What differs between two runs or two environments.

mod diff;
mod nodes;
mod results;

use api::comparison::{self, ChangeKind, Comparison, NODES, Shown, Subjects, not_one_of_them};
use api::{Error, View};
use axum::extract::Extension;
use directory::queries::{self, Environment, environments};
use edge::{CloudError, Query};
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId, RecordState, RunId};
use serde::Deserialize;

use crate::forms::FormToken;
use crate::layout::{self, Document, Page};
use crate::{links, parts};

/// The two to compare, and what of it to show.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    run: Option<i64>,
    environment: Option<i64>,
    with: Option<i64>,
    change: Option<ChangeKind>,
    page: Option<usize>,
}

impl Wanted {
    /// The two, if the address names them. What the API refuses is refused here in the same words.
    fn subjects(self) -> Result<Option<Subjects>, CloudError> {
        match (self.run, self.environment, self.with) {
            (Some(run), None, Some(with)) => Ok(Some(Subjects::Runs(RunId(run), RunId(with)))),
            (None, Some(environment), Some(with)) => Ok(Some(Subjects::Environments(
                EnvironmentId(environment),
                EnvironmentId(with),
            ))),
            (Some(_), Some(_), _) | (None, None, Some(_)) => Err(not_one_of_them(self.run.is_some())),
            // One of the two is filled in already.
            _ => Ok(None),
        }
    }

    fn page(self) -> usize {
        self.page.unwrap_or(1).max(1)
    }

    fn offset(self) -> usize {
        (self.page() - 1).saturating_mul(NODES)
    }

    /// What the page and its twin have in common in their addresses.
    fn query(self) -> String {
        let named = [
            ("run", self.run),
            ("environment", self.environment),
            ("with", self.with),
        ];
        let parts = named
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        parts
            .chain(self.change.map(|kind| format!("change={}", kind.as_str())))
            .collect::<Vec<String>>()
            .join("&")
    }

    fn address(self, AccountId(account): AccountId) -> String {
        let page = if self.page() > 1 {
            format!("&page={}", self.page())
        } else {
            String::new()
        };
        format!("/console/{account}/compare?{}{page}", self.query())
    }
}

/// Where the links of the page lead.
struct Context {
    account: AccountId,
    /// The environment whose nodes are linked; none if those of an older manifest are shown of one that is not known.
    environment: Option<i64>,
}

impl Context {
    /// The name of a node, with a link to it if the second of the two has it.
    fn node(&self, unique_id: &str, is_there: bool) -> Markup {
        let name = parts::node_name(unique_id);
        html! {
            @match self.environment.filter(|_| is_there) {
                Some(environment) => a href=(links::node(self.account, environment, unique_id)) { bdi { (name) } },
                None => bdi { (name) },
            }
        }
    }

    /// dbt's id of a node that the second of the two has, with a link to it.
    fn id(&self, unique_id: &str) -> Markup {
        let id = html! { code { bdi { (unique_id) } } };
        html! {
            @match self.environment {
                Some(environment) => a href=(links::node(self.account, environment, unique_id)) { (id) },
                None => (id),
            }
        }
    }
}

/// Shows the form, and what differs if two are named.
pub(crate) async fn show(
    mut view: View,
    Query(wanted): Query<Wanted>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let subjects = wanted.subjects()?;
    let account = view.account();
    let record = queries::account(view.connection(), account).await?;
    let record = record.ok_or_else(CloudError::not_found)?;
    let mut known = environments(view.connection(), account).await?;
    known.retain(|environment| environment.state == RecordState::Active.as_str());
    let shown = Shown {
        kind: wanted.change,
        offset: wanted.offset(),
    };
    let (mut found, mut twin, mut environment) = (None, None, None);
    if let Some(subjects) = subjects {
        environment = match subjects {
            Subjects::Environments(_, EnvironmentId(now)) => Some(now),
            Subjects::Runs(_, now) => {
                let run = read_model::queries::runs::run(view.connection(), account, now).await?;
                run.map(|run| run.environment_id)
            }
        };
        found = Some(comparison::of(&mut view, subjects, shown).await?);
        let offset = if shown.offset > 0 {
            format!("&offset={}", shown.offset)
        } else {
            String::new()
        };
        twin = Some(links::twin(account, &format!("compare?{}{offset}", wanted.query())));
    }
    drop(view);
    let context = Context { account, environment };
    layout::beside(move || {
        Page {
            title: "Compare",
            above: &[(record.name, links::account(account))],
            location: Some((account, environment)),
            twin,
            form_token: &form_token,
            content: html! {
                h1 { "Compare" }
                (forms(&known, wanted))
                @if let Some(found) = &found { (content(found, wanted, &context, &known)) }
            },
        }
        .render()
    })
    .await
}

fn forms(known: &[Environment], wanted: Wanted) -> Markup {
    let of_runs = wanted.run.and(wanted.with);
    let of_environments = wanted.environment.and(wanted.with);
    let choice = |name: &str, label: &str, chosen: Option<i64>| {
        html! {
            label { (label) select name=(name) {
                @for environment in known { option value=(environment.id) selected[chosen == Some(environment.id)] { (environment.name) } }
            } }
        }
    };
    html! {
        @if wanted.with.is_none() {
            p.quiet { "Name two runs, or two environments, the older first. The page of a run leads to the comparison with the run before it." }
        }
        div.columns.forms {
            form.filters method="get" {
                label { "Run" input.short name="run" inputmode="numeric" pattern="[0-9]+" required value=[wanted.run]; }
                label { "with run" input.short name="with" inputmode="numeric" pattern="[0-9]+" required value=[of_runs]; }
                button type="submit" { "Compare runs" }
            }
            @if known.len() > 1 {
                form.filters method="get" {
                    (choice("environment", "Environment", wanted.environment))
                    (choice("with", "with environment", of_environments.or_else(|| known.get(1).map(|environment| environment.id))))
                    button type="submit" { "Compare environments" }
                }
            }
        }
    }
}

fn content(found: &Comparison, wanted: Wanted, context: &Context, known: &[Environment]) -> Markup {
    let totals = [
        (
            None,
            "All",
            found.changed_total + found.added_total + found.removed_total,
        ),
        (Some(ChangeKind::Changed), "Changed", found.changed_total),
        (Some(ChangeKind::Added), "Added", found.added_total),
        (Some(ChangeKind::Removed), "Removed", found.removed_total),
    ];
    let total = totals
        .iter()
        .find(|(kind, ..)| *kind == wanted.change)
        .map_or(0, |(.., total)| *total);
    let to_page = |page: i64| {
        Wanted {
            page: usize::try_from(page).ok(),
            ..wanted
        }
        .address(context.account)
    };
    html! {
        p { (subject(wanted, context, known)) }
        @if let Some(results) = &found.results { (results::results(results, context)) }
        h2 #nodes { "Nodes" }
        nav.tabs aria-label="Kinds of differences" {
            @for (kind, name, count) in totals {
                @let of_kind = Wanted { change: kind, page: None, ..wanted };
                a href={ (of_kind.address(context.account)) "#nodes" } aria-current=[(kind == wanted.change).then_some("true")] {
                    (name) " " span.count { (count) }
                }
            }
        }
        @if found.nodes.is_empty() { p.empty { "No nodes differ like this." } } @else {
            (nodes::nodes(&found.nodes, context))
            @if total > found.nodes.len() { (parts::pages(parts::count(wanted.page()), parts::count(NODES), found.nodes.len(), parts::count(total), to_page)) }
        }
    }
}

/// What is compared, in words, the older first.
fn subject(wanted: Wanted, context: &Context, known: &[Environment]) -> Markup {
    let environment = |id: i64| {
        let name = known
            .iter()
            .find(|environment| environment.id == id)
            .map_or("", |environment| &environment.name);
        html! { a href=(links::environment(context.account, id)) { bdi { (name) } } }
    };
    html! {
        @match (wanted.run, wanted.environment, wanted.with) {
            (Some(run), _, Some(with)) => {
                "From " a href=(links::run(context.account, run)) { "run " (run) }
                " to " a href=(links::run(context.account, with)) { "run " (with) } "."
            },
            (None, Some(one), Some(with)) => { "From " (environment(one)) " to " (environment(with)) ", as they are now." },
            _ => {},
        }
    }
}
