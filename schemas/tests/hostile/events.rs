//! Tests with hostile events.

use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use schemas::*;
use serde_json::{Value, json};

use crate::check::event;
use crate::mutate::damage;

const WORDS: &[&str] = &[
    "null",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\ud800",
    "\0",
    ":",
    ",",
    "-",
    "1e999",
    "\"x\":{\"y\":[]},",
    "\"type\":\"token.issued.v2\",",
];

/// Any time whose year has four digits.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_167_219_200..=253_402_300_799_i64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds).unwrap())
}

fn sha256() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256)
}

fn uuid() -> impl Strategy<Value = uuid::Uuid> {
    any::<u128>().prop_map(uuid::Uuid::from_u128)
}

fn state() -> impl Strategy<Value = RecordState> {
    select(vec![RecordState::Active, RecordState::Inactive])
}

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z][a-z0-9_-]{0,62}".prop_map(|slug| slug.parse().unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), ".{0,5}\0.{0,5}", Just("é".repeat(10_000))]
}

fn file() -> impl Strategy<Value = UploadedFile> {
    let kinds = select(vec![
        ArtifactKind::Manifest,
        ArtifactKind::RunResults,
        ArtifactKind::Catalog,
        ArtifactKind::Sources,
        ArtifactKind::SemanticManifest,
        ArtifactKind::Other,
    ]);
    let metadata = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(time()),
    );
    (text(), kinds, sha256(), any::<u64>(), any::<u64>(), metadata).prop_map(
        |(name, kind, sha256, size, stored_size, metadata)| UploadedFile {
            name,
            kind,
            sha256,
            size,
            stored_size,
            dbt_schema_version: metadata.0,
            dbt_version: metadata.1,
            invocation_id: metadata.2,
            generated_at: metadata.3,
        },
    )
}

fn uploaded() -> impl Strategy<Value = EventData> {
    let ids = any::<(i64, i64, i64)>();
    let texts = (option::of(text()), option::of(text()), option::of(text()));
    let route = option::of(prop_oneof![
        Just(UploadRoute::Manifests),
        Just(UploadRoute::Ingests),
        Just(UploadRoute::Import)
    ]);
    (ids, texts, route, uuid(), vec(file(), 0..3)).prop_map(|(ids, texts, route, uploader, files)| {
        EventData::from(ArtifactsUploaded {
            account_id: AccountId(ids.0),
            project_id: ProjectId(ids.1),
            environment_id: EnvironmentId(ids.2),
            dag_id: texts.0,
            run_id: texts.1,
            tag: texts.2,
            route,
            uploader: TokenId(uploader),
            files,
        })
    })
}

fn stored() -> impl Strategy<Value = EventData> {
    let files = vec((uuid(), option::of(text()), file()), 0..3);
    (any::<(i64, i64, Option<i64>)>(), uuid(), files).prop_map(|(ids, uploader, files)| {
        EventData::from(FilesStored {
            account_id: AccountId(ids.0),
            project_id: ProjectId(ids.1),
            environment_id: ids.2.map(EnvironmentId),
            uploader: TokenId(uploader),
            files: files
                .into_iter()
                .map(|(slug, tag, file)| StoredFile { slug, tag, file })
                .collect(),
        })
    })
}

fn deleted() -> impl Strategy<Value = EventData> {
    let files = prop_oneof![
        uuid().prop_map(DeletedFiles::Slug),
        text().prop_map(DeletedFiles::Tag),
        text().prop_map(DeletedFiles::Filename),
    ];
    (any::<(i64, i64, Option<i64>)>(), uuid(), files).prop_map(|(ids, id, files)| {
        EventData::from(FileDeleted {
            account_id: AccountId(ids.0),
            project_id: ProjectId(ids.1),
            environment_id: ids.2.map(EnvironmentId),
            files,
            deleted_by: TokenId(id),
        })
    })
}

fn recorded() -> impl Strategy<Value = EventData> {
    let kinds = select(EnvironmentType::ALL.to_vec());
    (
        0..3,
        any::<(i64, i64, i64)>(),
        text(),
        option::of(slug()),
        slug(),
        state(),
        kinds,
    )
        .prop_map(|(which, ids, name, account_slug, slug, state, environment_type)| {
            let (account_id, project_id, environment_id) = (AccountId(ids.0), ProjectId(ids.1), EnvironmentId(ids.2));
            match which {
                0 => AccountRecorded {
                    account_id,
                    name,
                    slug: account_slug,
                    state,
                }
                .into(),
                1 => ProjectRecorded {
                    account_id,
                    project_id,
                    name,
                    slug,
                    state,
                }
                .into(),
                _ => EnvironmentRecorded {
                    account_id,
                    project_id,
                    environment_id,
                    name,
                    slug,
                    environment_type,
                    state,
                }
                .into(),
            }
        })
}

fn token() -> impl Strategy<Value = EventData> {
    let bound = (option::of(any::<i64>()), option::of(time()));
    (any::<bool>(), any::<i64>(), uuid(), text(), sha256(), bound).prop_map(
        |(issued, account, id, name, key_sha256, (environment, expires_at))| {
            let (account_id, token_id) = (AccountId(account), TokenId(id));
            if issued {
                TokenIssued {
                    account_id,
                    token_id,
                    name,
                    key_sha256,
                    scopes: Scope::ALL.to_vec(),
                    environment_id: environment.map(EnvironmentId),
                    expires_at,
                }
                .into()
            } else {
                TokenRevoked { account_id, token_id }.into()
            }
        },
    )
}

