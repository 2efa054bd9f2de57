//! The role and the search path of connections.

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
}

impl Session {
    /// A session with this role and search path.
    #[must_use]
    pub fn of(role: &str, search_path: &str) -> Self {
        Self {
            role: role.to_owned(),
            search_path: search_path.to_owned(),
        }
    }

    /// Asks for role and search path in the options of connections.
    pub(crate) fn ask(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.options([("role", &self.role), ("search_path", &self.search_path)])
    }

    /// Checks what a connection got.
    ///
    /// # Errors
    /// Returns [`sqlx::Error::Configuration`] if statements would run as another role or in other schemas, and the error of the query if it
    /// fails.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let got = sqlx::raw_sql("SELECT current_user::text, current_setting('search_path')");
        let got = got.fetch_one(connection).await?;
        let (role, search_path): (String, String) = (got.try_get(0)?, got.try_get(1)?);
        if role == self.role && plain(&search_path) == plain(&self.search_path) {
            return Ok(());
        }
        let error = format!(
            "statements run as the role `{role}` with the search path `{search_path}`: expected the role `{}` with `{}`. A connection pooler, such \
             as PgBouncer, may drop the startup parameter `options`: connect to PostgreSQL without it",
            self.role, self.search_path
        );
        Err(sqlx::Error::Configuration(error.into()))
    }
}

/// A search path without blanks and quotes.
fn plain(search_path: &str) -> String {
    search_path
        .chars()
        .filter(|letter| ![' ', '"'].contains(letter))
        .collect()
}
