//! All settings of a process.

use std::time::Duration;

use anyhow::{Context, bail};
use bucket::Bucket;
use clock::Clock;
use service::{DatabaseSettings, Lookup, ServiceSettings};
use sqlx::PgPool;

use crate::operator::Operator;

/// The longest that one statement of an operator's command may take.
const OPERATOR_STATEMENT: Duration = Duration::from_secs(60);

/// What the parts of the service are told.
pub(crate) struct Settings {
    pub(crate) service: ServiceSettings,
    pub(crate) database: DatabaseSettings,
    pub(crate) bucket: bucket::Settings,
    pub(crate) stream: stream::Settings,
    pub(crate) ingest: ingest::Settings,
}

impl Settings {
    /// Reads all settings; what is wrong with them is told at once.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let lookup = Lookup::load()?;
        let lookup = |name: &str| lookup.get(name);
        let mut problems = Vec::new();
        let service = kept(ServiceSettings::read(&lookup), &mut problems);
        let database = kept(DatabaseSettings::read(&lookup), &mut problems);
        let bucket = kept(bucket::Settings::read(&lookup), &mut problems);
        let stream = kept(stream::Settings::read(&lookup), &mut problems);
        let ingest = kept(ingest::Settings::read(&lookup), &mut problems);
        match (service, database, bucket, stream, ingest) {
            (Some(service), Some(database), Some(bucket), Some(stream), Some(ingest)) => Ok(Self {
                service,
                database,
                bucket,
                stream,
                ingest,
            }),
            _ => bail!("the settings cannot be used:\n  - {}", problems.join("\n  - ")),
        }
    }

    /// The names of all settings.
    pub(crate) fn variables() -> Vec<&'static str> {
        [
            Lookup::VARIABLES,
            ServiceSettings::VARIABLES,
            DatabaseSettings::VARIABLES,
            bucket::Settings::VARIABLES,
            stream::Settings::VARIABLES,
            ingest::Settings::VARIABLES,
        ]
        .concat()
    }

    /// A pool that has all rights upon the directory and the read model.
    pub(crate) fn projector_pool(&self, connections: u32, statement_timeout: Duration) -> PgPool {
        self.database.pool(
            "dbt_api_projector",
            read_model::SEARCH_PATH,
            connections,
            statement_timeout,
        )
    }

    /// Who records accounts, projects, environments and tokens.
    pub(crate) fn operator(&self) -> anyhow::Result<Operator> {
        Ok(Operator {
            pool: self.projector_pool(1, OPERATOR_STATEMENT),
            bucket: Bucket::open(&self.bucket).context("the bucket cannot be opened")?,
            clock: Clock::System,
        })
    }
}

fn kept<T>(read: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(settings) => Some(settings),
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}
