//! What a request names that has no account in its path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use directory::queries;
use edge::read_query;
use serde::Deserialize;

use super::account_view::View;

/// The environment or project that a request without an account names.
pub(super) struct Named {
    /// `environment_slug` or `project_slug`.
    pub(super) field: &'static str,
    name: String,
}

impl Named {
    pub(super) async fn of(parts: &mut Parts) -> Option<Self> {
        let path = RawPathParams::from_request_parts(parts, &()).await.ok()?;
        let of_path = |param: &str| {
            path.iter()
                .find(|(name, _)| *name == param)
                .map(|(_, value)| value.to_owned())
        };
        #[derive(Deserialize)]
        struct EnvironmentSlug {
            environment_slug: Option<String>,
        }
        let query = parts.uri.query().unwrap_or_default();
        if let Some(name) = of_path(PROJECT_SLUG) {
            return Some(Self {
                field: PROJECT_SLUG,
                name,
            });
        }
        let of_query = || read_query::<EnvironmentSlug>(query).ok()?.environment_slug;
        let name = of_path("slug").or_else(of_query);
        name.map(|name| Self {
            field: ENVIRONMENT_SLUG,
            name,
        })
    }

    pub(super) async fn is_in(&self, view: &mut View) -> sqlx::Result<bool> {
        let account = view.account();
        Ok(if self.field == PROJECT_SLUG {
            queries::project_named(view.connection(), account, &self.name)
                .await?
                .is_some()
        } else {
            queries::environment_named(view.connection(), account, &self.name)
                .await?
                .is_some()
        })
    }
}

const PROJECT_SLUG: &str = "project_slug";
const ENVIRONMENT_SLUG: &str = "environment_slug";
