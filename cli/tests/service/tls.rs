//! Verification of the certificates of servers.

use testkit::{System, try_command};

use crate::installation::BINARY;

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings; `./dev test` passes the server's certificate in this variable"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_with_an_untrusted_certificate_is_refused() {
    let Some(certificate) = variable("DATABASE_CERTIFICATE") else {
        // `./dev test` reports that this test is skipped.
        assert_ne!(
            variable("CI").as_deref(),
            Some("true"),
            "DATABASE_CERTIFICATE must name the certificate of the server that DATABASE_URL names"
        );
        return;
    };
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
