//! An account and its environments.

use api::overview::{AccountOverview, EnvironmentFacts, Uploads};
use api::{Error, View};
use axum::extract::{Extension, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use schemas::AccountId;

use crate::forms::FormToken;
use crate::layout::{Document, Page};
use crate::links;
use crate::parts::{ago, count, plural};

/// Leads to the token's first account.
pub(crate) async fn first(view: View) -> Redirect {
    Redirect::to(&links::account(view.account()))
}

/// Shows the environments of an account.
pub(crate) async fn show(
    State(state): State<api::State>,
    mut view: View,
    Extension(form_token): Extension<FormToken>,
) -> Result<Document, Error> {
    let (id, now) = (view.account(), state.clock.now());
    let overview = api::overview::of_account(&mut view, now).await?;
    drop(view);
    Ok(Page {
        title: &overview.name,
        above: &[],
        location: Some((id, None)),
        twin: Some(links::twin(id, "overview")),
        form_token: &form_token,
        content: content(id, &overview, now),
    }
    .render())
}

fn content(account: AccountId, overview: &AccountOverview, now: DateTime<Utc>) -> Markup {
    html! {
        div.row.spread {
            h1 { bdi { (overview.name) } }
            a href=(links::runs(account, "")) { "All runs" }
        }
        @if overview.environments.is_empty() {
            p.empty { "There are no environments yet. An operator adds one with " code { "dbt-api environment add" } "." }
        }
        ul.cards {
            @for environment in &overview.environments { li { (card(account, environment, now)) } }
        }
    }
}

fn card(account: AccountId, environment: &EnvironmentFacts, now: DateTime<Utc>) -> Markup {
    let address = links::environment(account, environment.environment_id);
    html! {
        h2.card-title { a href=(address) { bdi { (environment.name) } } }
        p.note {
            @if let Some(project) = &environment.project_name { bdi { (project) } " · " }
            (environment.environment_type)
        }
        ul.signs {
            @if environment.failed_jobs > 0 {
                li.bad { (environment.failed_jobs) " of " (plural(environment.jobs, "job", "jobs")) " failing" }
            } @else if environment.jobs > 0 {
                li.good { (plural(environment.jobs, "job", "jobs")) ", none failing" }
            } @else {
                li.idle { "No runs yet" }
            }
            @if environment.failing_nodes > 0 {
                li.bad { (plural(count(environment.failing_nodes), "node fails", "nodes fail")) }
            }
            @if environment.stale_nodes > 0 {
                li.warn { (plural(count(environment.stale_nodes), "source is too old", "sources are too old")) }
            }
            @if let Some(uploads) = environment.uploads.as_ref().filter(|uploads| uploads.is_silent) {
                li.bad { (silence(uploads, now)) }
            }
        }
        @if let Some(uploads) = environment.uploads.as_ref().filter(|uploads| !uploads.is_silent) {
            p.note { "Last upload " (ago(uploads.last_upload_at, now)) }
        }
    }
}

/// What is wrong with an environment that does not receive uploads any more.
pub(super) fn silence(uploads: &Uploads, now: DateTime<Utc>) -> Markup {
    html! {
        "No upload since " (ago(uploads.last_upload_at, now))
        @if let Some(hours) = uploads.usual_hours { ", usually within " (hours) " h" }
    }
}
