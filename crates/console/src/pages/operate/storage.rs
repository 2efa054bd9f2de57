//! How much each account has, and what a prune would remove.

use std::collections::HashMap;

use api::Error;
use axum::extract::{Query, State};
use axum::response::Response;
use chrono::TimeDelta;
use directory::queries::accounts;
use maud::{Markup, html};
use read_model::sizes::{SizeOfAccount, database_size, sizes};
use serde::Deserialize;
use serde_json::json;

use super::table;
use crate::operate::{Asked, OperatorState, Tab};
use crate::parts::size;

/// The ages among which one can choose, in days.
const AGES: [i64; 4] = [30, 90, 180, 365];

#[derive(Deserialize)]
pub(crate) struct Age {
    days: Option<i64>,
}

pub(crate) async fn show(
    State(state): State<OperatorState>,
    Query(age): Query<Age>,
    asked: Asked,
) -> Result<Response, Error> {
    let days = age.days.filter(|days| AGES.contains(days)).unwrap_or(90);
    let before = state.console.api.clock.now() - TimeDelta::days(days);
    let mut connection = state.connection().await?;
    let sizes = sizes(&mut connection, before).await?;
    let database = database_size(&mut connection).await?;
    let names: HashMap<i64, String> = accounts(&mut connection)
        .await?
        .into_iter()
        .map(|account| (account.id, account.name))
        .collect();
    drop(connection);
    let facts = json!({ "accounts": sizes, "database_bytes": database, "older_than_days": days });
    Ok(asked.answer(Tab::Storage, &facts, || {
        let row = |of: &SizeOfAccount| {
            html! {
                td { a href={ (Tab::Accounts.address()) "/" (of.account_id) } { (of.account_id) } }
                td { bdi { (names.get(&of.account_id).map_or("", String::as_str)) } }
                td.number { (of.contents) }
                td.number { (size(of.bytes)) }
                td.number { (of.runs) }
                td.number { (of.old_runs) }
                td.number { (size(of.old_bytes)) }
            }
        };
        let rows: Vec<Markup> = sizes.iter().map(row).collect();
        html! {
            h1 { "Storage" }
            form.filters method="get" {
                label { "A prune of runs that ended more than"
                    select name="days" { @for age in AGES { option value=(age) selected[age == days] { (age) " days ago" } } }
                }
                button type="submit" { "Show" }
            }
            (table(&["Account", "Name", "#Contents", "#Size as uploaded", "#Runs", "#Runs of that age", "#Only their files"], &rows, "There are no uploads yet."))
            p { "The database takes " (size(database)) "." }
            p.note {
                "Each content is stored once for an account, compressed, so the bucket has less than what was uploaded. A prune removes at most the runs of that
                 age from the database: it keeps those that the current state needs. The files in the bucket stay. " code { "dbt-api prune" } " says exactly what it would remove."
            }
        }
    }))
}
