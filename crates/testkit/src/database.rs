//! A migrated database for each test.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use crate::unique_name;

/// A database of its own in the server that `DATABASE_URL` names; gone when this is dropped.
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Makes a database with all tables, by copying one that is migrated once for all tests.
    ///
    /// # Panics
    /// Without a server.
    pub async fn create() -> Self {
        let server = server();
        let template = template(&server).await;
        let name = unique_name("dbt_api_test_");
        let mut connection = PgConnection::connect_with(&server)
            .await
            .expect("connects to DATABASE_URL");
        connection
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}")))
            .await
            .expect("copies the template");
        Self { server, name }
    }

    /// Makes an empty database, as a new server has it.
    ///
    /// # Panics
    /// Without a server.
    pub async fn create_empty() -> Self {
        let server = server();
        let name = unique_name("dbt_api_test_");
        let database = Self { server, name };
        database.tell_server(format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// A copy of this database at this moment, as a backup is. Nobody may be connected.
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn copy(&self) -> Self {
        let copy = Self {
            server: self.server.clone(),
            name: unique_name("dbt_api_test_"),
        };
        self.close().await;
        self.tell_server(format!("CREATE DATABASE {} TEMPLATE {}", copy.name, self.name))
            .await;
        self.open().await;
        copy
    }

    /// The server's address, for a gate before it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.server.get_host(), self.server.get_port())
    }

    /// As [`Database::url`], through another address.
    #[must_use]
    pub fn url_through(&self, address: &str) -> String {
        self.url().replacen(&self.address(), address, 1)
    }

    /// How to connect, as a superuser.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// The same as a URL, for `DB_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        use sqlx::ConnectOptions;
        self.options().to_url_lossy().to_string()
    }

    /// Cuts all connections and refuses new ones, as if PostgreSQL were away.
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn close(&self) {
        let name = &self.name;
        self.tell_server(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        self.tell_server(cut).await;
    }

    /// Ends [`Database::close`].
    ///
    /// # Panics
    /// When the server does not do it.
    pub async fn open(&self) {
        self.tell_server(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name))
            .await;
    }

    async fn tell_server(&self, statement: String) {
        let mut connection = PgConnection::connect_with(&self.server)
            .await
            .expect("connects to DATABASE_URL");
        connection.execute(AssertSqlSafe(statement)).await.expect("is done");
    }

    /// A pool whose connections took this role.
    #[must_use]
    pub fn pool(&self, role: &str) -> PgPool {
        let options = self
            .options()
            .options([("role", role), ("search_path", read_model::SEARCH_PATH)]);
        PgPoolOptions::new().max_connections(8).connect_lazy_with(options)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be the thread that drops this.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&server).await?;
                let statement = format!("DROP DATABASE {name} WITH (FORCE)");
                connection.execute(AssertSqlSafe(statement)).await?;
                anyhow::Ok(())
            })
        });
        // What cannot be dropped goes with the server.
        let _ = dropping.join();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings; this is how `./dev test` tells them the server"
)]
fn server() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL is not set: `./dev test` starts a PostgreSQL for the tests and sets it");
    PgConnectOptions::from_str(&url).expect("DATABASE_URL is a URL")
}

/// The migrated database that the tests copy; made by whoever comes first.
async fn template(server: &PgConnectOptions) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in read_model::MIGRATOR.iter() {
        migration.checksum.hash(&mut hasher);
    }
    let name = format!("dbt_api_template_{:016x}", hasher.finish());
    // The lock is the server's for this database only, so all have to take it in the same one.
    let mut connection = PgConnection::connect_with(&server.clone().database("postgres"))
        .await
        .expect("connects to the database `postgres` of DATABASE_URL");
    connection
        .execute("SELECT pg_advisory_lock(720261124)")
        .await
        .expect("locks");
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("asks for the template");
    if !exists {
        let unfinished = unique_name("dbt_api_unfinished_");
        let create = format!("CREATE DATABASE {unfinished}");
        connection
            .execute(AssertSqlSafe(create))
            .await
            .expect("creates the template");
        let mut inside = PgConnection::connect_with(&server.clone().database(&unfinished))
            .await
            .expect("connects to the template");
        read_model::MIGRATOR.run(&mut inside).await.expect("migrates");
        inside.close().await.expect("disconnects from the template");
        let rename = format!("ALTER DATABASE {unfinished} RENAME TO {name}");
        connection
            .execute(AssertSqlSafe(rename))
            .await
            .expect("renames the template");
    }
    connection.close().await.expect("unlocks");
    name
}
