//! Reads settings.

use ::settings::{BASE_URL, Reader, base_url};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Settings;

const CONNECTION_STRING: &str = "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING";
const ACCOUNT_NAME: &str = "BLOB_STORAGE_ACCOUNT_NAME";
const ACCOUNT_KEY: &str = "BLOB_STORAGE_ACCOUNT_KEY";

/// What [`is_bucket_name`] allows, for messages.
pub(super) const BUCKET_NAME: &str = "3 to 63 letters, digits, `-`, `.` or `_`";

impl Settings {
    /// Reads the settings. Only the variables of the adapter in `STORAGE_ADAPTER` (default `local`) count. An Azure connection string takes
    /// precedence over name and key.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let adapters = ["local", "s3", "minio", "blob"].map(|adapter| (adapter, adapter));
        let adapter = reader.choice("STORAGE_ADAPTER", &adapters, "local");
        let path = reader.path("STORAGE_PATH").unwrap_or_else(|| "./data".into());
        let s3 = reader.when(adapter == "s3", s3);
        let minio = reader.when(adapter == "minio", minio);
        let blob = reader.when(adapter == "blob", blob);
        s3.or(minio).or(blob).flatten().unwrap_or(Self::Local { path })
    }
}

fn s3(reader: &mut Reader<'_>) -> Option<Settings> {
    let advice = "STORAGE_ADAPTER=s3 needs it";
    let bucket = bucket_name(reader, "S3_BUCKET_NAME", advice);
    let access_key = reader.required("S3_ACCESS_KEY", advice);
    let secret_key = reader.required("S3_SECRET_ACCESS_KEY", advice);
    let has_endpoint = reader.text("S3_ENDPOINT").is_some();
    let endpoint = reader.base_url("S3_ENDPOINT");
    let region = if has_endpoint {
        Some(reader.text("S3_REGION").unwrap_or_else(|| "us-east-1".to_owned()))
    } else {
        reader.required(
            "S3_REGION",
            "without S3_ENDPOINT it must name the bucket's region, for example us-east-1",
        )
    };
    Some(Settings::S3 {
        bucket: bucket?,
        access_key: access_key?.into(),
        secret_key: secret_key?.into(),
        region: region?,
        endpoint,
    })
}

fn minio(reader: &mut Reader<'_>) -> Option<Settings> {
    let advice = "STORAGE_ADAPTER=minio needs it";
    let url = reader.required("MINIO_URL", advice).and_then(|text| {
        let has_scheme = text.contains("://");
        let url = if has_scheme { text } else { format!("http://{text}") };
        reader.valid_url("MINIO_URL", BASE_URL, &url, base_url(&url))
    });
    let bucket = bucket_name(reader, "MINIO_BUCKET_NAME", advice);
    let access_key = reader.required("MINIO_ACCESS_KEY", advice);
    let secret_key = reader.required("MINIO_SECRET_KEY", advice);
    Some(Settings::Minio {
        url: url?,
        bucket: bucket?,
        access_key: access_key?.into(),
        secret_key: secret_key?.into(),
    })
}

fn blob(reader: &mut Reader<'_>) -> Option<Settings> {
    let container = bucket_name(reader, "BLOB_CONTAINER", "STORAGE_ADAPTER=blob needs it");
    let connection = reader.secret(CONNECTION_STRING);
    let name_and_key = reader.when(connection.is_none(), name_and_key);
    let account = match connection {
        Some(connection) => connection_string(reader, connection.expose_secret()),
        None => name_and_key.flatten(),
    };
    let Account { name, key, endpoint } = account?;
    Some(Settings::Blob {
        container: container?,
        account: name,
        key,
        endpoint,
    })
}

/// An Azure storage account.
struct Account {
    name: String,
    key: SecretString,
    endpoint: Option<Url>,
}

fn name_and_key(reader: &mut Reader<'_>) -> Option<Account> {
    let (name, key) = (reader.text(ACCOUNT_NAME), reader.secret(ACCOUNT_KEY));
    if name.is_none() && key.is_none() {
        reader.problem(format!(
            "missing `{CONNECTION_STRING}`: STORAGE_ADAPTER=blob needs it, or {ACCOUNT_NAME} and {ACCOUNT_KEY}"
        ));
        return None;
    }
    let advice = format!("STORAGE_ADAPTER=blob needs it, or {CONNECTION_STRING}");
    let name = name.or_else(|| reader.required(ACCOUNT_NAME, &advice));
    let key = key.or_else(|| reader.required(ACCOUNT_KEY, &advice).map(SecretString::from));
    let key = key.and_then(|key| reader.valid(ACCOUNT_KEY, ACCOUNT_KEY_RULE, account_key(key)));
    Some(Account {
        name: name?,
        key: key?,
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
/// or with `BlobEndpoint`. It contains the key, so no part of it is ever shown.
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
    let key = reader.valid(CONNECTION_STRING, "`AccountKey=…` in it", part("AccountKey"));
    let key = key.and_then(|key| {
        let expected = format!("`AccountKey=…` in it to be {ACCOUNT_KEY_RULE}");
        reader.valid(CONNECTION_STRING, &expected, account_key(key.into()))
    });
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
        key: key?,
        endpoint: Some(endpoint?),
    })
}

fn bucket_name(reader: &mut Reader<'_>, variable: &str, advice: &str) -> Option<String> {
    let name = reader.required(variable, advice)?;
    if !is_bucket_name(&name) {
        reader.invalid(variable, BUCKET_NAME);
    }
    Some(name)
}

/// Checks the name of a bucket or container.
pub(super) fn is_bucket_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (3..=63).contains(&name.len()) && name.bytes().all(allowed)
}
