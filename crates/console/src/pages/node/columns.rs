//! The columns of a node, as it declares them and as the warehouse has them, with their tests.

use api::node::{Column, NodeDetails, Test};
use maud::{Markup, html};

use super::Context;
use crate::markdown::Briefs;
use crate::parts;

/// The most columns that are shown.
const MAX_COLUMNS: usize = 300;

/// Shows the columns; nothing if none are known.
pub(super) fn columns(node: &NodeDetails, context: Context) -> Markup {
    if node.columns.is_empty() {
        return Markup::default();
    }
    let is_cataloged = node.catalog.is_some();
    let is_declared = node.columns.iter().any(|column| column.is_declared);
    let mut briefs = Briefs::new();
    html! {
        section {
            h2 { "Columns " span.count { (node.columns.len()) } }
            @if !is_cataloged { p.note { "No catalog lists this node, so the types in the warehouse are not known." } }
            div.scroll {
                table {
                    thead { tr { th { "Column" } th { "Type" } th { "Description" } th { "Tests" } } }
                    tbody { @for column in node.columns.iter().take(MAX_COLUMNS) { (row(column, (is_cataloged, is_declared), (node, context), &mut briefs)) } }
                }
            }
            @if node.columns.len() > MAX_COLUMNS { p.note { "Only the first " (MAX_COLUMNS) " are shown." } }
        }
    }
}

fn row(column: &Column, known: (bool, bool), (node, context): (&NodeDetails, Context), briefs: &mut Briefs) -> Markup {
    let checks = |test: &&Test| {
        test.column_name
            .as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&column.name))
    };
    html! {
        tr {
            td.mono { bdi { (column.name) } }
            td.type { (types(column, known)) }
            td { @if let Some(text) = &column.description { (briefs.show(text)) } }
            td { @for test in node.tests.iter().filter(checks) { (check(test, context)) } }
        }
    }
}

/// The types. What is missing is said only if others are there: in the catalog, or in the declaration.
fn types(column: &Column, (is_cataloged, is_declared): (bool, bool)) -> Markup {
    let declared = column.data_type.as_ref().filter(|declared| {
        column
            .catalog_type
            .as_ref()
            .is_none_or(|catalog| !catalog.eq_ignore_ascii_case(declared))
    });
    html! {
        @if let Some(catalog) = &column.catalog_type { code { bdi { (catalog) } } }
        @if let Some(declared) = declared {
            @if column.catalog_type.is_some() { div.note { "declared " code { bdi { (declared) } } } } @else { code { bdi { (declared) } } }
        }
        @if is_cataloged && column.catalog_type.is_none() { div.note { "not in the warehouse" } }
        @if is_declared && !column.is_declared { div.note { "not declared" } }
    }
}

/// A test in few letters, with the word for its last result.
fn check(test: &Test, context: Context) -> Markup {
    let name = test.kind.as_deref().or(test.name.as_deref()).unwrap_or(&test.unique_id);
    html! {
        a.check href=(context.node(&test.unique_id)) {
            bdi { (name) } " "
            @if let Some(result) = &test.last_result { (parts::result_status(&result.status)) }
        }
    }
}
