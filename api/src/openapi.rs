//! The OpenAPI document, and Swagger UI for reading it and trying the routes.

mod errors;

pub(crate) use errors::describe_unchanged;

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use edge::CloudError;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

/// The parts of the document that do not come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dbt-api",
        description = "dbt artifacts through an API like dbt Cloud's. Authorize with a token to try the routes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This service")),
    security(("token" = [])),
    components(schemas(errors::ErrorAnswer, errors::UploadErrorAnswer)),
    tags(
        (name = "Service", description = "Whether the service answers, and whose token it is"),
        (name = "Accounts", description = "Accounts that the token sees"),
        (name = "Projects", description = "dbt projects"),
        (name = "Connections", description = "The warehouses of projects"),
        (name = "Environments", description = "Environments of projects: where dbt runs"),
        (name = "Jobs", description = "Jobs: the DAGs of environments"),
        (name = "Runs", description = "Runs of jobs, their steps and their artifacts"),
        (name = "Nodes", description = "Models, tests, sources and other nodes: their definitions, columns, results, lineage and changes. \
            dbt Cloud's API does not have these routes."),
        (name = "Manifests", description = "Manifests to defer to, for clients that upload"),
        (name = "Deferral", description = "Manifests to defer to, by URLs that need no token"),
        (name = "Files", description = "Files that clients store and share between tasks"),
        (name = "Uploads", description = "Where dbt-coves and dbt send artifacts"),
        (name = "Empty collections", description = "Collections of dbt Cloud that are always empty here"),
    ),
    modifiers(&Token)
)]
struct Description;

/// Adds the bearer token scheme to the document.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The key of a token, as printed by `dbt-api token create`."))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Returns the document without routes.
pub(crate) fn description() -> Document {
    Description::openapi()
}

/// Serves this document at `/api/v2/openapi` and Swagger UI at `/api/v2/swaggerui`. All files of Swagger UI are in the executable, and none
/// loads anything from another host.
pub fn documentation(mut document: Document) -> Router {
    let paths = std::mem::take(&mut document.paths.paths);
    // The router writes a parameter that takes the rest of the path as `{*name}`, which OpenAPI does not know.
    document.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    errors::describe(&mut document);
    let document = Arc::new(document);
    let config = Arc::new(
        Config::from("../openapi")
            .validator_url("none")
            .persist_authorization(true)
            .try_it_out_enabled(true),
    );
    Router::new()
        .route("/api/v2/openapi", get(async move || Json(document)))
        .route(
            "/api/v2/swaggerui",
            get(async || Redirect::temporary("/api/v2/swaggerui/index.html")),
        )
        .route(
            "/api/v2/swaggerui/{*file}",
            get(async move |Path(file): Path<String>| swagger_file(&file, config)),
        )
}

fn swagger_file(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) if file.gzpipped => (
            [(CONTENT_TYPE, file.content_type.as_str()), (CONTENT_ENCODING, "gzip")],
            file.bytes.into_owned(),
        )
            .into_response(),
        Ok(Some(file)) => ([(CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response(),
        Ok(None) => CloudError::not_found().into_response(),
        Err(error) => CloudError::internal(&error).into_response(),
    }
}
