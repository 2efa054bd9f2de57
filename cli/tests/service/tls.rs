//! Connections to PostgreSQL with TLS. All other tests have none.

use reqwest::{Method, StatusCode};
use sqlx::{Connection, PgConnection};
use testkit::{System, try_command};

use crate::installation::{BINARY, Installation, newest_manifest, prepared};

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings; `./dev test` passes the server's certificate in this variable"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The certificate of the server; none if it is not known. `./dev test` reports then that these tests are skipped.
fn certificate() -> Option<String> {
    let certificate = variable("DATABASE_CERTIFICATE");
    assert!(
        certificate.is_some() || variable("CI").as_deref() != Some("true"),
        "DATABASE_CERTIFICATE must name the certificate of the server that DATABASE_URL names"
    );
    certificate
}

/// Checks that every connection to the system's database but this one has TLS, and that there are some.
async fn assert_all_are_encrypted(system: &System, setting: &str) {
    let mut superuser = PgConnection::connect_with(&system.database.options()).await.unwrap();
    let statement = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
         WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let (encrypted, plain): (i64, i64) = sqlx::query_as(statement).fetch_one(&mut superuser).await.unwrap();
    assert!(
        encrypted > 0 && plain == 0,
        "{setting}: {encrypted} with TLS, {plain} without"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_of_a_service_are_encrypted_and_come_back_after_an_outage() {
    let Some(certificate) = certificate() else { return };
    for (name, value) in [("DB_SSL_ENABLED", "true"), ("DB_SSL_ROOT_CERT", &certificate)] {
        let mut system = prepared().await;
        system.variables = vec![(name.to_owned(), value.to_owned())];
        let installation = Installation::of(system, "serve").await;
        let token = installation.token("1", "read,upload", &[]);
        installation.upload_manifest(&token, "run", newest_manifest()).await;
        installation.run_with_total(&token, "1", 1).await;
        assert_all_are_encrypted(&installation.system, name).await;

        installation.system.database.close().await;
        let (status, _) = installation.send(Method::GET, &token, "/api/v2/accounts/1/runs").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        installation.upload_manifest(&token, "later", newest_manifest()).await;
        installation.system.database.open().await;
        installation.run_with_total(&token, "1", 2).await;
        assert_all_are_encrypted(&installation.system, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_with_an_untrusted_certificate_is_refused() {
    let Some(certificate) = certificate() else { return };
    let mut system = System::start().await;
    let list = |system: &System| try_command(BINARY, &["account", "list"], system);
    system.variables = vec![("DB_SSL_ENABLED".to_owned(), "true".to_owned())];
    let (code, _, errors) = list(&system);
    assert_eq!(code, Some(0), "encrypted but not verified: {errors}");

    system.variables = vec![("DB_SSL_VERIFY".to_owned(), "true".to_owned())];
    let (code, _, errors) = list(&system);
    assert!(code == Some(1) && errors.contains("certificate"), "{errors}");

    system.variables = vec![("DB_SSL_ROOT_CERT".to_owned(), certificate)];
    let (code, _, errors) = list(&system);
    assert_eq!(code, Some(0), "{errors}");

    // The host name is verified, too: the certificate is for 127.0.0.1.
    let elsewhere = system.database.url().replacen("127.0.0.1", "localhost", 1);
    system.variables.push(("DB_URL".to_owned(), elsewhere));
    let (code, _, errors) = list(&system);
    assert!(code == Some(1) && errors.contains("certificate"), "{errors}");
}
