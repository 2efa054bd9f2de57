//! Accounts with their environments and tokens.

use std::collections::HashMap;

use api::{Error, Ids};
use axum::extract::State;
use axum::response::Response;
use directory::queries;
use edge::CloudError;
use maud::{Markup, html};
use read_model::silence::last_uploads;
use schemas::{AccountId, EnvironmentId, RecordState};
use serde_json::json;

use super::{ago_or, table, tokens};
use crate::links;
use crate::operate::{Asked, OperatorState, Tab};

pub(crate) async fn list(State(state): State<OperatorState>, asked: Asked) -> Result<Response, Error> {
    let mut connection = state.connection().await?;
    let accounts = queries::accounts(&mut connection).await?;
    let all = queries::tokens(&mut connection, None).await?;
    let (of_accounts, of_operators): (Vec<_>, Vec<_>) = all.into_iter().partition(|token| token.account_id.is_some());
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for account in of_accounts.iter().filter_map(|token| token.account_id) {
        *counts.entry(account).or_default() += 1;
    }
    drop(connection);
    let now = state.console.api.clock.now();
    let facts = json!({ "accounts": accounts, "operator_tokens": of_operators });
    Ok(asked.answer(Tab::Accounts, &facts, || {
        let row = |account: &queries::Account| {
            html! {
                td.number { (account.id) }
                td { a href=(links::operated_account(AccountId(account.id))) { bdi { (account.name) } } }
                td { (account.slug.as_deref().unwrap_or_default()) }
                td { (badge(&account.state)) }
                td.number { (counts.get(&account.id).copied().unwrap_or_default()) }
            }
        };
        let rows: Vec<Markup> = accounts.iter().map(row).collect();
        html! {
            h1 { "Accounts and tokens" }
            (table(&["#Number", "Account", "Slug", "State", "#Tokens"], &rows, "There are no accounts yet. `dbt-api account add` adds one."))
            h2 { "Tokens for operators" }
            p.note { "Only the command " code { "dbt-api token create --scope operate" } " creates them." }
            (tokens::table_of(&asked, &of_operators, now))
        }
    }))
}

pub(crate) async fn show(
    State(state): State<OperatorState>,
    Ids(id): Ids<i64>,
    asked: Asked,
) -> Result<Response, Error> {
    let id = AccountId(id);
    let mut connection = state.connection().await?;
    let account = queries::account(&mut connection, id)
        .await?
        .ok_or_else(CloudError::not_found)?;
    let environments = queries::environments(&mut connection, id).await?;
    let projects = queries::projects(&mut connection, id).await?;
    let projects: HashMap<i64, &str> = projects
        .iter()
        .map(|project| (project.id, project.name.as_str()))
        .collect();
    let of_account = queries::tokens(&mut connection, Some(id)).await?;
    let last: HashMap<EnvironmentId, _> = last_uploads(&mut connection, Some(id))
        .await?
        .into_iter()
        .map(|last| (last.environment, last.at))
        .collect();
    drop(connection);
    let now = state.console.api.clock.now();
    let facts = json!({ "account": account, "environments": environments, "tokens": of_account });
    Ok(asked.answer_below(Tab::Accounts, Some(&account.name), &facts, || {
        let row = |environment: &queries::Environment| {
            html! {
                td.number { (environment.id) }
                td { bdi { (environment.name) } }
                td { (environment.slug) }
                td { bdi { (projects.get(&environment.project_id).copied().unwrap_or_default()) } }
                td { (environment.environment_type) }
                td { (badge(&environment.state)) }
                td { (ago_or(now, last.get(&EnvironmentId(environment.id)).copied(), "no upload yet")) }
            }
        };
        let rows: Vec<Markup> = environments.iter().map(row).collect();
        html! {
            h1 { bdi { (account.name) } " " (badge(&account.state)) }
            h2 { "Environments" }
            (table(&["#Number", "Environment", "Slug", "Project", "Type", "State", "Last upload"], &rows, "The account has no environments yet."))
            h2 { "Tokens" }
            (tokens::table_of(&asked, &of_account, now))
            h2 { "Create a token" }
            (tokens::create_form(&asked, id, &environments))
        }
    }))
}

fn badge(state: &str) -> Markup {
    html! {
        @if state == RecordState::Active.as_str() { span.status.good { "in use" } } @else { span.status { "retired" } }
    }
}
