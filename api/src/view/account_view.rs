//! What a request may see of an account.

use directory::queries;
use schemas::{AccountId, EnvironmentId, RecordState};
use service::Lent;
use sqlx::PgConnection;

/// The checked right to read the account that the path names and the environments that the token may see. Handlers take it as an argument.
pub struct View {
    pub(super) account: AccountId,
    /// All accounts that the token may see.
    pub(super) accounts: Vec<AccountId>,
    /// The environments that are visible; none means all of the account.
    pub(super) environments: Option<Vec<i64>>,
    pub(super) transaction: Lent,
}

impl View {
    /// The account whose data is visible.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The visible environment, if there is exactly one.
    #[must_use]
    pub fn environment(&self) -> Option<EnvironmentId> {
        match self.environments.as_deref() {
            Some([only]) => Some(EnvironmentId(*only)),
            _ => None,
        }
    }

    /// The only environments that are visible; none if all of the account are.
    #[must_use]
    pub fn environments(&self) -> Option<&[i64]> {
        self.environments.as_deref()
    }

    /// The transaction, to which row-level security applies.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The accounts that the token may see: the view's own, and the others that are active.
    pub(crate) async fn accounts(&mut self) -> sqlx::Result<Vec<queries::Account>> {
        let own = self.account;
        let mut rows: Vec<_> = queries::account(self.connection(), own).await?.into_iter().collect();
        let others: Vec<AccountId> = self
            .accounts
            .iter()
            .copied()
            .filter(|account| *account != own)
            .collect();
        for account in &others {
            queries::see_account(self.connection(), *account).await?;
            let row = queries::account(self.connection(), *account).await?;
            rows.extend(row.filter(|row| row.state == RecordState::Active.as_str()));
        }
        if !others.is_empty() {
            queries::see_account(self.connection(), own).await?;
        }
        Ok(rows)
    }

    /// Adds the account to the request's trace, unless it was known with the token.
    pub(super) fn note_account(&self) {
        if self.accounts.len() > 1 {
            traces::set_account(self.account.0);
        }
    }
}
