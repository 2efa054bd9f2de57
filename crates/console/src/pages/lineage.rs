//! How the nodes of an environment depend on each other.

mod address;
mod dots;
mod drawing;
mod list;
mod near;
mod picture;
mod sign;

use api::lineage::{Chosen, LineageQuery, WrongSelection, choose};
use api::{Error, Ids, View};
use axum::Router;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use directory::queries;
use discovery::NodeIndex;
use edge::{CloudError, Query};
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId};
use serde::Deserialize;

use crate::forms::FormToken;
use crate::layout::{self, Page};
use crate::links;
use crate::parts::{count, plural};
use address::Address;
use picture::{Drawn, Picture, Pictures};
use sign::Sign;

/// Selections that show what one can write.
const EXAMPLES: [&str; 5] = [
    "+orders+",
    "tag:daily",
    "source:raw+",
    "@orders",
    "path:models/marts --exclude tag:old",
];

/// What is searched in the graph.
#[derive(Deserialize)]
pub(crate) struct FindParams {
    find: Option<String>,
}

/// Everything that is shown.
struct Lineage<'a> {
    account: AccountId,
    environment: i64,
    address: &'a Address,
    chosen: &'a Chosen,
    picture: &'a Picture,
    /// The chosen nodes that were searched for, sorted.
    found: Vec<NodeIndex>,
}

/// The routes, which share the pictures that were made last.
pub(crate) fn routes() -> Router<api::State> {
    Router::new()
        .route("/console/{account_id}/environments/{environment_id}/lineage", get(show))
        .route(
            "/console/{account_id}/environments/{environment_id}/lineage/near",
            get(near::near),
        )
        .layer(Extension(Pictures::default()))
}

