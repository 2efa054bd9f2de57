//! Reads the settings of Azure Blob Storage, and as whom it is asked.

use std::path::PathBuf;

use ::settings::{Reader, base_url};
use object_store::azure::MicrosoftAzureBuilder;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Settings;
use super::name::bucket_name;

const CONNECTION_STRING: &str = "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING";
const ACCOUNT_NAME: &str = "BLOB_STORAGE_ACCOUNT_NAME";
const ACCOUNT_KEY: &str = "BLOB_STORAGE_ACCOUNT_KEY";

/// As whom Azure Blob Storage is asked.
#[derive(Clone, Debug)]
pub enum AzureCredentials {
    /// With the key of the storage account.
    Key(
        /// The key, in base64.
        SecretString,
    ),
    /// As an identity, for a token that Kubernetes writes to a file.
    WorkloadIdentity {
        /// The file.
        token_file: PathBuf,
        /// The identity's id.
        client: String,
        /// The id of the directory that has the identity.
        tenant: String,
        /// The URL at which the token is exchanged, if it is not Azure's default.
        authority: Option<Url>,
    },
    /// As the identity of the machine.
    ManagedIdentity {
        /// The identity's id, if the machine has several.
        client: Option<String>,
        /// The URL that is asked for tokens, if it is not the machine's default.
        endpoint: Option<Url>,
    },
}

impl AzureCredentials {
    /// Returns what kind of credentials they are.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "account key",
            Self::WorkloadIdentity { .. } => "workload identity",
            Self::ManagedIdentity { .. } => "managed identity",
        }
    }

    pub(crate) fn apply(&self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        match self {
            Self::Key(key) => builder.with_access_key(key.expose_secret()),
            Self::WorkloadIdentity {
                token_file,
                client,
                tenant,
                authority,
            } => {
                let builder = builder
                    .with_credential_type("workload_identity")
                    .with_federated_token_file(token_file.to_string_lossy())
                    .with_client_id(client)
                    .with_tenant_id(tenant);
                match authority {
                    Some(url) => builder.with_authority_host(url.as_str().trim_end_matches('/')),
                    None => builder,
                }
            }
            Self::ManagedIdentity { client, endpoint } => {
                let mut builder = builder.with_credential_type("managed_identity");
                if let Some(client) = client {
                    builder = builder.with_client_id(client);
                }
                if let Some(url) = endpoint {
                    builder = builder.with_msi_endpoint(url.as_str());
                }
                builder
            }
        }
    }
}

/// An Azure storage account.
struct Account {
    name: String,
    /// If it is not set, an identity is used.
    key: Option<SecretString>,
    endpoint: Option<Url>,
}

pub(super) fn blob(reader: &mut Reader<'_>) -> Option<Settings> {
    let container = bucket_name(reader, "BLOB_CONTAINER", "STORAGE_ADAPTER=blob needs it");
    let connection = reader.secret(CONNECTION_STRING);
    let name_and_key = reader.when(connection.is_none(), name_and_key);
    let account = match connection {
        Some(connection) => connection_string(reader, connection.expose_secret()),
        None => name_and_key.flatten(),
    };
    let has_key = account.as_ref().is_none_or(|account| account.key.is_some());
    let identity = reader.when(!has_key, identity);
    let Account { name, key, endpoint } = account?;
    Some(Settings::Blob {
        container: container?,
        account: name,
        credentials: match key {
            Some(key) => AzureCredentials::Key(key),
            None => identity.flatten()?,
        },
        endpoint,
    })
}

/// Reads the identity that is given to what runs here, by the variables of Azure's programs.
fn identity(reader: &mut Reader<'_>) -> Option<AzureCredentials> {
    let token_file = reader.path("AZURE_FEDERATED_TOKEN_FILE");
    let client = reader.text("AZURE_CLIENT_ID");
    let endpoint = reader.url("IDENTITY_ENDPOINT");
    let workload = reader.when(token_file.is_some(), |reader| {
        let advice = "AZURE_FEDERATED_TOKEN_FILE is for an identity";
        let client = reader.required("AZURE_CLIENT_ID", advice);
        let tenant = reader.required("AZURE_TENANT_ID", advice);
        let authority = reader.base_url("AZURE_AUTHORITY_HOST");
        Some(AzureCredentials::WorkloadIdentity {
            token_file: token_file.clone()?,
            client: client?,
            tenant: tenant?,
            authority,
        })
    });
    workload.unwrap_or(Some(AzureCredentials::ManagedIdentity { client, endpoint }))
}

fn name_and_key(reader: &mut Reader<'_>) -> Option<Account> {
    let (name, key) = (reader.text(ACCOUNT_NAME), reader.secret(ACCOUNT_KEY));
    if name.is_none() && key.is_none() {
        reader.problem(format!(
            "missing `{CONNECTION_STRING}`: STORAGE_ADAPTER=blob needs it, or {ACCOUNT_NAME} with or without {ACCOUNT_KEY}"
        ));
        return None;
    }
    let advice = format!("STORAGE_ADAPTER=blob needs it, or {CONNECTION_STRING}");
    let name = name.or_else(|| reader.required(ACCOUNT_NAME, &advice));
    let key = match key {
        Some(key) => Some(reader.valid(ACCOUNT_KEY, ACCOUNT_KEY_RULE, account_key(key))?),
        None => None,
    };
    Some(Account {
        name: name?,
        key,
        endpoint: None,
    })
}

/// What [`account_key`] expects, for messages.
const ACCOUNT_KEY_RULE: &str = "base64, as keys of Azure storage accounts are";

fn account_key(key: SecretString) -> Option<SecretString> {
    let text = key.expose_secret();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    (text.len().is_multiple_of(4) && text.bytes().all(allowed)).then_some(key)
}

/// Reads a connection string as Azure's portal shows it: `DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`,
/// or with `BlobEndpoint`. It contains the key, so no part of it is ever shown. Without a key, an identity is used.
fn connection_string(reader: &mut Reader<'_>, connection: &str) -> Option<Account> {
    let parts: Vec<_> = connection
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .collect();
    let part = |name: &str| {
        let found = parts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| (*value).to_owned())
            .filter(|value| !value.is_empty())
    };
    let name = reader.valid(CONNECTION_STRING, "`AccountName=…` in it", part("AccountName"));
    let key = match (part("AccountKey"), part("SharedAccessSignature")) {
        (Some(key), _) => {
            let expected = format!("`AccountKey=…` in it to be {ACCOUNT_KEY_RULE}");
            Some(reader.valid(CONNECTION_STRING, &expected, account_key(key.into()))?)
        }
        (None, Some(_)) => {
            let expected = "`AccountKey=…` in it, or neither that nor `SharedAccessSignature=…`";
            return reader.valid(CONNECTION_STRING, expected, None);
        }
        (None, None) => None,
    };
    let name = name?;
    let protocol = part("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
    let suffix = part("EndpointSuffix").unwrap_or_else(|| "core.windows.net".to_owned());
    let endpoint = part("BlobEndpoint").unwrap_or_else(|| format!("{protocol}://{name}.blob.{suffix}"));
    let endpoint = reader.valid(
        CONNECTION_STRING,
        "BlobEndpoint, or DefaultEndpointsProtocol and EndpointSuffix, as Azure shows them",
        base_url(&endpoint),
    );
    Some(Account {
        name,
        key,
        endpoint: Some(endpoint?),
    })
}
