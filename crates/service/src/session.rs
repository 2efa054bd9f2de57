//! The role and the search path of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, Row};

/// What PostgreSQL is asked for when a connection is opened, and must be what statements get. A connection pooler may drop it silently: then
/// statements run as the user itself, past the policies that separate accounts and environments.
#[derive(Clone, Debug)]
pub struct Session {
    /// The role that statements run as.
    role: String,
    /// The schemas in which names are looked up, separated by commas.
    search_path: String,
    /// Whether the last connection had a problem, which was logged.
    has_problem: Arc<AtomicBool>,
}

impl Session {
    /// A session with this role and search path.
    #[must_use]
    pub fn of(role: &str, search_path: &str) -> Self {
        Self {
            role: role.to_owned(),
            search_path: search_path.to_owned(),
            has_problem: Arc::default(),
        }
    }

    /// Asks for role and search path in the options of connections.
    pub(crate) fn ask(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.options([("role", &self.role), ("search_path", &self.search_path)])
    }

    /// Checks what a connection got. The first problem of several is logged.
    ///
    /// # Errors
    /// Returns [`sqlx::Error::Configuration`] if statements would run as another role, past all policies, or in other schemas, and the error of
    /// the query if it fails.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let got = sqlx::raw_sql(
            "SELECT current_user::text, current_setting('search_path'), rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
        );
        let got = got.fetch_one(connection).await?;
        let problem = self.problem(got.try_get(0)?, got.try_get(1)?, got.try_get(2)?);
        let had_problem = self.has_problem.swap(problem.is_some(), Ordering::Relaxed);
        let Some(problem) = problem else { return Ok(()) };
        if !had_problem {
            tracing::error!(problem, "connections to PostgreSQL cannot be used");
        }
        Err(sqlx::Error::Configuration(problem.into()))
    }

    fn problem(&self, role: &str, search_path: &str, is_unrestricted: bool) -> Option<String> {
        if is_unrestricted && role == self.role {
            return Some(format!(
                "the role `{role}` is not subject to the policies that separate accounts: run `ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS`"
            ));
        }
        if role == self.role && plain(search_path) == plain(&self.search_path) {
            return None;
        }
        Some(format!(
            "statements run as the role `{role}` with the search path `{search_path}`: expected the role `{}` with `{}`. A connection pooler, such \
             as PgBouncer, may drop the startup parameter `options`: connect to PostgreSQL without it",
            self.role, self.search_path
        ))
    }
}

/// A search path without blanks and quotes.
fn plain(search_path: &str) -> String {
    search_path
        .chars()
        .filter(|letter| ![' ', '"'].contains(letter))
        .collect()
}
