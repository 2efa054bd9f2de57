//! The version of an account's data, on which the `ETag` of its answers depends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use bucket::{Bucket, Settings};
use clock::Clock;
use projector::{Outcome, Projector};
use schemas::{
    AccountId, AccountRecorded, AirflowRunObserved, ArtifactsUploaded, ConnectionDetails, ConnectionRecorded,
    DbtProjectRetired, DeletedFiles, EnvironmentId, EnvironmentRecorded, EnvironmentType, Event, EventData, EventId,
    EventType, FileDeleted, FilesStored, OperatorActed, OperatorAction, OperatorTokenIssued, OperatorTokenRevoked,
    ProjectId, ProjectRecorded, RecordState, RetentionPruned, Scope, Sha256, TokenId, TokenIssued, TokenRevoked,
};
use sqlx::PgPool;
use testkit::Database;
use uuid::Uuid;

/// Returns the data of an event of this type about account 1.
fn sample(kind: EventType) -> EventData {
    let (account_id, project_id, environment_id) = (AccountId(1), ProjectId(1), EnvironmentId(1));
    let (token_id, name, state) = (TokenId(Uuid::nil()), "Shop".to_owned(), RecordState::Active);
    match kind {
        EventType::ArtifactsUploaded => EventData::ArtifactsUploaded(ArtifactsUploaded {
            account_id,
            project_id,
            environment_id,
            dag_id: None,
            run_id: Some("run".to_owned()),
            tag: None,
            route: None,
            uploader: token_id,
            files: Vec::new(),
        }),
        EventType::FilesStored => EventData::FilesStored(FilesStored {
            account_id,
            project_id,
            environment_id: Some(environment_id),
            uploader: token_id,
            files: Vec::new(),
        }),
        EventType::FileDeleted => EventData::FileDeleted(FileDeleted {
            account_id,
            project_id,
            environment_id: Some(environment_id),
            files: DeletedFiles::Tag("latest".to_owned()),
            deleted_by: token_id,
        }),
        EventType::AccountRecorded => EventData::AccountRecorded(AccountRecorded {
            account_id,
            name,
            slug: None,
            state,
        }),
        EventType::ProjectRecorded => EventData::ProjectRecorded(ProjectRecorded {
            account_id,
            project_id,
            name,
            slug: "shop".parse().unwrap(),
            state,
        }),
        EventType::EnvironmentRecorded => EventData::EnvironmentRecorded(EnvironmentRecorded {
            account_id,
            project_id,
            environment_id,
            name,
            slug: "dev".parse().unwrap(),
            environment_type: EnvironmentType::Development,
            state,
        }),
        EventType::ConnectionRecorded => EventData::ConnectionRecorded(ConnectionRecorded {
            account_id,
            project_id,
            details: ConnectionDetails {
                host: Some("db.example.com".to_owned()),
                ..ConnectionDetails::default()
            },
        }),
        EventType::TokenIssued => EventData::TokenIssued(TokenIssued {
            account_id,
            token_id,
            name,
            key_sha256: Sha256::of(b"key"),
            scopes: vec![Scope::Read],
            environment_id: None,
            expires_at: None,
        }),
        EventType::TokenRevoked => EventData::TokenRevoked(TokenRevoked { account_id, token_id }),
        EventType::AirflowRunObserved => EventData::AirflowRunObserved(AirflowRunObserved {
            account_id,
            project_id,
            environment_id,
            dag_id: "daily".to_owned(),
            run_id: "run".to_owned(),
            state: "running".to_owned(),
            queued_at: None,
            started_at: None,
            finished_at: None,
            schedule: None,
        }),
        EventType::RetentionPruned => EventData::RetentionPruned(RetentionPruned {
            account_id,
            run_ids: Vec::new(),
            uploads: vec![EventId(Uuid::nil())],
        }),
        EventType::DbtProjectRetired => EventData::DbtProjectRetired(DbtProjectRetired {
            account_id,
            project_id,
            environment_id,
            dbt_project: "shop".to_owned(),
        }),
        EventType::OperatorTokenIssued => EventData::OperatorTokenIssued(OperatorTokenIssued {
            token_id,
            name,
            key_sha256: Sha256::of(b"key of an operator"),
            expires_at: Clock::System.now(),
        }),
        EventType::OperatorTokenRevoked => EventData::OperatorTokenRevoked(OperatorTokenRevoked { token_id }),
        EventType::OperatorActed => EventData::OperatorActed(OperatorActed {
            operator: token_id,
            account_id: Some(account_id),
            action: OperatorAction::DeadLetterDropped(EventId(Uuid::nil())),
        }),
    }
}

async fn version(pool: &PgPool) -> Option<Uuid> {
    sqlx::query_scalar("SELECT version FROM directory.account_versions WHERE account_id = 1")
        .fetch_optional(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_gives_its_account_a_new_version() {
    let database = Database::create().await;
    let storage = tempfile::tempdir().unwrap();
    let bucket = Bucket::open(&Settings::Local {
        path: storage.path().to_owned(),
    })
    .unwrap();
    let pool = database.pool("dbt_api_projector");
    let projector = Projector::new(pool.clone(), bucket, Clock::System);
    for kind in EventType::ALL {
        let data = sample(*kind);
        assert_eq!(data.kind(), kind.name(), "`sample` returns another type");
        let now = Clock::System.now();
        let event = Event::new(EventId(Clock::System.new_id(now)), now, &data).unwrap();
        let before = version(&pool).await;
        assert_eq!(
            projector.apply(&event).await.unwrap(),
            Outcome::Applied,
            "{}",
            kind.name()
        );
        let after = version(&pool).await;
        if data.account_id().is_none() {
            continue;
        }
        assert!(
            after.is_some() && after != before,
            "`{}` kept the account's version, so clients get 304 for an answer that changed: apply it in a `Change`",
            kind.name()
        );
    }
}
