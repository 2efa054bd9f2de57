//! A complete dbt-api installation to measure.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use sqlx::PgPool;
use testkit::{Database, Service, System, run_command};

/// The slug of the environment that receives all uploads.
pub(crate) const SLUG: &str = "prod";

/// The number of connections that the read side opens and prepares as soon as it starts.
const READER_CONNECTIONS: i64 = 20;

/// The time limit for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// The servers, with an account, a project, an environment and a token.
pub(crate) struct Installation {
    pub(crate) system: System,
    pub(crate) binary: String,
    pub(crate) key: String,
    pub(crate) client: Client,
    /// Connections with the projector's role.
    pub(crate) pool: PgPool,
    /// Connections as the database's owner.
    pub(crate) owner: PgPool,
}

impl Installation {
    pub(crate) async fn prepare(binary: &str) -> Self {
        Self::of(System::start().await, binary)
    }

    /// Creates the tables with this build, which may be an earlier one.
    pub(crate) async fn migrated_by(binary: &str) -> Self {
        Self::migrated_in(System::start().await, binary).await
    }

    /// Creates the tables with this build in a new database of the system.
    pub(crate) async fn migrated_in(mut system: System, binary: &str) -> Self {
        system.database = Database::create_empty().await;
        // An S3 server of this process answers meanwhile.
        tokio::task::block_in_place(|| {
            run_command(binary, &["migrate"], &system);
            Self::of(system, binary)
        })
    }

    fn of(mut system: System, binary: &str) -> Self {
        let limits = [
            ("READS_PER_MINUTE", "1000000"),
            ("UPLOADS_PER_MINUTE", "1000000"),
            ("LOG_LEVEL", "info,sqlx=error"),
        ];
        system
            .variables
            .extend(limits.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let run = |arguments: &[&str]| run_command(binary, arguments, &system);
        run(&["account", "add", "Bench"]);
        run(&["project", "add", "--account", "1", "--name", "Shop", "--slug", "shop"]);
        let of_project = ["environment", "add", "--account", "1", "--project", "1"];
        run(&[
            of_project.as_slice(),
            &["--name", "Production", "--slug", SLUG, "--type", "production"],
        ]
        .concat());
        let token = run(&["token", "create", "--account", "1", "--scope", "read,upload"]);
        Self {
            key: token["key"].as_str().unwrap_or_default().to_owned(),
            pool: system.database.pool("dbt_api_projector"),
            owner: system.database.pool("postgres"),
            binary: binary.to_owned(),
            client: Client::new(),
            system,
        }
    }

    /// Starts a role, and waits until it is ready.
    pub(crate) async fn start(&self, role: &str) -> anyhow::Result<Service> {
        let service = Service::start(&self.binary, role, &self.system).await;
        until("the role is ready", async || self.is_ready(&service).await).await?;
        Ok(service)
    }

    /// Waits until a read side has prepared all its connections, which it does in the background.
    pub(crate) async fn prepared(&self) -> anyhow::Result<()> {
        let prepared = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND query = 'ROLLBACK'";
        until("the connections for reads are prepared", async || {
            let count: Result<i64, _> = sqlx::query_scalar(prepared).fetch_one(&self.owner).await;
            count.is_ok_and(|count| count >= READER_CONNECTIONS)
        })
        .await
    }

    pub(crate) async fn is_ready(&self, service: &Service) -> bool {
        let answer = self.client.get(format!("{}/healthz/ready", service.url)).send().await;
        match answer {
            Ok(answer) => answer
                .json::<Value>()
                .await
                .is_ok_and(|health| health["status"] == "ready"),
            Err(_) => false,
        }
    }

    /// Uploads a manifest like dbt-coves does. Returns how long that took, and the id of the event.
    pub(crate) async fn upload(
        &self,
        to: &Service,
        run: &str,
        manifest: Bytes,
    ) -> anyhow::Result<(Duration, uuid::Uuid)> {
        let size = manifest.len() as u64;
        let part = Part::stream_with_length(reqwest::Body::from(manifest), size).file_name("file");
        let form = Form::new()
            .text("environment_slug", SLUG)
            .text("run_id", run.to_owned())
            .part("file", part);
        let request = self
            .client
            .post(format!("{}/api/internal/manifests", to.url))
            .bearer_auth(&self.key)
            .multipart(form);
        let begun = Instant::now();
        let answer = request.send().await?;
        let took = begun.elapsed();
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status == 201, "{status}: {body}");
        let id = body["data"]["event_id"].as_str().context("no event_id")?;
        Ok((took, id.parse()?))
    }

    /// Waits until the event is visible in answers. Returns how long that took.
    pub(crate) async fn visible(&self, event: uuid::Uuid) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        until("the event is applied", async || {
            let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM ledger WHERE event_id = $1)").bind(event);
            found.fetch_one(&self.pool).await.unwrap_or(false)
        })
        .await?;
        Ok(begun.elapsed())
    }

    /// The bytes of all tables with their indexes.
    pub(crate) async fn table_bytes(&self) -> anyhow::Result<i64> {
        let sum = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('read_model', 'ids')";
        Ok(sqlx::query_scalar(sum).fetch_one(&self.pool).await?)
    }

    pub(crate) fn storage(&self) -> &Path {
        self.system.storage()
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so().await {
        ensure!(begun.elapsed() < PATIENCE, "timed out while waiting: {what}");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    Ok(())
}

/// Returns the memory of a process, in MiB.
pub(crate) fn resident_mib(service: &Service) -> anyhow::Result<f64> {
    mib_of(service, "VmRSS:")
}

/// Returns the peak memory of a process since [`forget_peak`], in MiB.
pub(crate) fn peak_mib(service: &Service) -> anyhow::Result<f64> {
    mib_of(service, "VmHWM:")
}

fn mib_of(service: &Service, field: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.process_id()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .with_context(|| format!("no {field}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Resets the peak memory of a process (proc(5), `clear_refs`).
pub(crate) fn forget_peak(service: &Service) -> anyhow::Result<()> {
    Ok(std::fs::write(
        format!("/proc/{}/clear_refs", service.process_id()),
        "5",
    )?)
}

/// Returns the median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the value that this percentage of the values does not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * percent / 100.0).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
