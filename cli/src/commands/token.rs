//! Implements `dbt-api token`.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use directory::IssuedToken;
use directory::queries::{self, Token};
use operator::history::read_history;
use operator::{Deleted, Operator};
use schemas::{AccountId, RecordState, TokenId, TokenState};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use crate::args::{TokenCommand, TokenScope};
use crate::output::Output;
use crate::settings::Settings;

/// The fields that people see who also want those that were deleted.
const COLUMNS_OF_ALL: &[&str] = &["id", "name", "state", "last_used_at", "expires_at", "account_id"];

/// The fields that people see, as far as there is room.
const COLUMNS: &[&str] = &[
    "id",
    "name",
    "state",
    "last_used_at",
    "expires_at",
    "account_id",
    "scopes",
    "environment",
];

pub(crate) async fn run(settings: &Settings, command: TokenCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        TokenCommand::Create {
            account,
            name,
            environment,
            scope,
            expires_in,
        } => {
            let lifetime = expires_in.map(|lifetime| lifetime.0);
            let created = if scope.contains(&TokenScope::Operate) {
                let is_for_an_account = account.is_some() || environment.is_some();
                let lifetime = lifetime_of_operator(&scope, is_for_an_account, lifetime)?;
                operator.create_operator_token(name, lifetime).await?
            } else {
                let account = account.context(
                    "the option --account is missing: a token that may read or upload belongs to an account, which `dbt-api account list` lists",
                )?;
                let scopes = scope.into_iter().filter_map(|scope| match scope {
                    TokenScope::InAccount(scope) => Some(scope),
                    TokenScope::Operate => None,
                });
                operator
                    .create_token(account, name, environment, scopes.collect(), lifetime)
                    .await?
            };
            output.one(&created)?;
            output.note("Store the key now: it is not shown again.")
        }
        TokenCommand::List { account, all } => {
            let tokens = list(&operator, account, all).await?;
            output.many(
                &tokens,
                if all { COLUMNS_OF_ALL } else { COLUMNS },
                "There are no tokens yet. `dbt-api token create` creates one.",
            )
        }
        TokenCommand::Rotate { id, valid_for } => {
            let new = operator.rotate_token(id, valid_for.0).await?;
            output.one(&json!({
                "id": new.id,
                "key": new.key.expose(),
                "expires_at": new.expires_at,
                "old_id": id,
                "old_expires_at": new.old_expires_at,
            }))?;
            let old = if valid_for.0.is_zero() {
                "The old token is no longer valid."
            } else {
                "Both tokens are valid until the old one expires."
            };
            output.note(&format!("Store the key now: it is not shown again. {old}"))
        }
        TokenCommand::Delete { id } => match operator
            .delete_token(id, async || settings.ensure_usable().await)
            .await?
        {
            Deleted::Everywhere => output.done(&format!("Token {id} was deleted.")),
            Deleted::InBucket(error) => {
                tracing::warn!("the database cannot be used: {error:#}");
                output.done(&format!(
                    "Token {id} was deleted in the bucket. Processes that cannot use the database either refuse it at once; the others do within 30 s."
                ))
            }
        },
    }
}

/// Checks what is said of a new token for operators, and returns how long it is valid.
fn lifetime_of_operator(
    scopes: &[TokenScope],
    is_for_an_account: bool,
    lifetime: Option<TimeDelta>,
) -> anyhow::Result<TimeDelta> {
    ensure!(
        scopes.iter().all(|scope| *scope == TokenScope::Operate),
        "the scope `operate` cannot be combined with read or upload: create another token for these"
    );
    ensure!(
        !is_for_an_account,
        "a token with the scope `operate` is for the whole installation: leave out --account and --environment"
    );
    lifetime.context("a token with the scope `operate` must have an end: add --expires-in, such as --expires-in 30d")
}

/// A token as `token list` shows it.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    token: Token,
    /// `active`; `expired`; `inactive` because its account is; or `deleted`.
    state: TokenState,
    deleted_at: Option<DateTime<Utc>>,
}

/// Returns the tokens in the order in which they were issued, also those that were deleted if `all` is true.
async fn list(operator: &Operator, account: Option<AccountId>, all: bool) -> anyhow::Result<Vec<Row>> {
    let mut connection = match account {
        Some(account) => operator.connection_of(account).await?,
        None => operator.recovered_connection().await?,
    };
    let now = operator.clock.now();
    let accounts = queries::accounts(&mut connection).await?;
    let retired: HashSet<i64> = accounts
        .into_iter()
        .filter(|account| RecordState::of_name(&account.state) == RecordState::Inactive)
        .map(|account| account.id)
        .collect();
    let tokens = queries::tokens(&mut connection, account).await?;
    let mut rows: Vec<Row> = tokens
        .into_iter()
        .map(|token| Row {
            state: match token.expires_at {
                Some(end) if end <= now => TokenState::Expired,
                _ if token.account_id.is_some_and(|account| retired.contains(&account)) => TokenState::Inactive,
                _ => TokenState::Active,
            },
            token,
            deleted_at: None,
        })
        .collect();
    // The bucket knows first which tokens were deleted. Their keys are refused already.
    let deleted = operator.bucket.revoked_tokens().await?;
    rows.retain(|row| !deleted.contains(&TokenId(row.token.id)));
    if all {
        rows.extend(deleted_rows(operator, &mut connection, account, &deleted).await?);
        rows.sort_by_key(|row| (row.token.issued_at, row.token.id));
    }
    Ok(rows)
}

/// Returns the tokens that were deleted.
async fn deleted_rows(
    operator: &Operator,
    connection: &mut PgConnection,
    account: Option<AccountId>,
    deleted: &HashSet<TokenId>,
) -> anyhow::Result<Vec<Row>> {
    let history = read_history(&operator.bucket).await?;
    let of_account = |token: &IssuedToken| account.is_none_or(|account| token.issued.account_id() == Some(account));
    let tokens: Vec<&IssuedToken> = history
        .tokens()
        .into_iter()
        .filter(|token| deleted.contains(&token.issued.token_id()) && of_account(token))
        .collect();
    let ids: Vec<TokenId> = tokens.iter().map(|token| token.issued.token_id()).collect();
    let uses = queries::last_uses(connection, &ids).await?;
    let row = |token: &IssuedToken| {
        let issued = &token.issued;
        Row {
            token: Token {
                id: issued.token_id().0,
                account_id: issued.account_id().map(|account| account.0),
                name: issued.name().to_owned(),
                scopes: issued.scopes(),
                environment: issued
                    .environment_id()
                    .and_then(|id| history.slug(id))
                    .map(str::to_owned),
                issued_at: token.issued_at,
                expires_at: token.expires_at,
                last_used_at: uses.get(&issued.token_id()).copied(),
            },
            state: TokenState::Deleted,
            deleted_at: history.deleted_at(issued.token_id()),
        }
    };
    Ok(tokens.into_iter().map(row).collect())
}
