//! Routes under the older prefix that some clients still use.

use utoipa::openapi::path::PathItem;
use utoipa_axum::router::OpenApiRouter;

/// Renames the operations of routes for the older prefix, because operation ids must be unique in an OpenAPI document.
pub fn older<S: Clone + Send + Sync + 'static>(mut routes: OpenApiRouter<S>) -> OpenApiRouter<S> {
    routes.get_openapi_mut().paths.paths.values_mut().for_each(mark);
    routes
}

fn mark(path: &mut PathItem) {
    let operations = [
        &mut path.get,
        &mut path.post,
        &mut path.put,
        &mut path.patch,
        &mut path.delete,
    ];
    for operation in operations.into_iter().flatten() {
        operation.operation_id = operation.operation_id.take().map(|id| format!("internal_{id}"));
    }
}
