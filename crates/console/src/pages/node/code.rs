//! The code of a node: with its Jinja, and as the warehouse ran it.

use api::node::NodeDetails;
use maud::{Markup, html};

use crate::{highlight, parts};

/// The most characters of code that are shown.
const MAX_LENGTH: usize = 100_000;

/// Shows the code. For a test the compiled one comes first: it is what one runs to see the rows that fail.
pub(super) fn code(node: &NodeDetails, twin: &str) -> Markup {
    let is_test = matches!(node.resource_type.as_str(), "test" | "unit_test");
    let raw = node
        .raw_code
        .clone()
        .filter(|code| !code.trim().is_empty())
        .or_else(|| node.node.text("macro_sql"));
    let is_python = node.node.text("language").is_some_and(|language| language == "python");
    let raw = ("code", "Code", raw.as_deref());
    let compiled = (
        "compiled",
        "Compiled code",
        node.compiled_code.as_deref().filter(|code| !code.trim().is_empty()),
    );
    html! {
        @for (id, title, code) in if is_test { [compiled, raw] } else { [raw, compiled] } {
            @if let Some(code) = code {
                section {
                    h2 id=(id) { (title) }
                    @let (code, is_cut) = parts::beginning(code, MAX_LENGTH);
                    (shown(code, is_python))
                    @if is_cut { p.note { "The rest is too long to be shown. " code { "GET " (twin) } " has all of it." } }
                }
            }
        }
    }
}

fn shown(code: &str, is_python: bool) -> Markup {
    html! {
        pre tabindex="0" { code { @if is_python { (code) } @else { (highlight::sql(code)) } } }
    }
}
