#![doc = include_str!("../README.md")]

mod assets;
mod attempts;
mod enter;
mod errors;
mod forms;
mod highlight;
mod layered;
mod layout;
mod links;
mod markdown;
mod operate;
mod operations;
mod pages;
mod parts;
mod protect;
mod seal;
mod session;
mod sign_in;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{any, get, post};

use operate::{NamesOfOthers, OperatorState};
pub use operations::{Operations, Parts};
use session::Console;

/// The path under which all pages are.
pub const PREFIX: &str = "/console";

/// The routes of the console for readers, and for operators if the process can act.
pub fn router(state: api::State, operations: Option<Operations>) -> Router {
    let directory = operations.as_ref().map(|operations| operations.directory.clone());
    let console = Console::new(state.clone(), directory);
    let mut pages = api::as_reads(pages::routes(), &state)
        .merge(api::as_downloads(pages::downloads(), &state))
        .layer(from_fn_with_state(console.clone(), enter::enter))
        .route("/console/{account_id}/{*path}", any(errors::not_found));
    pages = match operations {
        Some(operations) => {
            let console = console.clone();
            pages.merge(pages::operate::routes(&OperatorState {
                console,
                operations,
                names: NamesOfOthers::default(),
            }))
        }
        None => pages
            .route(links::OPERATE, any(errors::served_elsewhere))
            .route("/console/operate/{*path}", any(errors::served_elsewhere)),
    };
    whole(pages, console)
}

/// The routes of the console of a process that can act, and does not serve readers.
pub fn operators_router(state: api::State, operations: Operations) -> Router {
    let console = Console::new(state, Some(operations.directory.clone()));
    let state = OperatorState {
        console: console.clone(),
        operations,
        names: NamesOfOthers::default(),
    };
    let first = get(async || Redirect::to(links::OPERATE));
    whole(pages::operate::routes(&state).route(PREFIX, first), console)
}

/// Adds what all pages need: signing in and out, style and script, and protection.
fn whole(pages: Router, console: Console) -> Router {
    let open = Router::new()
        .route("/console/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/assets/{name}", get(assets::asset))
        .with_state(console.clone());
    pages
        .merge(open)
        .layer(from_fn_with_state(console, protect::protect))
        .layer(axum::middleware::from_fn(errors::as_pages))
}
