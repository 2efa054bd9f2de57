//! Histories: journals with many events, as after months of use.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bucket::{Bucket, Settings};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use reqwest::multipart::{Form, Part};
use schemas::{
    AccountId, AirflowRunObserved, ArtifactKind, ArtifactsUploaded, DbtProjectRetired, DeletedFiles, EnvironmentId,
    Event, EventData, EventId, FileDeleted, FilesStored, ProjectId, RetentionPruned, RunId, StoredFile, TokenId,
    UploadRoute, UploadedFile,
};
use sqlx::{Connection, PgConnection, PgPool};
use testkit::{System, repository_file, run_command, wait_until};
use uuid::Uuid;

use crate::installation::{BINARY, Installation, SLUG, Token};

/// A random number generator with a fixed seed, so that failures can be reproduced.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `n`.
    pub(crate) fn roll(&mut self, n: u64) -> u64 {
        // The constants are Knuth's (MMIX).
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for index in (1..things.len()).rev() {
            things.swap(index, usize::try_from(self.roll(index as u64 + 1)).unwrap());
        }
    }
}

pub(crate) fn bucket_of(system: &System) -> Bucket {
    let path = system.storage().to_owned();
    Bucket::open(&Settings::Local { path }).unwrap()
}

/// Returns a system whose service was stopped, and files in its bucket that events may name. All of its events are applied.
pub(crate) async fn stopped_with_files() -> (System, Vec<UploadedFile>) {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    assert_eq!(installation.service.stop().await, Some(0));
    run_command(BINARY, &["replay"], &installation.system);
    (installation.system, files)
}

/// The files that events may name. They are uploaded once, so that their bytes are in the bucket.
pub(crate) async fn stored_files(installation: &Installation) -> Vec<UploadedFile> {
    let mut files = Vec::new();
    for account in ["1", "2"] {
        let token = installation.token(account, "read,upload", &[]);
        for name in [
            "manifests/v12-1.12.0.json",
            "manifests/v11-1.7.20.json",
            "manifests/v8-1.4.10.json",
            "run_results",
            "catalog/v1-1.12.0.json",
            "situations/two-projects/1.manifest.json",
            "situations/two-projects/2.manifest.json",
            "situations/two-projects/2.run_results.json",
            "situations/docs-generate-one/2.catalog.json",
            "situations/docs-generate-one/3.catalog.json",
            "situations/interrupted-build/1.manifest.json",
            "situations/interrupted-build/1.run_results.json",
            "situations/freshness-passes/1.sources.json",
        ] {
            let path = repository_file("fixtures").join(name);
            let paths = if path.is_dir() {
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect()
            } else {
                vec![path]
            };
            for path in paths {
                let stored = store_file(installation, &token, std::fs::read(&path).unwrap()).await;
                if account == "1" {
                    files.push(stored);
                }
            }
        }
    }
    files
}

/// Uploads a file so that its bytes are in the bucket. It does not belong to a run.
pub(crate) async fn store_file(installation: &Installation, token: &Token, bytes: Vec<u8>) -> UploadedFile {
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("tag", "latest-stored")
        .part("file", Part::bytes(bytes).file_name("file"));
    let (status, answer) = installation.upload(token, form).await;
    assert_eq!(status, 201, "{answer}");
    let id: EventId = answer["data"]["event_id"].as_str().unwrap().parse().unwrap();
    let bucket = bucket_of(&installation.system);
    let event = bucket.get_event(bucket::Journal::Uploads, id).await.unwrap();
    let Ok(EventData::ArtifactsUploaded(mut upload)) = event.data() else {
        panic!("no upload")
    };
    upload.files.remove(0)
}

/// Writes an upload of one file, made this many minutes ago, into the journal.
pub(crate) async fn write_upload(
    bucket: &Bucket,
    (account, environment): (i64, i64),
    run: &str,
    minutes: i64,
    file: &UploadedFile,
) -> Event {
    let time = Clock::System.now() - TimeDelta::minutes(minutes);
    let upload = ArtifactsUploaded {
        account_id: AccountId(account),
        project_id: ProjectId(account),
        environment_id: EnvironmentId(environment),
        dag_id: None,
        run_id: Some(run.to_owned()),
        tag: None,
        route: None,
        uploader: TokenId(uuid::Uuid::nil()),
        files: vec![file.clone()],
    };
    let event = Event::new(EventId(Clock::System.new_id(time)), time, &upload.into()).unwrap();
    bucket.put_event(&event).await.unwrap();
    event
}

/// Returns the file of this upload event in the journal.
pub(crate) fn event_file(system: &System, event: &Event) -> PathBuf {
    let made = bucket::made_at(event.id).unwrap();
    let folder = system.storage().join("events/uploads");
    folder.join(format!("{}/{}.json", made.format("%Y/%m/%d/%H"), event.id))
}

