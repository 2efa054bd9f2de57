//! Users of PostgreSQL who may do less than expected, and connections that do not get the role that they ask for.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{Database, Pooler, System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest, prepare, prepared};

/// A user who may log in and owns this database, and nothing else.
struct Owner {
    name: String,
    /// Connected as a superuser.
    administrator: PgConnection,
}

impl Owner {
    async fn of(database: &Database) -> Self {
        let options = database.options();
        let database_name = options.get_database().unwrap();
        let name = format!("owner_of_{database_name}");
        let mut administrator = PgConnection::connect_with(&options).await.unwrap();
        let create =
            format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'; ALTER DATABASE {database_name} OWNER TO {name}");
        administrator.execute(AssertSqlSafe(create)).await.unwrap();
        Self { name, administrator }
    }

    async fn execute(&mut self, statements: &str) {
        self.administrator
            .execute(AssertSqlSafe(statements.to_owned()))
            .await
            .unwrap();
    }

    /// The URL with which this user connects.
    fn url(&self, database: &Database) -> String {
        use sqlx::ConnectOptions;
        let options = database.options().username(&self.name).password("secret");
        options.to_url_lossy().to_string()
    }

    async fn remove(mut self) {
        let name = &self.name;
        let remove = format!("REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}");
        self.administrator.execute(AssertSqlSafe(remove)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_not_create_roles_uses_those_that_an_administrator_granted() {
    let mut system = System::start().await;
    system.database = Database::create_empty().await;
    // The roles exist on the server, because the databases of other tests have them.
    drop(Database::create().await);
    let mut owner = Owner::of(&system.database).await;
    system
        .variables
        .push(("DB_URL".to_owned(), owner.url(&system.database)));

    let (code, _, errors) = try_command(BINARY, &["account", "list"], &system);
    assert!(
        code == Some(1) && errors.contains("has no tables: run `dbt-api migrate`"),
        "{errors}"
    );
    let (code, _, errors) = try_command(BINARY, &["migrate"], &system);
    assert!(
        code == Some(1)
            && errors.contains("dbt-api migrate --print-roles")
            && errors.contains("does not have the role"),
        "{errors}"
    );
    let printed = run_command(BINARY, &["migrate", "--print-roles"], &system);
    let printed: Vec<&str> = printed
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    owner.execute(&printed.join("\n")).await;

    run_command(BINARY, &["migrate"], &system);
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let verified = installation.command(&["rebuild"]);
    assert_eq!(verified["in_place"], true, "{verified}");
    // Again, and with tables of which a migration is missing.
    installation.command(&["migrate"]);
    owner
        .execute("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .await;
    let (code, _, errors) = try_command(BINARY, &["account", "list"], &installation.system);
    assert!(
        code == Some(1) && errors.contains("is of an earlier version: run `dbt-api migrate`"),
        "{errors}"
    );
    assert_eq!(installation.service.stop().await, Some(0));
    owner.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_get_another_role_or_search_path_are_not_used() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    // A pooler that drops the startup parameter `options`, and an administrator who mended only the search path.
    let dropping = Pooler::before(&system.database).await;
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    let name = system.database.options().get_database().unwrap().to_owned();
    let mend = format!("ALTER DATABASE {name} SET search_path = {}", read_model::SEARCH_PATH);
    owner.execute(AssertSqlSafe(mend)).await.unwrap();
    system
        .variables
        .push(("DB_URL".to_owned(), system.database.url_through(&dropping.address)));

    let installation = Installation::of(system, "serve").await;
    let ready = wait_until("the readiness names the role", async || {
        let ready = installation.readiness().await;
        let error = ready["parts"]["database"]["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        error.contains("expected the role").then_some(ready)
    })
    .await;
    assert_ne!(ready["status"], "ready", "{ready}");
    let (status, answer) = installation.get(&token, "/api/v2/accounts/1/runs/").await;
    assert_eq!(status, 503, "{answer}");
    installation
        .upload_manifest(&token, "stored meanwhile", newest_manifest())
        .await;
    refuse_commands(&installation.system);
    // Nor is the right role enough.
    let other = format!("ALTER DATABASE {name} SET role = dbt_api_projector; ALTER DATABASE {name} RESET search_path");
    owner.execute(AssertSqlSafe(other)).await.unwrap();
    refuse_commands(&installation.system);
}

fn refuse_commands(system: &System) {
    for command in [&["rebuild", "--accept-differences"][..], &["account", "list"]] {
        let (code, _, errors) = try_command(BINARY, command, system);
        assert!(
            code == Some(1) && errors.contains("set DB_URL to PostgreSQL itself"),
            "{command:?}: {errors}"
        );
    }
}
