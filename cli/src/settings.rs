//! The settings of a process.

use anyhow::{Context, bail, ensure};
use bucket::Bucket;
use clock::Clock;
use directory::datacoves::Queries;
use edge::VerifierSettings;
use projector::Projector;
use service::{DatabaseSettings, Lookup, ServiceSettings};
use sqlx::{Connection, PgConnection};

use crate::operator::Operator;
use crate::pools;

/// The settings of all parts of the service.
pub(crate) struct Settings {
    pub(crate) service: ServiceSettings,
    pub(crate) database: DatabaseSettings,
    pub(crate) bucket: bucket::Settings,
    pub(crate) stream: stream::Settings,
    pub(crate) ingest: ingest::Settings,
    pub(crate) api: api::Settings,
    pub(crate) airflow: airflow::Settings,
    /// Datacoves' own database, if the directory comes from there.
    pub(crate) datacoves: Option<DatabaseSettings>,
    /// The queries for Datacoves' database.
    pub(crate) queries: Queries,
    /// Where keys that this service did not issue are verified.
    pub(crate) verifier: Option<VerifierSettings>,
    /// Where traces are sent; none if there are none.
    pub(crate) traces: Option<traces::Settings>,
}

impl Settings {
    /// Reads all settings, and reports all problems together.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let lookup = Lookup::load()?;
        let lookup = |name: &str| lookup.get(name);
        let mut problems = Vec::new();
        let service = kept(ServiceSettings::read(&lookup), &mut problems);
        let database = kept(DatabaseSettings::read(&lookup), &mut problems);
        let bucket = kept(bucket::Settings::read(&lookup), &mut problems);
        let stream = kept(stream::Settings::read(&lookup), &mut problems);
        let ingest = kept(ingest::Settings::read(&lookup), &mut problems);
        let api = kept(api::Settings::read(&lookup), &mut problems);
        let datacoves = kept(DatabaseSettings::read_datacoves(&lookup), &mut problems);
        let verifier = kept(VerifierSettings::read(&lookup), &mut problems);
        let airflow = kept(airflow::Settings::read(&lookup), &mut problems);
        let traces = kept(traces::Settings::read(&lookup), &mut problems);
        match (
            service, database, bucket, stream, ingest, api, airflow, datacoves, verifier, traces,
        ) {
            (
                Some(service),
                Some(database),
                Some(bucket),
                Some(stream),
                Some(ingest),
                Some(api),
                Some(airflow),
                Some(datacoves),
                Some(verifier),
                Some(traces),
            ) => Ok(Self {
                service,
                database,
                bucket,
                stream,
                ingest,
                api,
                airflow,
                datacoves,
                queries: Queries::read(&lookup),
                verifier,
                traces,
            }),
            _ => bail!("invalid settings:\n  - {}", problems.join("\n  - ")),
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
            api::Settings::VARIABLES,
            airflow::Settings::VARIABLES,
            Queries::VARIABLES,
            VerifierSettings::VARIABLES,
            traces::Settings::VARIABLES,
        ]
        .concat()
    }

    /// The URL at which clients reach the service, without a trailing slash.
    pub(crate) fn public_url(&self) -> String {
        match &self.service.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://localhost:{}", self.service.port),
        }
    }

    /// A projector for an operator's command.
    pub(crate) fn projector(&self, search_path: &str) -> anyhow::Result<Projector> {
        let pool = pools::command_projector(&self.database, search_path);
        Ok(Projector::new(pool, self.open_bucket()?, Clock::System))
    }

    pub(crate) fn open_bucket(&self) -> anyhow::Result<Bucket> {
        Bucket::open(&self.bucket).context("cannot open the bucket")
    }

    /// A connection as the configured user, who owns the database.
    pub(crate) async fn owner(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect_with(&self.database.options())
            .await
            .context("cannot connect to PostgreSQL: check DB_URL or DB_HOST, DB_USER, DB_PASS and DB_NAME")
    }

    /// Fails if accounts, projects and environments come from Datacoves, because they must be added there.
    pub(crate) fn may_add(&self) -> anyhow::Result<()> {
        ensure!(
            self.datacoves.is_none(),
            "accounts, projects and environments come from Datacoves' database (DATACOVES_DB_… is set), which assigns their ids: \
             add it in Datacoves, and it appears here within seconds"
        );
        Ok(())
    }

    /// Prepares recording changes for an operator's command.
    pub(crate) fn operator(&self) -> anyhow::Result<Operator> {
        Ok(Operator {
            pool: pools::operator(&self.database),
            bucket: self.open_bucket()?,
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
