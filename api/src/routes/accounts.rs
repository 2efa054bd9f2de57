//! Accounts. A token sees the account it belongs to; tokens that Datacoves issued may see several.

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, RECORD_FIELDS, RecordKey, page_of_records};
use crate::view::{FilesView, View};

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    id: i64,
    name: String,
    /// 1 is active, 2 is not.
    state: i16,
    locked: bool,
    pending_cancel: bool,
    agent_credit_locked: bool,
    business_critical: bool,
    #[schema(value_type = Vec<Object>)]
    groups: [(); 0],
    #[schema(value_type = Vec<Object>)]
    account_migration_events: [(); 0],
    created_at: String,
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfAccount,
}

/// Fields of dbt Cloud's plans and billing, which this service does not have. Always null.
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
    fn new(row: directory::queries::Account) -> Self {
        Self {
            id: row.id,
            name: row.name,
            state: super::state_number(&row.state),
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

async fn page(mut view: View, params: &Params) -> Result<Many<Account>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, RECORD_FIELDS)?);
    let filters = Filters::new(params, account);
    let accounts = view.accounts().await?.into_iter().map(Account::new).collect();
    let (rows, total) = page_of_records(accounts, order, paging, |row: &Account| RecordKey {
        id: row.id,
        name: &row.name,
        created_at: &row.created_at,
        updated_at: &row.updated_at,
    });
    Ok(many(rows, total, paging, &order, filters.applied()))
}

async fn own(mut view: View) -> Result<One<Account>, Error> {
    let account = view.account();
    let row = directory::queries::account(view.connection(), account).await?;
    Ok(one(Account::new(row.ok_or_else(CloudError::not_found)?)))
}

/// Lists the accounts that the token may see.
#[utoipa::path(
    get, path = "/api/v2/accounts", tag = "Accounts", operation_id = "List Accounts",
    responses((status = 200, body = Many<Account>))
)]
pub(crate) async fn list(view: View, params: Params) -> Result<Many<Account>, Error> {
    page(view, &params).await
}

/// Lists the accounts that the token may see.
#[utoipa::path(
    get, path = "/api/v3/accounts", tag = "Accounts", operation_id = "List Accounts (v3)",
    responses((status = 200, body = Many<Account>))
)]
pub(crate) async fn list_v3(view: View, params: Params) -> Result<Many<Account>, Error> {
    page(view, &params).await
}

/// Shows an account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}", tag = "Accounts", operation_id = "Retrieve Account",
    params(("account_id" = i64, Path)),
    responses((status = 200, body = One<Account>))
)]
pub(crate) async fn show(view: View) -> Result<One<Account>, Error> {
    own(view).await
}

/// Shows an account.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}", tag = "Accounts", operation_id = "Retrieve Account (v3)",
    params(("account_id" = i64, Path)),
    responses((status = 200, body = One<Account>))
)]
pub(crate) async fn show_v3(FilesView(view): FilesView) -> Result<One<Account>, Error> {
    own(view).await
}