/// Prevents uploads of an environment from being assigned to runs in the read model of this schema, so that they are not applied while this
/// connection is open.
pub(crate) async fn hold_placement(system: &System, schema: &str, environment: i64) -> PgConnection {
    let mut connection = PgConnection::connect_with(&system.database.options()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('dbt-api placement ' || $1, $2))")
        .bind(schema)
        .bind(environment)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// Lets claims of numbers succeed in the bucket, while recording them waits until the transaction of the connection ends.
pub(crate) async fn hold_segments(system: &System) -> PgConnection {
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE ids.segments IN SHARE MODE")
        .execute(&mut owner)
        .await
        .unwrap();
    owner
}

/// Waits until a projector waits for the lock of [`hold_placement`].
pub(crate) async fn wait_for_waiters(system: &System) {
    let pool = pool_of(system);
    wait_until("a projector waits for the lock", async || {
        let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
        (waiting > 0).then_some(())
    })
    .await;
}

/// Starts a command of the program, which is killed when the returned value is dropped.
pub(crate) fn begin_command(system: &System, arguments: &[&str]) -> Begun {
    let child = Command::new(BINARY)
        .arg("--json")
        .args(arguments)
        .envs(system.environment())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Begun(child)
}

/// A command that is running.
pub(crate) struct Begun(pub(crate) Child);

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a history of this many uploads of two accounts into the journal, over the days before now: runs with and without a DAG, several
/// uploads of one invocation, uploads that refer to others, tags, and what Airflow reported about some of these runs and about others.
pub(crate) async fn write_history(bucket: &Bucket, files: &[UploadedFile], uploads: u64, seed: u64) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let end: DateTime<Utc> = Clock::System.now() - TimeDelta::minutes(5);
    let (mut events, mut slugs) = (Vec::new(), Vec::new());
    for number in 0..uploads {
        let time = end - TimeDelta::seconds(i64::try_from(dice.roll(5 * 86_400)).unwrap());
        let account = i64::try_from(1 + dice.roll(2)).unwrap();
        let run = dice.roll(uploads / 4 + 1);
        let mut of_upload = Vec::new();
        for _ in 0..=dice.roll(3) {
            let mut file = files[usize::try_from(dice.roll(files.len() as u64)).unwrap()].clone();
            // Several uploads share an invocation, and some files name none.
            file.invocation_id = (dice.roll(5) > 0).then(|| format!("invocation-{account}-{run}-{}", dice.roll(3)));
            if matches!(file.kind, ArtifactKind::Manifest | ArtifactKind::Catalog) {
                // The clocks of workers are fast or slow, and some files arrive late.
                let late = TimeDelta::seconds(i64::try_from(dice.roll(7200)).unwrap() - 300);
                file.generated_at = (dice.roll(6) > 0).then(|| time - late);
            }
            of_upload.push(file);
        }
        let has_run = dice.roll(5) > 0;
        let ids = (AccountId(account), ProjectId(account), EnvironmentId(account));
        let data = match dice.roll(8) {
            0 => store_files(&mut dice, ids, run, of_upload, &mut slugs).into(),
            1 if !slugs.is_empty() => delete_file(&mut dice, &slugs).into(),
            2 if dice.roll(4) == 0 => DbtProjectRetired {
                account_id: ids.0,
                project_id: ids.1,
                environment_id: ids.2,
                dbt_project: ["shop", "bakery"][usize::try_from(dice.roll(2)).unwrap()].to_owned(),
            }
            .into(),
            _ => ArtifactsUploaded {
                account_id: ids.0,
                project_id: ids.1,
                environment_id: ids.2,
                dag_id: (dice.roll(3) == 0).then(|| format!("dag-{}", run % 7 + dice.roll(2))),
                run_id: has_run.then(|| format!("scheduled__{run}")),
                tag: (dice.roll(12) == 0).then(|| format!("latest-{number}")),
                route: [None, Some(UploadRoute::Manifests), Some(UploadRoute::Ingests)]
                    [usize::try_from(dice.roll(3)).unwrap()],
                uploader: TokenId(Uuid::nil()),
                files: of_upload,
            }
            .into(),
        };
        let event = Event::new(EventId(Clock::System.new_id(time)), time, &data).unwrap();
        bucket.put_event(&event).await.unwrap();
        events.push(event);
    }
    for _ in 0..uploads / 2 {
        let event = observation(&mut dice, end, uploads);
        bucket.put_event(&event).await.unwrap();
        events.push(event);
    }
    events
}

/// Returns an observation of a run in Airflow. There may be uploads of the same run.
fn observation(dice: &mut Dice, end: DateTime<Utc>, uploads: u64) -> Event {
    let time = end - TimeDelta::seconds(i64::try_from(dice.roll(5 * 86_400)).unwrap());
    let account = i64::try_from(1 + dice.roll(2)).unwrap();
    let run = dice.roll(uploads / 4 + 10);
    let state = ["queued", "running", "success", "failed", "removed"][usize::try_from(dice.roll(5)).unwrap()];
    let mut before = |known: bool| known.then(|| time - TimeDelta::seconds(i64::try_from(dice.roll(4000)).unwrap()));
    let data = AirflowRunObserved {
        account_id: AccountId(account),
        project_id: ProjectId(account),
        environment_id: EnvironmentId(account),
        queued_at: before(run.is_multiple_of(2)),
        started_at: before(state != "queued"),
        finished_at: before(matches!(state, "success" | "failed")),
        dag_id: format!("dag-{}", run % 7 + dice.roll(2)),
        run_id: format!("scheduled__{run}"),
        state: state.to_owned(),
        schedule: (dice.roll(2) == 0).then(|| format!("{} * * * *", dice.roll(60))),
    };
    Event::new(EventId(Clock::System.new_id(time)), time, &data.into()).unwrap()
}

