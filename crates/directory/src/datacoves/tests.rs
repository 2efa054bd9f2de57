use schemas::{EventData, RecordState};

use super::rows::{AccountRow, EnvironmentRow, ProjectRow};
use super::{Change, Present, Rows, Wanted};
use crate::queries::{Account, Environment, Project};

fn rows() -> Rows {
    let text = |text: &str| Some(text.to_owned());
    Rows {
        accounts: vec![AccountRow {
            id: Some(1),
            name: text("Acme"),
            slug: text("acme"),
            is_deactivated: false,
        }],
        projects: vec![ProjectRow {
            id: Some(10),
            account_id: Some(1),
            name: text("Shop"),
            slug: text("shop"),
        }],
        environments: vec![EnvironmentRow {
            id: Some(100),
            project_id: Some(10),
            name: text("Production"),
            slug: text("prod"),
            kind: text("prod"),
        }],
    }
}

/// Returns the same records as `rows`, as the directory stores them.
fn present() -> Present {
    let time = chrono::DateTime::UNIX_EPOCH;
    Present {
        accounts: vec![Account {
            id: 1,
            name: "Acme".to_owned(),
            slug: Some("acme".to_owned()),
            state: "active".to_owned(),
            created_at: time,
            updated_at: time,
        }],
        projects: vec![Project {
            id: 10,
            account_id: 1,
            name: "Shop".to_owned(),
            slug: "shop".to_owned(),
            state: "active".to_owned(),
            created_at: time,
            updated_at: time,
        }],
        environments: vec![Environment {
            id: 100,
            account_id: 1,
            project_id: 10,
            name: "Production".to_owned(),
            slug: "prod".to_owned(),
            environment_type: "production".to_owned(),
            state: "active".to_owned(),
            created_at: time,
            updated_at: time,
        }],
    }
}

fn states(changes: &[Change]) -> Vec<RecordState> {
    let state = |change: &Change| match &change.data {
        EventData::AccountRecorded(data) => data.state,
        EventData::ProjectRecorded(data) => data.state,
        EventData::EnvironmentRecorded(data) => data.state,
        other => panic!("{other:?}"),
    };
    changes.iter().map(state).collect()
}

#[test]
fn equal_rows_change_nothing_and_new_rows_come_in_order() {
    let found = Wanted::from_rows(rows()).changes(present()).unwrap();
    assert!(found.changes.is_empty() && found.problems.is_empty(), "{found:?}");
    let found = Wanted::from_rows(rows()).changes(Present::default()).unwrap();
    assert!(matches!(found.changes[0].data, EventData::AccountRecorded(_)));
    assert!(matches!(found.changes[2].data, EventData::EnvironmentRecorded(_)));
    assert!(found.changes.iter().all(|change| change.after.is_none()));
}

#[test]
fn deactivating_an_account_deactivates_its_projects_and_environments() {
    let mut deactivated = rows();
    deactivated.accounts[0].is_deactivated = true;
    let found = Wanted::from_rows(deactivated).changes(present()).unwrap();
    assert_eq!(states(&found.changes), [RecordState::Inactive; 3]);
    assert!(found.changes.iter().all(|change| change.after.is_some()));
}

#[test]
fn missing_rows_are_deactivated_once_and_an_empty_result_is_refused() {
    let mut two = present();
    two.environments.push(Environment {
        id: 101,
        slug: "dev".to_owned(),
        ..two.environments[0].clone()
    });
    let found = Wanted::from_rows(rows()).changes(two).unwrap();
    assert_eq!(states(&found.changes), [RecordState::Inactive]);
    let mut ended = present();
    ended.environments[0].state = "inactive".to_owned();
    let mut fewer = rows();
    fewer.environments.clear();
    assert!(Wanted::from_rows(fewer).changes(ended).unwrap().changes.is_empty());
    let removals: [fn(&mut Rows); 3] = [
        |rows| rows.accounts.clear(),
        |rows| rows.projects.clear(),
        |rows| rows.environments.clear(),
    ];
    for (remove, rows_of) in removals.into_iter().zip(["accounts", "projects", "environments"]) {
        let mut nothing = rows();
        remove(&mut nothing);
        let error = Wanted::from_rows(nothing).changes(present()).unwrap_err().to_string();
        assert!(error.contains(rows_of), "{error}");
    }
}

#[test]
fn nothing_moves_to_another_account_and_environments_stay_in_their_project() {
    let mut moved = rows();
    moved.projects.push(ProjectRow {
        id: Some(11),
        slug: Some("lab".to_owned()),
        ..moved.projects[0].clone()
    });
    moved.environments[0].project_id = Some(11);
    let found = Wanted::from_rows(moved).changes(present()).unwrap();
    assert_eq!((found.changes.len(), found.problems.len()), (1, 1), "{found:?}");

    let mut elsewhere = rows();
    elsewhere.accounts.push(AccountRow {
        id: Some(2),
        slug: None,
        ..elsewhere.accounts[0].clone()
    });
    elsewhere.projects[0].account_id = Some(2);
    let found = Wanted::from_rows(elsewhere).changes(present()).unwrap();
    assert_eq!(found.problems.len(), 2, "{found:?}");
    assert_eq!(
        states(&found.changes),
        [RecordState::Active, RecordState::Inactive, RecordState::Inactive]
    );
}
