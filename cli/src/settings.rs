//! The settings of a process.

use std::path::PathBuf;

use ::settings::{Reader, Source};
use anyhow::{Context, bail, ensure};
use bucket::Bucket;
use clock::Clock;
use directory::datacoves::Queries;
use directory::queries::DATACOVES;
use edge::VerifierSettings;
use operator::Operator;
use projector::Projector;
use service::{DatabaseSettings, ServiceSettings};
use sqlx::PgConnection;

use crate::missing;
use crate::pools::{self, PoolRole, ReplicaSettings};

/// The settings of all parts of the service.
pub(crate) struct Settings {
    /// The settings file, if there is one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) service: ServiceSettings,
    pub(crate) database: DatabaseSettings,
    /// The servers that the role `api` reads instead of the primary, if there are some.
    pub(crate) replica: Option<ReplicaSettings>,
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
    /// Environment variables that look like misspelled settings.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Reads all settings, and reports all problems together.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let source = Source::load()?;
        let settings = source.read(Self::read)?;
        let file = source.file().map(std::path::absolute).transpose()?;
        Ok(Self { file, ..settings })
    }

    /// The names of all settings.
    pub(crate) fn variables() -> Vec<String> {
        let nothing = Source::default();
        let mut reader = Reader::new(&nothing);
        Self::read(&mut reader);
        reader.names().to_vec()
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            file: None,
            bucket: bucket::Settings::read(reader),
            database: DatabaseSettings::read(reader),
            replica: ReplicaSettings::read(reader),
            datacoves: DatabaseSettings::read_datacoves(reader),
            queries: Queries::read(reader),
            verifier: VerifierSettings::read(reader),
            stream: stream::Settings::read(reader),
            service: ServiceSettings::read(reader),
            ingest: ingest::Settings::read(reader),
            api: api::Settings::read(reader),
            airflow: airflow::Settings::read(reader),
            traces: traces::Settings::read(reader),
            // Last, because it compares with the names that were asked for.
            warnings: reader.warnings(),
        }
    }

    /// The URL at which clients reach the service, without a trailing slash.
    pub(crate) fn public_url(&self) -> String {
        match &self.service.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://localhost:{}", self.service.port),
        }
    }

    /// The systems beside PostgreSQL, NATS and the bucket that are observed, as `directory.observed` names them.
    pub(crate) fn observed_sources(&self) -> Vec<String> {
        let airflows = self.airflow.environments.iter();
        let airflows = airflows.map(|airflow| format!("airflow of {}/{}", airflow.account, airflow.slug));
        airflows
            .chain(self.datacoves.as_ref().map(|_| DATACOVES.to_owned()))
            .collect()
    }

    /// A projector for an operator's command.
    pub(crate) fn projector(&self, search_path: &str) -> anyhow::Result<Projector> {
        projector::start_threads()?;
        let pool = pools::command_projector(&self.database, search_path);
        Ok(Projector::new(pool, self.open_bucket()?, Clock::System))
    }

    pub(crate) fn open_bucket(&self) -> anyhow::Result<Bucket> {
        Bucket::open(&self.bucket).context("cannot open the bucket")
    }

    /// A connection as the configured user, who owns the database.
    pub(crate) async fn owner(&self) -> anyhow::Result<PgConnection> {
        self.database
            .connect_as_user()
            .await
            .context("cannot connect to PostgreSQL: check DB_URL or DB_HOST, DB_USER, DB_PASS and DB_NAME")
    }

    /// Fails if the database lacks tables of this version.
    pub(crate) async fn ensure_migrated(&self) -> anyhow::Result<()> {
        let mut connection = self.owner().await?;
        match missing::advice(&mut connection, &self.open_bucket()?).await? {
            Some(advice) => bail!("the database `{}` {advice}", self.database.name()),
            None => Ok(()),
        }
    }

    /// Fails if the database lacks tables of this version, or does not give connections their role.
    pub(crate) async fn ensure_usable(&self) -> anyhow::Result<()> {
        self.ensure_migrated().await?;
        let connected = PoolRole::Projector.connect(&self.database).await;
        connected.map(drop).context("PostgreSQL cannot be used")
    }

    /// Fails if accounts, projects and environments come from Datacoves, because they must be added and changed there.
    pub(crate) fn may_record(&self) -> anyhow::Result<()> {
        ensure!(
            self.datacoves.is_none(),
            "accounts, projects and environments come from Datacoves' database (DATACOVES_DB_… is set), which assigns their ids: \
             add or change it in Datacoves, and it appears here within seconds"
        );
        Ok(())
    }

    /// Prepares recording changes for an operator's command.
    pub(crate) fn operator(&self) -> anyhow::Result<Operator> {
        Ok(Operator {
            pool: pools::operator(&self.database),
            bucket: self.open_bucket()?,
            clock: Clock::System,
            behalf: None,
        })
    }
}
