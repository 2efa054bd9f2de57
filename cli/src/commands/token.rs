//! Implements `dbt-api token`.

use directory::queries;
use serde_json::json;

use crate::args::TokenCommand;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: TokenCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        TokenCommand::Create {
            of,
            name,
            environment,
            scope,
            expires_in,
        } => {
            let lifetime = expires_in.map(|lifetime| lifetime.0);
            let (id, key) = operator
                .create_token(of.account, name, environment, scope, lifetime)
                .await?;
            output.one(&json!({ "id": id, "key": key.expose() }))?;
            output.note("Store the key now: it is not shown again.")
        }
        TokenCommand::List { account } => {
            let mut connection = match account {
                Some(account) => operator.connection_of(account).await?,
                None => operator.connection().await?,
            };
            let tokens = queries::tokens(&mut connection, account).await?;
            output.many(&tokens, "There are no tokens yet. `dbt-api token create` creates one.")
        }
        TokenCommand::Delete { id } => {
            operator.delete_token(id).await?;
            output.done(&format!("Token {id} was deleted."))
        }
    }
}