/// Stores files with tags that begin with the id of a run, which may have no other uploads. Some are new versions of others.
fn store_files(
    dice: &mut Dice,
    (account_id, project_id, environment_id): (AccountId, ProjectId, EnvironmentId),
    run: u64,
    files: Vec<UploadedFile>,
    slugs: &mut Vec<(AccountId, Uuid)>,
) -> FilesStored {
    let files = files.into_iter().map(|file| {
        let of_account: Vec<Uuid> = slugs
            .iter()
            .filter(|(id, _)| *id == account_id)
            .map(|(_, slug)| *slug)
            .collect();
        let slug = if of_account.is_empty() || dice.roll(3) > 0 {
            Uuid::from_u128(u128::from(dice.roll(u64::from(u32::MAX))))
        } else {
            of_account[usize::try_from(dice.roll(of_account.len() as u64)).unwrap()]
        };
        slugs.push((account_id, slug));
        // The ids of some runs begin with the ids of others.
        let tag = match dice.roll(3) {
            0 => format!("scheduled__{run}-run_results"),
            1 => format!("scheduled__{}-{run}-x", run / 10),
            _ => "latest-state".to_owned(),
        };
        StoredFile {
            slug,
            tag: Some(tag),
            file,
        }
    });
    FilesStored {
        account_id,
        project_id,
        environment_id: Some(environment_id),
        uploader: TokenId(Uuid::nil()),
        files: files.collect(),
    }
}

fn delete_file(dice: &mut Dice, slugs: &[(AccountId, Uuid)]) -> FileDeleted {
    let (account_id, slug) = slugs[usize::try_from(dice.roll(slugs.len() as u64)).unwrap()];
    FileDeleted {
        account_id,
        project_id: ProjectId(account_id.0),
        environment_id: Some(EnvironmentId(account_id.0)),
        files: match dice.roll(4) {
            0 => DeletedFiles::Tag("latest-state".to_owned()),
            1 => DeletedFiles::Filename("manifest.json".to_owned()),
            _ => DeletedFiles::Slug(slug),
        },
        deleted_by: TokenId(Uuid::nil()),
    }
}

/// Writes an event that prunes these uploads.
pub(crate) async fn write_prune(bucket: &Bucket, account: i64, uploads: Vec<EventId>) -> Event {
    let time = Clock::System.now();
    let data = RetentionPruned {
        account_id: AccountId(account),
        run_ids: vec![RunId(1)],
        uploads,
    };
    let event = Event::new(EventId(Clock::System.new_id(time)), time, &data.into()).unwrap();
    bucket.put_event(&event).await.unwrap();
    event
}

/// Returns everything that clients see of runs, with their ids.
pub(crate) async fn visible_state(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT to_jsonb(t)::text FROM jobs t UNION ALL SELECT to_jsonb(t)::text FROM runs t
         UNION ALL SELECT to_jsonb(t)::text FROM run_steps t UNION ALL SELECT to_jsonb(t)::text FROM artifacts t
         UNION ALL SELECT to_jsonb(t)::text FROM airflow_runs t
         UNION ALL SELECT (to_jsonb(t) - 'spare')::text FROM current_node_sets t
         UNION ALL SELECT to_jsonb(t)::text FROM retired_projects t
         UNION ALL SELECT (to_jsonb(t) - 'id')::text FROM aspect_sets t
         UNION ALL SELECT concat_ws(' ', t.environment_id, t.aspect, t.node_md5, x.hash, c.hash) FROM aspect_heads t
            LEFT JOIN texts x ON t.aspect = 'compiled_code' AND x.id = t.content_id
            LEFT JOIN catalog_nodes c ON t.aspect = 'catalog' AND c.id = t.content_id
         UNION ALL SELECT to_jsonb(t)::text FROM current_files t
         UNION ALL SELECT to_jsonb(t)::text FROM run_counts t WHERE runs <> 0
         UNION ALL SELECT to_jsonb(t)::text FROM directory.environments t
         UNION ALL SELECT to_jsonb(t)::text FROM directory.tokens t ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

pub(crate) fn pool_of(system: &System) -> PgPool {
    system.database.pool("dbt_api_projector")
}

/// Panics with the rows that are in only one of the two states.
pub(crate) fn assert_same(after: &[String], before: &[String]) {
    let (of_after, of_before): (HashSet<_>, HashSet<_>) = (after.iter().collect(), before.iter().collect());
    let missing: Vec<_> = of_before.difference(&of_after).collect();
    let new: Vec<_> = of_after.difference(&of_before).collect();
    assert!(
        missing.is_empty() && new.is_empty() && after.len() == before.len(),
        "missing: {missing:#?}\nnew: {new:#?}"
    );
}