fn of_operators() -> impl Strategy<Value = EventData> {
    let texts = (text(), sha256(), time());
    (0..6, uuid(), uuid(), option::of(any::<i64>()), texts).prop_map(
        |(which, id, other, account, (name, key_sha256, expires_at))| {
            let token_id = TokenId(id);
            let acted = |action| {
                EventData::from(OperatorActed {
                    operator: token_id,
                    account_id: account.map(AccountId),
                    action,
                })
            };
            match which {
                0 => OperatorTokenIssued {
                    token_id,
                    name,
                    key_sha256,
                    expires_at,
                }
                .into(),
                1 => OperatorTokenRevoked { token_id }.into(),
                2 => acted(OperatorAction::TokenIssued(TokenId(other))),
                3 => acted(OperatorAction::TokenRevoked(TokenId(other))),
                4 => acted(OperatorAction::DeadLetterRetried(EventId(other))),
                _ => acted(OperatorAction::DeadLetterDropped(EventId(other))),
            }
        },
    )
}

fn observed() -> impl Strategy<Value = EventData> {
    let times = (option::of(time()), option::of(time()), option::of(time()));
    (
        any::<(i64, i64, i64)>(),
        text(),
        text(),
        text(),
        times,
        option::of(text()),
    )
        .prop_map(|(ids, dag_id, run_id, state, times, schedule)| {
            EventData::from(AirflowRunObserved {
                account_id: AccountId(ids.0),
                project_id: ProjectId(ids.2),
                environment_id: EnvironmentId(ids.1),
                dag_id,
                run_id,
                state,
                queued_at: times.0,
                started_at: times.1,
                finished_at: times.2,
                schedule,
            })
        })
}

fn pruned() -> impl Strategy<Value = EventData> {
    (any::<i64>(), vec(any::<i64>(), 0..4), vec(uuid(), 0..4)).prop_map(|(account, runs, uploads)| {
        EventData::from(RetentionPruned {
            account_id: AccountId(account),
            run_ids: runs.into_iter().map(RunId).collect(),
            uploads: uploads.into_iter().map(EventId).collect(),
        })
    })
}

fn retired() -> impl Strategy<Value = EventData> {
    (any::<(i64, i64, i64)>(), text()).prop_map(|(ids, dbt_project)| {
        EventData::from(DbtProjectRetired {
            account_id: AccountId(ids.0),
            project_id: ProjectId(ids.1),
            environment_id: EnvironmentId(ids.2),
            dbt_project,
        })
    })
}

fn connection() -> impl Strategy<Value = EventData> {
    let texts = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    );
    (any::<(i64, i64)>(), option::of(any::<u16>()), texts).prop_map(|(ids, port, (account, host, role, http_path))| {
        EventData::from(ConnectionRecorded {
            account_id: AccountId(ids.0),
            project_id: ProjectId(ids.1),
            details: ConnectionDetails {
                account,
                host,
                port,
                role,
                http_path,
                ..ConnectionDetails::default()
            },
        })
    })
}

/// Data of this type, or of a similar one.
fn data_of(kind: EventType) -> BoxedStrategy<EventData> {
    match kind {
        EventType::ArtifactsUploaded => uploaded().boxed(),
        EventType::FilesStored => stored().boxed(),
        EventType::FileDeleted => deleted().boxed(),
        EventType::AccountRecorded | EventType::ProjectRecorded | EventType::EnvironmentRecorded => recorded().boxed(),
        EventType::ConnectionRecorded => connection().boxed(),
        EventType::TokenIssued | EventType::TokenRevoked => token().boxed(),
        EventType::OperatorTokenIssued | EventType::OperatorTokenRevoked | EventType::OperatorActed => {
            of_operators().boxed()
        }
        EventType::AirflowRunObserved => observed().boxed(),
        EventType::RetentionPruned => pruned().boxed(),
        EventType::DbtProjectRetired => retired().boxed(),
    }
}

/// An event of any type.
fn any_event() -> impl Strategy<Value = (Event, EventData)> {
    let data = Union::new(EventType::ALL.iter().map(|kind| data_of(*kind)));
    (uuid(), time(), data).prop_map(|(id, time, data)| (Event::new(EventId(id), time, &data).unwrap(), data))
}

proptest! {
    #[test]
    fn events_round_trip_through_json((event, data) in any_event()) {
        let json = event.to_json().unwrap();
        let again = Event::from_json(&json).unwrap();
        prop_assert_eq!((again.id, again.time, &again.kind), (event.id, event.time, &event.kind));
        prop_assert_eq!(again.data().unwrap(), data);
        event::check(&json);
    }

    #[test]
    fn fields_of_newer_versions_are_ignored((event, data) in any_event(), name in "new_[a-z]{0,9}", more in any::<u32>()) {
        let mut json: Value = serde_json::from_slice(&event.to_json().unwrap()).unwrap();
        json[&name] = json!({"more": [more]});
        json["data"][&name] = json!([null, {"more": more}]);
        for file in json["data"]["files"].as_array_mut().into_iter().flatten() {
            file[&name] = more.into();
        }
        let again = Event::from_json(json.to_string().as_bytes()).unwrap();
        prop_assert_eq!(again.data().unwrap(), data);
    }

    #[test]
    fn damaged_events_are_rejected_or_read((one, _) in any_event(), (other, _) in any_event(), damage in damage(WORDS)) {
        event::check(&damage.apply(&[one.to_json().unwrap(), other.to_json().unwrap()]));
    }

    #[test]
    fn arbitrary_bytes_are_handled_as_events(bytes in vec(any::<u8>(), 0..200)) {
        event::check(&bytes);
    }
}
