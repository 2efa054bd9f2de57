//! Counts requests by groups of routes.

use std::time::Duration;

use axum::http::StatusCode;

use crate::headers::{OLDER_UPLOAD_PREFIX, UPLOAD_PREFIX};

/// The groups, each with the beginning of its routes. The first that fits counts.
const GROUPS: [(&str, &str); 10] = [
    (UPLOAD_PREFIX, UPLOADS),
    (OLDER_UPLOAD_PREFIX, UPLOADS),
    ("/api/v2", "v2"),
    ("/api/v3", "v3"),
    ("/api/graphql", "semantic_layer"),
    ("/api/private", UPLOADS),
    ("/beta/graphql", "discovery"),
    ("/graphql", "discovery"),
    ("/healthz", "health"),
    ("/metrics", "health"),
];

/// The group of routes by which dbt-coves and dbt upload.
const UPLOADS: &str = "uploads";

/// The group of all other routes, such as pages, and of paths without a route.
const OTHER: &str = "other";

/// The statuses that an alert may be about.
const STATUSES: [u16; 10] = [200, 201, 400, 401, 403, 404, 422, 429, 500, 503];

/// Shows the counters with 0 before the first request, because an alert on a rate does not see a counter that begins with 1.
pub(crate) fn declare() {
    let groups = GROUPS.iter().map(|(_, group)| *group).chain([OTHER]);
    for group in groups {
        for status in STATUSES {
            requests(group, status).increment(0);
        }
    }
}

/// Counts a request that was answered.
pub(crate) fn count(route: Option<&str>, status: StatusCode, duration: Duration) {
    let group = group_of(route);
    requests(group, status.as_u16()).increment(1);
    metrics::histogram!("dbt_api_request_seconds", "group" => group).record(duration);
}

fn requests(group: &'static str, status: u16) -> metrics::Counter {
    metrics::counter!("dbt_api_requests_total", "group" => group, "status" => status.to_string())
}

fn group_of(route: Option<&str>) -> &'static str {
    let route = route.unwrap_or_default();
    let group = GROUPS.iter().find(|(beginning, _)| route.starts_with(beginning));
    group.map_or(OTHER, |(_, group)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_belong_to_groups() {
        for (route, group) in [
            (Some("/api/v2/accounts/{account_id}/runs"), "v2"),
            (Some("/api/graphql"), "semantic_layer"),
            (Some("/graphql"), "discovery"),
            (Some("/api/v2/datacoves/manifests"), UPLOADS),
            (Some("/api/internal/manifests"), UPLOADS),
            (Some("/"), OTHER),
            (None, OTHER),
        ] {
            assert_eq!(group_of(route), group, "{route:?}");
        }
    }
}
