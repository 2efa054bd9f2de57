//! Search in the nodes of an environment.

use api::{Error, Ids, View};
use axum::extract::{Extension, State};
use axum::response::Redirect;
use directory::queries::{self, Environment};
use discovery::{Defined, Found, Hit, Snippet, Wanted};
use edge::{CloudError, Query};
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId, RecordState};
use serde::Deserialize;

use crate::forms::FormToken;
use crate::layout::{Document, Page};
use crate::links::{self, encoded};
use crate::parts::{count, pages};

/// How many nodes a page shows.
const ON_PAGE: usize = 30;

/// What is searched for.
#[derive(Deserialize)]
pub(crate) struct SearchParams {
    q: Option<String>,
    resource_type: Option<String>,
    page: Option<i64>,
}

/// Where the page is, and what was searched for.
struct Context<'a> {
    account: AccountId,
    environment: i64,
    text: &'a str,
    resource_type: Option<&'a str>,
    page: usize,
}

/// Shows the nodes that have some words.
pub(crate) async fn show(
    State(state): State<api::State>,
    mut view: View,
    Ids((id, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(params): Query<SearchParams>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let account = queries::account(view.connection(), id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let record = queries::environment(view.connection(), id, environment).await?;
    let record = record.ok_or_else(CloudError::not_found)?;
    let environments = environments(&mut view).await?;
    let text = params.q.as_deref().unwrap_or_default().trim();
    let context = Context {
        account: id,
        environment: environment.0,
        text,
        resource_type: params.resource_type.as_deref(),
        page: usize::try_from(params.page.unwrap_or(1)).unwrap_or(1).max(1),
    };
    let wanted = Wanted {
        text,
        resource_type: context.resource_type,
        offset: (context.page - 1).saturating_mul(ON_PAGE),
        limit: ON_PAGE,
    };
    let (defined, found) = api::search(&mut view, &state.discovery, environment, &wanted).await?;
    // Nothing is read from here on, so others may use the connection.
    drop(view);
    let title = if text.is_empty() {
        "Search".to_owned()
    } else {
        format!("{text} – search")
    };
    let of_type = context
        .resource_type
        .map(|of| format!("&resource_type={}", encoded(of)))
        .unwrap_or_default();
    let twin = format!(
        "environments/{}/search?q={}{of_type}&limit={ON_PAGE}&offset={}",
        environment.0,
        encoded(text),
        count(wanted.offset)
    );
    Ok(Page {
        title: &title,
        above: &[
            (account.name, links::account(id)),
            (record.name, links::environment(id, environment.0)),
        ],
        location: Some((id, Some(environment.0))),
        twin: Some(links::twin(id, &twin)),
        form_token: &form_token,
        content: content(&context, &environments, &defined, &found),
    }
    .render())
}

/// Leads to the search in the environment that most probably is meant: the first production environment, or else the first.
pub(crate) async fn in_account(mut view: View, Query(params): Query<SearchParams>) -> Result<Redirect, Error> {
    let environments = environments(&mut view).await?;
    let production = environments
        .iter()
        .find(|environment| environment.environment_type == "production");
    let environment = production.or(environments.first()).ok_or_else(|| {
        CloudError::not_found_because("There are no environments yet, so there is nothing to search.")
    })?;
    let text = params.q.as_deref().unwrap_or_default();
    Ok(Redirect::to(&links::search(view.account(), environment.id, text)))
}

/// The environments that can be searched.
async fn environments(view: &mut View) -> Result<Vec<Environment>, Error> {
    let account = view.account();
    let mut environments = queries::environments(view.connection(), account).await?;
    environments.retain(|environment| environment.state == RecordState::Active.as_str());
    Ok(environments)
}

fn content(context: &Context<'_>, environments: &[Environment], defined: &Defined, found: &Found) -> Markup {
    html! {
        h1 { "Search" }
        @if environments.len() > 1 {
            nav.row aria-label="Environments" {
                @for environment in environments {
                    a href=(links::search(context.account, environment.id, context.text)) aria-current=[(environment.id == context.environment).then_some("page")] {
                        bdi { (environment.name) }
                    }
                }
            }
        }
        form.filters method="get" action={ (links::environment(context.account, context.environment)) "/search" } {
            label.grow { "Names, tags, columns and descriptions" input type="search" name="q" value=(context.text) autocomplete="off" autofocus[context.text.is_empty()]; }
            button type="submit" { "Search" }
        }
        @if context.text.is_empty() {
            p.empty { "A node is found if it has all words, as they are or as a part of others." }
        } @else if found.of_types.is_empty() {
            p.empty { "No node has " @if context.text.contains(' ') { "all of " } strong { bdi { (context.text) } } " in its name, tags, columns or descriptions." }
        } @else {
            (types(context, found))
            ol.hits { @for hit in &found.hits { (row(context, (defined, found), hit)) } }
            @if found.total > ON_PAGE || context.page > 1 {
                (pages(count(context.page), count(ON_PAGE), found.hits.len(), count(found.total), |page| address(context, context.resource_type, page)))
            }
        }
    }
}

/// The ways to the nodes of one type.
fn types(context: &Context<'_>, found: &Found) -> Markup {
    let all: usize = found.of_types.values().sum();
    let tab = |resource_type: Option<&str>, name: &str, count: usize| {
        let is_current = resource_type == context.resource_type;
        html! {
            a href=(address(context, resource_type, 1)) aria-current=[is_current.then_some("page")] { (name) " " span.number { (count) } }
        }
    };
    html! {
        nav.tabs aria-label="Types" {
            (tab(None, "All", all))
            @for (resource_type, count) in &found.of_types { (tab(Some(resource_type), resource_type, *count)) }
        }
    }
}

fn row(context: &Context<'_>, (defined, found): (&Defined, &Found), hit: &Hit) -> Markup {
    let node = defined.graph().node(hit.node);
    let name = node.name.as_deref().unwrap_or(&node.unique_id);
    let is_description = hit.snippet.as_ref().is_some_and(|snippet| snippet.of == "description");
    html! {
        li {
            div.row {
                a.hit href=(links::node(context.account, context.environment, &node.unique_id)) title=(node.unique_id) { bdi { (pieces(&Snippet::of_text("name", name, &found.words))) } }
                span.kind { (node.resource_type) @if let Some(package) = &node.package_name { " in " bdi { (package) } } }
                a.note href=(links::lineage(context.account, context.environment, &node.unique_id)) aria-label={ "Lineage of " (name) } { "Lineage" }
            }
            @if let Some(snippet) = &hit.snippet {
                p.found-in { @if !is_description { span.kind { bdi { (snippet.of) } } " " } bdi { (pieces(snippet)) } }
            }
            @if !is_description && !hit.description.is_empty() { p.note.one-line { bdi { (hit.description) } } }
        }
    }
}

fn pieces(snippet: &Snippet) -> Markup {
    html! { @for (is_match, text) in &snippet.pieces { @if *is_match { mark { (text) } } @else { (text) } } }
}

fn address(context: &Context<'_>, resource_type: Option<&str>, page: impl TryInto<i64>) -> String {
    let mut address = links::search(context.account, context.environment, context.text);
    if let Some(resource_type) = resource_type {
        address.push_str(&format!("&resource_type={}", encoded(resource_type)));
    }
    if let Some(page) = page.try_into().ok().filter(|page| *page > 1) {
        address.push_str(&format!("&page={page}"));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_name_are_marked_and_escaped() {
        let words = ["ord".to_owned()];
        let marked = pieces(&Snippet::of_text("name", "<b>stg_ORDers", &words)).into_string();
        assert_eq!(marked, "&lt;b&gt;stg_<mark>ORD</mark>ers");
    }
}
