//! The arguments of `dbt-api token`.

use std::str::FromStr;

use clap::Subcommand;
use directory::IdOrSlug;
use directory::queries::OPERATE;
use schemas::{AccountId, Scope, TokenId};

use crate::period::Period;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenScope {
    /// Something in an account.
    InAccount(Scope),
    /// What the pages for operators offer.
    Operate,
}

impl FromStr for TokenScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(scope) => Ok(Self::InAccount(scope)),
            Err(_) if text == OPERATE => Ok(Self::Operate),
            Err(_) => Err(format!("invalid scope: expected read, upload or operate, got `{text}`")),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print its key, which is not shown again.
    Create {
        /// The id of the account. A token for operators has none.
        #[arg(long)]
        account: Option<AccountId>,
        /// Who or what the token is for.
        #[arg(long, default_value = "")]
        name: String,
        /// The slug or id of the only environment that the token may access. By default, it may access the whole account.
        #[arg(long)]
        environment: Option<IdOrSlug>,
        /// What the token may do: read, upload, or both, separated by a comma. `operate` makes a token for operators, who see and do in the console
        /// what concerns the whole installation, and nothing else.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scope: Vec<TokenScope>,
        /// How long the token is valid, such as 90d, 12h or 30m. By default, it does not expire. A token for operators must have an end.
        #[arg(long)]
        expires_in: Option<Period>,
    },
    /// List tokens.
    List {
        /// Only tokens of this account.
        #[arg(long)]
        account: Option<AccountId>,
        /// Also list tokens that were deleted. They are read from the bucket.
        #[arg(long)]
        all: bool,
    },
    /// Create a token like this one, print its key, which is not shown again, and let the old token expire after a while.
    Rotate {
        /// The id of the old token, as shown by `token list`.
        id: TokenId,
        /// How long the old token stays valid, such as 7d or 12h. It never becomes valid for longer than it was.
        #[arg(long, default_value = "7d")]
        valid_for: Period,
    },
    /// Delete a token. Its next request is refused.
    Delete {
        /// The id of the token, as shown by `token list`.
        id: TokenId,
    },
}
