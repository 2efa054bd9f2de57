//! Tries to reach everything that the settings name.

use std::time::Duration;

use airflow::Airflow;
use anyhow::{Context, bail};
use directory::datacoves::Source;
use edge::{Purpose, Verifier, VerifierSettings};
use futures_util::future::{BoxFuture, join_all};
use operator::status::Part;
use sqlx::{Connection, PgConnection};
use stream::Stream;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::output::{Output, reason};
use crate::pools::{PoolRole, ReplicaSettings};
use crate::settings::Settings;

/// How long each attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks at a connection that is made in the background.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints attempts as a table, and below it the reasons of those that failed.
pub(crate) fn show(attempts: &[Part], output: Output) -> anyhow::Result<()> {
    output.many(attempts, &["part", "is_ok"], "")?;
    for failed in attempts.iter().filter(|attempt| !attempt.is_ok) {
        output.note(&format!("{}: {}", failed.part, failed.result))?;
    }
    Ok(())
}

/// Tries all parts at the same time. In the bucket, it may create the object `check`.
pub(crate) async fn try_all(settings: &Settings) -> Vec<Part> {
    settings.database.choose_server().await;
    let mut attempts: Vec<(String, BoxFuture<'_, anyhow::Result<()>>)> = vec![
        ("bucket".to_owned(), Box::pin(try_bucket(settings))),
        ("nats".to_owned(), Box::pin(try_nats(settings))),
    ];
    if let Some(replica) = &settings.replica {
        attempts.push(("replica".to_owned(), Box::pin(try_replica(settings, replica))));
    }
    if settings.datacoves.is_some() {
        attempts.push(("datacoves".to_owned(), Box::pin(try_datacoves(settings))));
    }
    if let Some(verifier) = &settings.verifier {
        attempts.push(("verifier".to_owned(), Box::pin(try_verifier(verifier))));
    }
    for environment in &settings.airflow.environments {
        let part = format!("airflow of {}/{}", environment.account, environment.slug);
        attempts.push((part, Box::pin(try_airflow(environment))));
    }
    let (of_database, mut others) = tokio::join!(try_database(settings), try_each(attempts));
    others.splice(1..1, of_database);
    others
}

/// Tries the database, and then the roles. Without the database or its tables, no role can be used for the same reason.
async fn try_database(settings: &Settings) -> Vec<Part> {
    let mut tried = try_each(vec![("database".to_owned(), Box::pin(settings.ensure_migrated()))]).await;
    if tried.iter().all(|part| part.is_ok) {
        let roles = PoolRole::ALL.into_iter();
        let roles = roles.map(|role| -> (String, BoxFuture<'_, anyhow::Result<()>>) {
            (format!("role {}", role.name()), Box::pin(try_role(settings, role)))
        });
        tried.extend(try_each(roles.collect()).await);
    }
    tried
}

async fn try_each(attempts: Vec<(String, BoxFuture<'_, anyhow::Result<()>>)>) -> Vec<Part> {
    let attempts = attempts.into_iter().map(|(part, attempt)| async move {
        let result = match timeout(PATIENCE, attempt).await {
            Ok(result) => result.map_err(|error| reason(&error)),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        Part {
            part,
            is_ok: result.is_ok(),
            result: result.err().unwrap_or_else(|| "ok".to_owned()),
            last_success_at: None,
        }
    });
    join_all(attempts).await
}

async fn try_bucket(settings: &Settings) -> anyhow::Result<()> {
    Ok(settings.open_bucket()?.check().await?)
}

async fn try_role(settings: &Settings, role: PoolRole) -> anyhow::Result<()> {
    role.connect(&settings.database).await?;
    Ok(())
}

async fn try_replica(settings: &Settings, replica: &ReplicaSettings) -> anyhow::Result<()> {
    Ok(replica.check(&settings.database).await?)
}

async fn try_nats(settings: &Settings) -> anyhow::Result<()> {
    let stream = Stream::connect(&settings.stream).await?;
    // The client connects in the background.
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() / 2 {
        if stream.check().await.is_ok() {
            return Ok(stream.prepare().await?);
        }
        sleep(PAUSE).await;
    }
    Ok(stream.check().await?)
}

async fn try_datacoves(settings: &Settings) -> anyhow::Result<()> {
    if let Some(database) = &settings.datacoves {
        // Not from the pool, which does not say why it has no connection.
        let options = database.options();
        let mut connection = PgConnection::connect_with(&options).await.with_context(|| {
            let (host, port) = (database.host(), database.port());
            let (user, name) = (database.user(), database.name());
            format!("DATACOVES_DB_URL, or DATACOVES_DB_HOST and so on, name {host}:{port}, the user {user} and the database {name}, which cannot be used")
        })?;
        let source = Source::new(database.foreign_pool(), settings.queries.clone());
        source.read(&mut connection).await?;
    }
    Ok(())
}

/// Asks about a key that nobody has issued.
async fn try_verifier(settings: &VerifierSettings) -> anyhow::Result<()> {
    let verifier = Verifier::new(settings.clone())?;
    let key = Uuid::new_v4().to_string();
    match verifier.access(&key, Purpose::Read).await? {
        None => Ok(()),
        Some(_) => bail!("DATACOVES_VERIFY_URL admits a key that nobody has issued: expected HTTP 401 or 403 for it"),
    }
}

async fn try_airflow(environment: &airflow::Environment) -> anyhow::Result<()> {
    let named = || format!("AIRFLOW_CONFIG names the url {}", environment.url);
    let mut airflow = Airflow::new(&environment.url, environment.login.clone()).with_context(named)?;
    airflow.dags().await.with_context(named)?;
    Ok(())
}
