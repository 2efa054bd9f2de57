//! Tries to reach everything that the settings name.

use std::time::Duration;

use airflow::Airflow;
use directory::datacoves::Source;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use stream::Stream;
use tokio::time::{sleep, timeout};

use crate::pools::PoolRole;
use crate::settings::Settings;

/// How long each attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks at a connection that is made in the background.
const PAUSE: Duration = Duration::from_millis(100);

/// An attempt.
#[derive(Serialize)]
pub(crate) struct Attempt {
    part: String,
    is_ok: bool,
    result: String,
}

impl Attempt {
    pub(crate) fn is_ok(&self) -> bool {
        self.is_ok
    }
}

/// Tries all parts at the same time. In the bucket, it may create the object `check`.
pub(crate) async fn try_all(settings: &Settings) -> Vec<Attempt> {
    let mut attempts: Vec<(String, BoxFuture<'_, anyhow::Result<()>>)> = vec![
        ("bucket".to_owned(), Box::pin(try_bucket(settings))),
        ("database".to_owned(), Box::pin(settings.ensure_migrated())),
        ("nats".to_owned(), Box::pin(try_nats(settings))),
    ];
    for role in PoolRole::ALL {
        attempts.push((format!("role {}", role.name()), Box::pin(try_role(settings, role))));
    }
    if settings.datacoves.is_some() {
        attempts.push(("datacoves".to_owned(), Box::pin(try_datacoves(settings))));
    }
    for environment in &settings.airflow.environments {
        let part = format!("airflow of {}/{}", environment.account, environment.slug);
        attempts.push((part, Box::pin(try_airflow(environment))));
    }
    let attempts = attempts.into_iter().map(|(part, attempt)| async move {
        let result = match timeout(PATIENCE, attempt).await {
            Ok(result) => result.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        Attempt {
            part,
            is_ok: result.is_ok(),
            result: result.err().unwrap_or_else(|| "ok".to_owned()),
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

async fn try_nats(settings: &Settings) -> anyhow::Result<()> {
    let stream = Stream::connect(&settings.stream).await?;
    // The client connects in the background.
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() / 2 {
        if stream.check().await.is_ok() {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Ok(stream.check().await?)
}

async fn try_datacoves(settings: &Settings) -> anyhow::Result<()> {
    if let Some(database) = &settings.datacoves {
        let source = Source::new(database.foreign_pool(), settings.queries.clone());
        let mut connection = source.connect().await?;
        source.read(&mut connection).await?;
    }
    Ok(())
}

async fn try_airflow(environment: &airflow::Environment) -> anyhow::Result<()> {
    Airflow::new(&environment.url, environment.login.clone())?
        .dags()
        .await?;
    Ok(())
}
