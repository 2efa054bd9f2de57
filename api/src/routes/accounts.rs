//! Accounts. A token sees its own account; tokens that Datacoves issued may see several.

use edge::{CloudError, One, one};

use crate::error::Error;
use crate::listing::{Listing, Many, applied, many};
use crate::records::{RecordField, page_of_records};
use crate::resources::account::Account;
use crate::view::{FilesView, View};

async fn page(mut view: View, listing: Listing<RecordField>) -> Result<Many<Account>, Error> {
    let accounts = view.accounts().await?.into_iter().map(Account::new).collect();
    let (rows, total) = page_of_records(accounts, listing);
    Ok(many(rows, total, listing, applied(view.account(), &())))
}

async fn own(mut view: View) -> Result<One<Account>, Error> {
    let account = view.account();
    let row = directory::queries::account(view.connection(), account).await?;
    Ok(one(Account::new(row.ok_or_else(CloudError::not_found)?)))
}

/// List accounts
///
/// The accounts that the token sees.
#[utoipa::path(
    get, path = "/api/v2/accounts", tag = "Accounts", operation_id = "list_accounts", params(Listing<RecordField>),
    responses((status = 200, description = "A page of accounts", body = Many<Account>))
)]
pub(crate) async fn list(view: View, listing: Listing<RecordField>) -> Result<Many<Account>, Error> {
    page(view, listing).await
}

/// List accounts (v3)
///
/// The accounts that the token sees.
#[utoipa::path(
    get, path = "/api/v3/accounts", tag = "Accounts", operation_id = "list_accounts_v3", params(Listing<RecordField>),
    responses((status = 200, description = "A page of accounts", body = Many<Account>))
)]
pub(crate) async fn list_v3(view: View, listing: Listing<RecordField>) -> Result<Many<Account>, Error> {
    page(view, listing).await
}

/// Retrieve an account
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}", tag = "Accounts", operation_id = "retrieve_account",
    params(("account_id" = i64, Path)),
    responses((status = 200, description = "The account", body = One<Account>))
)]
pub(crate) async fn show(view: View) -> Result<One<Account>, Error> {
    own(view).await
}

/// Retrieve an account (v3)
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}", tag = "Accounts", operation_id = "retrieve_account_v3",
    params(("account_id" = i64, Path)),
    responses((status = 200, description = "The account", body = One<Account>))
)]
pub(crate) async fn show_v3(FilesView(view): FilesView) -> Result<One<Account>, Error> {
    own(view).await
}
