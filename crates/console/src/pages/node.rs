//! A node: what it is, how it is, and where that is known from.

mod code;
mod columns;
mod facts;
mod history;
mod own;
mod relatives;
mod tests;

use api::node::{self, NodeDetails};
use api::{Error, Ids, View};
use axum::extract::Extension;
use directory::queries;
use edge::CloudError;
use maud::{Markup, html};
use schemas::{AccountId, EnvironmentId};

use crate::forms::FormToken;
use crate::layout::{self, Document, Page};
use crate::{links, markdown, parts};

/// Where the links of a node's page lead.
#[derive(Clone, Copy)]
struct Context {
    account: AccountId,
    environment: i64,
}

impl Context {
    fn node(self, unique_id: &str) -> String {
        links::node(self.account, self.environment, unique_id)
    }

    fn run(self, run: i64) -> String {
        links::run(self.account, run)
    }
}

/// Shows a node as the newest manifests of an environment define it.
pub(crate) async fn show(
    mut view: View,
    Ids((account, environment, unique_id)): Ids<(AccountId, EnvironmentId, String)>,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let of = queries::account(view.connection(), account).await?;
    let of = of.ok_or_else(CloudError::not_found)?;
    let record = queries::environment(view.connection(), account, environment).await?;
    let record = record.ok_or_else(CloudError::not_found)?;
    let node = node::of_environment(&mut view, environment, unique_id).await?;
    drop(view);
    layout::beside(move || {
        let context = Context {
            account,
            environment: environment.0,
        };
        let AccountId(number) = account;
        let twin = format!(
            "/api/v2/accounts/{number}/environments/{}/nodes/{}",
            environment.0,
            links::encoded(&node.unique_id)
        );
        Page {
            title: &name_of(&node),
            above: &[
                (of.name, links::account(account)),
                (record.name, links::environment(account, environment.0)),
            ],
            location: Some((account, Some(environment.0))),
            content: content(&node, context, &twin),
            twin: Some(twin),
            form_token: &form_token,
        }
        .render()
    })
    .await
}

fn content(node: &NodeDetails, context: Context, twin: &str) -> Markup {
    html! {
        (heading(node, context))
        (message(node))
        div.columns.summary {
            section.card { h2.sr { "Facts" } (facts::facts(node, context)) }
            @if !node.history.is_empty() { section.card { (history::history(node, context)) } }
        }
        @if let Some(text) = node.node.text("description").filter(|text| !text.trim().is_empty()) {
            section { h2 { "Description" } (markdown::description(&text)) }
        }
        (own::facts(node))
        (columns::columns(node, context))
        (tests::tests(node, context))
        (code::code(node, twin))
        (relatives::relatives(node, context))
        (facts::origins(node, context))
    }
}

fn heading(node: &NodeDetails, context: Context) -> Markup {
    let path = node.node.text("original_file_path");
    html! {
        div.row.spread.heading {
            h1 { bdi { (name_of(node)) } }
            @if has_lineage(&node.resource_type) {
                a.action href=(links::lineage(context.account, context.environment, &node.unique_id)) { "Lineage" }
            }
        }
        p.row.under {
            span.kind { (parts::words(&node.resource_type)) }
            @if let Some(result) = &node.last_result { (parts::result_status(&result.status)) }
            @if let Some(path) = path { code.quiet { bdi { (path) } } }
            code.quiet { bdi { (node.unique_id) } }
        }
    }
}

fn has_lineage(resource_type: &str) -> bool {
    !matches!(resource_type, "macro" | "doc" | "group")
}

/// What dbt said, if the last result is not good.
fn message(node: &NodeDetails) -> Markup {
    let bad = node
        .last_result
        .as_ref()
        .filter(|result| matches!(parts::tone_of_result(&result.status), "bad" | "warn"));
    let text = bad
        .and_then(|result| result.message.as_deref())
        .filter(|text| !text.trim().is_empty());
    html! {
        @if let Some(text) = text {
            pre.message tabindex="0" { (parts::beginning(text, 20_000).0) }
        }
    }
}

fn name_of(node: &NodeDetails) -> String {
    let name = node.node.text("name").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| parts::node_name(&node.unique_id));
    match (node.resource_type.as_str(), node.node.text("source_name")) {
        ("source", Some(source)) => format!("{source}.{name}"),
        _ => name,
    }
}