/// Shows the lineage of a selection.
async fn show(
    State(state): State<api::State>,
    Extension(pictures): Extension<Pictures>,
    mut view: View,
    Ids((id, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(query): Query<LineageQuery>,
    Query(FindParams { find }): Query<FindParams>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Response, Error> {
    let account = queries::account(view.connection(), id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let record = queries::environment(view.connection(), id, environment).await?;
    let record = record.ok_or_else(CloudError::not_found)?;
    let chosen = choose(&mut view, &state.discovery, environment, &query).await?;
    let address = Address::new(id, environment, query, find);
    let chosen = match chosen {
        Ok(mut chosen) => {
            chosen.read_statuses(&mut view).await?;
            Ok(chosen)
        }
        wrong => wrong,
    };
    drop(view);
    let status = match &chosen {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let drawn = match chosen {
        Ok(chosen) => Ok((picture::of(&pictures, id, &chosen).await?, chosen)),
        Err(wrong) => Err(wrong),
    };
    let page = layout::beside(move || {
        let (title, content) = match &drawn {
            Err(WrongSelection(reason)) => {
                let content = html! {
                    h1 { "Lineage" }
                    (form(&address))
                    p.message role="alert" { bdi { (reason) } }
                };
                ("Lineage".to_owned(), content)
            }
            Ok((picture, chosen)) => {
                let lineage = Lineage {
                    account: id,
                    environment: environment.0,
                    found: found(chosen, &address),
                    address: &address,
                    chosen,
                    picture,
                };
                (title(chosen), lineage.content())
            }
        };
        Page {
            title: &title,
            above: &[
                (account.name, links::account(id)),
                (record.name, links::environment(id, environment.0)),
            ],
            location: Some((id, Some(environment.0))),
            twin: Some(address.twin()),
            form_token: &form_token,
            content,
        }
        .render()
    });
    Ok((status, page.await?).into_response())
}

fn title(chosen: &Chosen) -> String {
    match chosen.selected[..] {
        [only] => format!("Lineage of {}", name_of(chosen, only)),
        _ => "Lineage".to_owned(),
    }
}

/// The name of a node, or its id if it has none.
fn name_of(chosen: &Chosen, node: NodeIndex) -> &str {
    let node = chosen.defined.graph().node(node);
    node.name.as_deref().unwrap_or(&node.unique_id)
}

/// The chosen nodes whose id contains what is searched for.
fn found(chosen: &Chosen, address: &Address) -> Vec<NodeIndex> {
    let Some(wanted) = address.find().map(str::to_lowercase) else {
        return Vec::new();
    };
    let graph = chosen.defined.graph();
    let nodes = chosen.nodes.iter().copied();
    nodes
        .filter(|node| graph.node(*node).unique_id.to_lowercase().contains(&wanted))
        .collect()
}

/// The form that chooses what is shown.
fn form(address: &Address) -> Markup {
    html! {
        form.filters.lineage-form method="get" action=(address.path()) {
            label.grow { span { "Select, as " code { "dbt ls --select" } " does" }
                input.mono name="select" value=(address.select()) placeholder="all nodes" autocomplete="off" spellcheck="false" autocapitalize="none";
            }
            label { "Find in the graph" input type="search" name="find" value=(address.find().unwrap_or_default()) autocomplete="off"; }
            label.check { input type="checkbox" name="tests" value="true" checked[address.has_tests()]; " Tests" }
            button type="submit" { "Show" }
        }
        p.note.examples {
            "For example "
            @for example in EXAMPLES { a.mono href=(address.selecting(example)) { (example) } " " }
            a href=(address.path()) { "all nodes" }
        }
    }
}

impl Lineage<'_> {
    fn content(&self) -> Markup {
        let heading = match self.chosen.selected[..] {
            [only] => html! {
                h1 { "Lineage of "
                    a href=(links::node(self.account, self.environment, &self.chosen.defined.graph().node(only).unique_id)) { bdi { (name_of(self.chosen, only)) } }
                }
            },
            _ => html! { h1 { "Lineage" } },
        };
        html! {
            (heading)
            (form(self.address))
            @if self.chosen.nodes.is_empty() {
                p.empty {
                    @if self.chosen.defined.graph().is_empty() { "No manifest of this environment was uploaded yet." }
                    @else { "The selection has no nodes." }
                }
            } @else {
                (self.summary())
                @match &self.picture.drawn {
                    Drawn::Labels(layout) => (drawing::draw(self, layout)),
                    Drawn::Dots(layout) => (dots::draw(self, layout)),
                }
                (list::list(self))
            }
        }
    }

    /// How many nodes are shown, by their last result, and the ways to more or fewer levels.
    fn summary(&self) -> Markup {
        let mut counts = [0_i64; Sign::ALL.len()];
        for node in &self.chosen.nodes {
            counts[self.sign(*node) as usize] += 1;
        }
        html! {
            div.row.spread.lineage-bar {
                ul.legend {
                    li { strong { (plural(count(self.chosen.nodes.len()), "node", "nodes")) } }
                    @for (sign, count) in Sign::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
                        li { (sign.picture()) " " (count) " " (sign.word()) }
                    }
                    @if self.address.find().is_some() { li { (plural(count(self.found.len()), "match", "matches")) } }
                }
                @if !self.chosen.selected.is_empty() {
                    div.row {
                        (self.levels("Parents", self.chosen.levels.0, |levels| self.address.levels(levels, self.chosen.levels.1)))
                        (self.levels("Children", self.chosen.levels.1, |levels| self.address.levels(self.chosen.levels.0, levels)))
                    }
                }
            }
        }
    }

    fn levels(&self, what: &str, levels: u32, address: impl Fn(u32) -> String) -> Markup {
        let shown = if levels == u32::MAX {
            "all".to_owned()
        } else {
            levels.to_string()
        };
        html! {
            span.levels { (what) " "
                @if levels > 0 {
                    @let fewer = if levels == u32::MAX { 1 } else { levels - 1 };
                    a href=(address(fewer)) aria-label={ (what) ": one level less" } title="One level less" { "−" }
                } @else { span { "−" } }
                strong { (shown) }
                @if levels == u32::MAX { span { "+" } } @else {
                    a href=(address(levels + 1)) aria-label={ (what) ": one level more" } title="One level more" { "+" }
                    a.all href=(address(u32::MAX)) { "all" }
                }
            }
        }
    }

    fn sign(&self, node: NodeIndex) -> Sign {
        let last = self.chosen.statuses.get(&node);
        Sign::of(last.map(|last| last.status.as_str()), self.chosen.failing_tests(node))
    }

    /// Whether a node was selected, if others are shown around what was.
    fn is_selected(&self, node: NodeIndex) -> bool {
        let selected = &self.chosen.selected;
        let are_others = selected.len() == 1 || selected.len() < self.chosen.nodes.len();
        are_others && selected.binary_search(&node).is_ok()
    }

    fn is_found(&self, node: NodeIndex) -> bool {
        self.found.binary_search(&node).is_ok()
    }
}
