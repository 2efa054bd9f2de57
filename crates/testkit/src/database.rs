//! A migrated database for each test.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use ::service::{ReadPool, Session, WarmUp};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use crate::{PATIENCE, unique_name};

/// A test's own database on the server that `DATABASE_URL` names. Dropping it drops the database.
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Creates a database with all tables by copying one that is migrated once for all tests.
    ///
    /// # Panics
    /// Panics if the server is not available.
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

    /// Creates an empty database, as on a new server.
    ///
    /// # Panics
    /// Panics if the server is not available.
    pub async fn create_empty() -> Self {
        let server = server();
        let name = unique_name("dbt_api_test_");
        let database = Self { server, name };
        database.execute(format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// Partitions the tables of accounts, as `docs/partitions.sql` does. No client may be connected.
    ///
    /// # Panics
    /// Panics if the server cannot do it.
    pub async fn partition(&self) {
        let mut inside = PgConnection::connect_with(&self.options())
            .await
            .expect("connects to the database");
        partition(&mut inside).await;
    }

    /// Copies this database in its current state, like a backup. No client may be connected.
    ///
    /// # Panics
    /// Panics if the server cannot do it.
    pub async fn copy(&self) -> Self {
        let copy = Self {
            server: self.server.clone(),
            name: unique_name("dbt_api_test_"),
        };
        self.close().await;
        self.execute(format!("CREATE DATABASE {} TEMPLATE {}", copy.name, self.name))
            .await;
        self.open().await;
        copy
    }

    /// Returns the server's address, so that a gate can be placed in front of it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.server.get_host(), self.server.get_port())
    }

    /// Returns the same URL as [`Database::url`], with another address. It is without TLS, so that [`Wire`](crate::Wire) and
    /// [`Pooler`](crate::Pooler) can read what passes.
    #[must_use]
    pub fn url_through(&self, address: &str) -> String {
        use sqlx::ConnectOptions;
        let options = self.options().ssl_mode(PgSslMode::Disable);
        let url = options.to_url_lossy().to_string();
        url.replacen(&self.address(), address, 1)
    }

    /// Returns the options to connect as a superuser.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// Returns the options as a URL for `DB_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        use sqlx::ConnectOptions;
        self.options().to_url_lossy().to_string()
    }

    /// Closes all connections and rejects new ones, as if PostgreSQL were down.
    ///
    /// # Panics
    /// Panics if the server cannot do it.
    pub async fn close(&self) {
        let name = &self.name;
        self.execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        self.execute(cut).await;
    }

    /// Reverts [`Database::close`].
    ///
    /// # Panics
    /// Panics if the server cannot do it.
    pub async fn open(&self) {
        self.execute(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name))
            .await;
    }

    /// Makes all transactions read-only, as on a server that lost its role as primary, or allows writes again. Connections are cut.
    ///
    /// # Panics
    /// Panics if the server cannot do it.
    pub async fn set_read_only(&self, is_read_only: bool) {
        let name = &self.name;
        self.execute(format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {is_read_only}"
        ))
        .await;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        self.execute(cut).await;
    }

    async fn execute(&self, statement: String) {
        let mut connection = PgConnection::connect_with(&self.server)
            .await
            .expect("connects to DATABASE_URL");
        connection
            .execute(AssertSqlSafe(statement))
            .await
            .expect("executes the statement");
    }

    /// Returns a pool whose connections use this role.
    #[must_use]
    pub fn pool(&self, role: &str) -> PgPool {
        let options = self
            .options()
            .options([("role", role), ("search_path", read_model::SEARCH_PATH)]);
        PgPoolOptions::new().max_connections(8).connect_lazy_with(options)
    }

    /// Opens a pool for reads, as the service does.
    #[must_use]
    pub fn read_pool(&self, warm_up: WarmUp) -> ReadPool {
        let session = Session::of("dbt_api_reader", read_model::SEARCH_PATH).with_timeout(PATIENCE);
        ReadPool::open(self.options(), session, 4, warm_up)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // It needs its own runtime, since the runtime of the test may be on the thread that drops this.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&server).await?;
                let statement = format!("DROP DATABASE {name} WITH (FORCE)");
                connection.execute(AssertSqlSafe(statement)).await?;
                anyhow::Ok(())
            })
        });
        // A database that cannot be dropped goes away with the server.
        let _ = dropping.join();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings, so `./dev test` passes the server in this variable"
)]
fn server() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL is not set: `./dev test` starts a PostgreSQL for the tests and sets it");
    let options = PgConnectOptions::from_str(&url).expect("DATABASE_URL is a URL");
    // sqlx 0.9.0 does not set TCP_NODELAY (https://github.com/transact-rs/sqlx/issues/4335), so the handshake of each TLS connection waits twice
    // for an acknowledgment that the server delays by 40 ms. Tests open thousands of connections. Those in `cli/tests/service/tls.rs` ask for TLS.
    match options.get_ssl_mode() {
        PgSslMode::Prefer => options.ssl_mode(PgSslMode::Disable),
        _ => options,
    }
}

/// Whether the tables of all tests are partitioned.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings, and this is for a run of all of them"
)]
#[must_use]
pub fn has_partitions() -> bool {
    std::env::var_os("DBT_API_TEST_PARTITIONS").is_some()
}

async fn partition(connection: &mut PgConnection) {
    let script = std::fs::read_to_string(crate::repository_file("docs/partitions.sql")).expect("reads the script");
    let script = script.replace(":'partitions'", "'4'");
    connection
        .execute(AssertSqlSafe(format!("BEGIN; {script} COMMIT")))
        .await
        .expect("partitions the tables");
}

/// Returns the name of the migrated database that the tests copy. The first test creates it.
async fn template(server: &PgConnectOptions) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in read_model::migrations::MIGRATOR.iter() {
        migration.checksum.hash(&mut hasher);
    }
    has_partitions().hash(&mut hasher);
    let name = format!("dbt_api_template_{:016x}", hasher.finish());
    // An advisory lock applies to a single database, so all tests must take it in the same one.
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
        .expect("looks up the template");
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
        read_model::migrations::migrate(&mut inside).await.expect("migrates");
        if has_partitions() {
            partition(&mut inside).await;
        }
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
