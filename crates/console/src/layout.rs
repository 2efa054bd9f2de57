//! What all pages have around their content.

use api::Error;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use edge::CloudError;
use maud::{DOCTYPE, Markup, html};

use crate::assets::{ICON, SCRIPT, STYLE};
use crate::forms::FormToken;
use crate::links;
use schemas::AccountId;

/// A page of the console.
pub(crate) struct Page<'a> {
    /// The title of the window, without the name of the program.
    pub(crate) title: &'a str,
    /// The names and addresses of the pages above this one.
    pub(crate) above: &'a [(String, String)],
    /// The account that is shown, and the environment if the page is about one.
    pub(crate) location: Option<(AccountId, Option<i64>)>,
    /// The address of the same facts as JSON.
    pub(crate) twin: Option<String>,
    /// For the form that signs out.
    pub(crate) form_token: &'a FormToken,
    /// The content.
    pub(crate) content: Markup,
}

impl Page<'_> {
    /// The whole page.
    pub(crate) fn render(self) -> Document {
        let twin = self.twin.as_deref();
        Document(shell(
            self.title,
            twin,
            &html! {
                header.top {
                    a.brand href="/console" { "dbt-api" }
                    nav aria-label="Where you are" {
                        @for (name, address) in self.above {
                            span.crumb { a href=(address) { bdi { (name) } } }
                        }
                    }
                    @if let Some((account, environment)) = self.location {
                        (search_box(account, environment))
                    }
                    form.sign-out method="post" action="/console/sign-out" {
                        (self.form_token.field())
                        button.plain type="submit" { "Sign out" }
                    }
                }
                main id="content" { (self.content) }
                footer {
                    @if let Some(twin) = twin { "The same as JSON: " code { "GET " (twin) } " · " }
                    a href="/api/v2/swaggerui/" { "API" }
                }
            },
        ))
    }
}

/// The box by which one searches, in the environment that is shown, if there is one. The key `/` leads to it.
fn search_box(account: AccountId, environment: Option<i64>) -> Markup {
    let action = match environment {
        Some(environment) => format!("{}/search", links::environment(account, environment)),
        None => links::search_account(account),
    };
    html! {
        form.search role="search" method="get" action=(action) {
            input type="search" name="q" aria-label="Search nodes, columns, descriptions and tags" placeholder="Search  /" data-shortcut="/";
        }
    }
}

/// A page without a session: it has no navigation.
pub(crate) fn bare(title: &str, content: &Markup) -> Document {
    Document(shell(title, None, &html! { main.bare id="content" { (content) } }))
}

fn shell(title: &str, twin: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · dbt-api" }
                link rel="icon" type="image/svg+xml" href=(ICON.address());
                link rel="stylesheet" href=(STYLE.address());
                @if let Some(twin) = twin { link rel="alternate" type="application/json" href=(twin); }
                script src=(SCRIPT.address()) defer {}
            }
            body {
                a.skip href="#content" { "To the content" }
                (body)
            }
        }
    }
}

/// A whole page.
pub(crate) struct Document(Markup);

/// Renders a page that may take long, beside the threads that answer requests.
pub(crate) async fn beside(render: impl FnOnce() -> Document + Send + 'static) -> Result<Document, Error> {
    let rendering = tokio::task::spawn_blocking(render);
    Ok(rendering.await.map_err(|panic| CloudError::internal(&panic))?)
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        ([(CONTENT_TYPE, kind)], self.0.into_string()).into_response()
    }
}
