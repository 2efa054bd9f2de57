//! An account, as v2 and v3 show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::format::iso_time;
use crate::records::{Record, state_number};

/// An account, from the directory. What dbt Cloud knows about plans and seats is null.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    id: i64,
    name: String,
    /// 1 active, 2 deleted.
    state: i16,
    locked: bool,
    pending_cancel: bool,
    agent_credit_locked: bool,
    business_critical: bool,
    #[schema(value_type = Vec<Object>)]
    groups: [(); 0],
    #[schema(value_type = Vec<Object>)]
    account_migration_events: [(); 0],
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfAccount,
}

/// What dbt Cloud knows about its own accounts: always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfAccount {
    plan: Option<String>,
    run_slots: Option<i64>,
    developer_seats: Option<i64>,
    it_seats: Option<i64>,
    explorer_seats: Option<i64>,
    analyst_seats: Option<i64>,
    read_only_seats: Option<i64>,
    lock_reason: Option<String>,
    lock_cause: Option<String>,
    #[schema(format = DateTime)]
    unlocked_at: Option<String>,
    billing_email_address: Option<String>,
    pod_memory_request_mebibytes: Option<i64>,
    develop_pod_memory_request_mebibytes: Option<i64>,
    run_duration_limit_seconds: Option<i64>,
    queue_limit: Option<i64>,
    enterprise_login_slug: Option<String>,
    starter_repo_url: Option<String>,
    git_auth_level: Option<String>,
    identifier: Option<String>,
    trial_end_date: Option<String>,
    static_subdomain: Option<String>,
    vanity_subdomain: Option<String>,
    run_locked_until: Option<String>,
    docs_job_id: Option<i64>,
    freshness_job_id: Option<i64>,
    copilot_locked_until: Option<String>,
}

impl Account {
    pub(crate) fn new(row: directory::queries::Account) -> Self {
        Self {
            id: row.id,
            name: row.name,
            state: state_number(&row.state),
            locked: false,
            pending_cancel: false,
            agent_credit_locked: false,
            business_critical: false,
            groups: [],
            account_migration_events: [],
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            unknown: UnknownOfAccount::default(),
        }
    }
}

impl Record for Account {
    fn id(&self) -> i64 {
        self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn created_at(&self) -> &str {
        &self.created_at
    }
    fn updated_at(&self) -> &str {
        &self.updated_at
    }
}
