//! Describes the errors that every route can answer with.

use edge::Status;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};

/// An error on routes with dbt Cloud's form.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorAnswer {
    /// How the request ended, with a message.
    status: Status,
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
}

/// An error on routes of uploads.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadError)]
pub(super) struct UploadErrorAnswer {
    /// A text under `message`, or a list of texts under the name of each field that is wrong.
    #[schema(value_type = Object)]
    errors: Value,
}

/// The route of the uploads whose URL is signed. Its errors have the form of uploads.
const SIGNED_UPLOAD: &str = "/api/private/ingests/{signed}";

/// Adds the errors that follow from authentication, parameters, bodies and load to all operations that do not describe them.
pub(super) fn describe(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        let schema = if edge::is_upload_path(path) || path == SIGNED_UPLOAD {
            "UploadError"
        } else {
            "Error"
        };
        for operation in operations(item) {
            let errors = errors_of(operation, path);
            let responses = &mut operation.responses.responses;
            for (status, description) in errors {
                let response = ResponseBuilder::new().description(description).build();
                responses.entry(status.to_owned()).or_insert_with(|| response.into());
            }
            // Also those that the routes describe themselves.
            for (status, response) in responses {
                if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response)
                    && response.content.is_empty()
                {
                    let content = ContentBuilder::new()
                        .schema(Some(Ref::from_schema_name(schema)))
                        .build();
                    response.content.insert("application/json".to_owned(), content.into());
                }
            }
        }
    }
}

/// Adds that these reads may be answered with 304, as [`crate::unchanged`] does.
pub(crate) fn describe_unchanged(document: &mut Document) {
    for item in document.paths.paths.values_mut() {
        let Some(operation) = &mut item.get else { continue };
        let response = ResponseBuilder::new()
            .description("The answer is the one that has the `ETag` in `If-None-Match`")
            .build();
        let responses = &mut operation.responses.responses;
        responses.entry("304".to_owned()).or_insert_with(|| response.into());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

/// `security(())` on a route, which is an empty requirement, means that it needs no token.
fn needs_token(operation: &Operation) -> bool {
    let security = operation.security.as_ref();
    security.is_none_or(|security| security.iter().any(|one| *one != SecurityRequirement::default()))
}

fn errors_of(operation: &Operation, path: &str) -> Vec<(&'static str, &'static str)> {
    // Every URL is checked, whether its route has parameters or not.
    let mut errors = vec![("414", "The query is too long; the message says how long it may be")];
    let in_path = path.contains('{');
    let in_query = operation
        .parameters
        .iter()
        .flatten()
        .any(|param| matches!(param, RefOr::T(param) if param.parameter_in == ParameterIn::Query));
    let needs_token = needs_token(operation);
    if in_path || in_query {
        errors.push(("400", "A parameter cannot be read"));
    }
    if operation.request_body.is_some() {
        errors.push(("408", "The body did not arrive in time"));
    }
    if needs_token {
        errors.extend([
            ("401", "The token is missing, unknown, deleted or expired"),
            ("403", "The token does not allow this"),
            (
                "429",
                "The token has sent too many requests; `Retry-After` says when to try again",
            ),
        ]);
        if in_path {
            errors.push(("404", "The resource does not exist, or the token does not see it"));
        }
        errors.push((
            "503",
            "The service is busy, or the database or the storage is unavailable",
        ));
    }
    errors
}
