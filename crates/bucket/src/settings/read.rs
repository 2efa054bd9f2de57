//! Reads settings from environment variables.

use secrecy::SecretString;
use url::Url;

use super::Settings;

const ADAPTERS: &str = "`local`, `s3`, `minio` or `blob`";
const CONNECTION_STRING: &str = "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING";
const ACCOUNT_NAME: &str = "BLOB_STORAGE_ACCOUNT_NAME";
const ACCOUNT_KEY: &str = "BLOB_STORAGE_ACCOUNT_KEY";

impl Settings {
    /// The names of the environment variables that [`Settings::read`] reads.
    pub const VARIABLES: &[&str] = &[
        "STORAGE_ADAPTER",
        "STORAGE_PATH",
        "S3_BUCKET_NAME",
        "S3_ACCESS_KEY",
        "S3_SECRET_ACCESS_KEY",
        "S3_REGION",
        "S3_ENDPOINT",
        "MINIO_URL",
        "MINIO_BUCKET_NAME",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "BLOB_CONTAINER",
        CONNECTION_STRING,
        ACCOUNT_NAME,
        ACCOUNT_KEY,
    ];

    /// Reads the settings. `lookup` returns the value of a variable; an empty value counts as missing. Only the variables of the adapter in
    /// `STORAGE_ADAPTER` (default `local`) are read. An Azure connection string takes precedence over name and key.
    ///
    /// # Errors
    /// A list of all problems, each with the variable's name and the rule, and without secrets.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut variables = Variables {
            lookup,
            problems: Vec::new(),
        };
        let adapter = variables
            .optional("STORAGE_ADAPTER")
            .unwrap_or_else(|| "local".to_owned());
        let settings = match adapter.to_ascii_lowercase().as_str() {
            "local" => Some(variables.local()),
            "s3" => variables.s3(),
            "minio" => variables.minio(),
            "blob" => variables.blob(),
            _ => {
                variables.problem(format!("STORAGE_ADAPTER is `{adapter}`, but must be {ADAPTERS}"));
                None
            }
        };
        match settings {
            Some(settings) if variables.problems.is_empty() => Ok(settings),
            _ => Err(variables.problems),
        }
    }
}

/// The environment and the problems found in it. A method that returns `None` for a required variable has added a problem.
struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Variables<'_> {
    fn local(&mut self) -> Settings {
        let path = self.optional("STORAGE_PATH").unwrap_or_else(|| "./data".to_owned());
        Settings::Local { path: path.into() }
    }

    fn s3(&mut self) -> Option<Settings> {
        let bucket = self.bucket_name("S3_BUCKET_NAME", "s3");
        let access_key = self.secret("S3_ACCESS_KEY", "s3");
        let secret_key = self.secret("S3_SECRET_ACCESS_KEY", "s3");
        let endpoint = self.optional("S3_ENDPOINT");
        let region = match self.optional("S3_REGION") {
            None if endpoint.is_some() => Some("us-east-1".to_owned()),
            None => {
                self.problem("S3_REGION is not set; without S3_ENDPOINT it must name the bucket's region, for example `us-east-1`");
                None
            }
            region => region,
        };
        let endpoint = endpoint.and_then(|value| self.url("S3_ENDPOINT", &value));
        Some(Settings::S3 {
            bucket: bucket?,
            access_key: access_key?,
            secret_key: secret_key?,
            region: region?,
            endpoint,
        })
    }

    fn minio(&mut self) -> Option<Settings> {
        let url = self.required("MINIO_URL", "minio").and_then(|value| {
            let url = if value.contains("://") {
                value
            } else {
                format!("http://{value}")
            };
            self.url("MINIO_URL", &url)
        });
        let bucket = self.bucket_name("MINIO_BUCKET_NAME", "minio");
        let access_key = self.secret("MINIO_ACCESS_KEY", "minio");
        let secret_key = self.secret("MINIO_SECRET_KEY", "minio");
        Some(Settings::Minio {
            url: url?,
            bucket: bucket?,
            access_key: access_key?,
            secret_key: secret_key?,
        })
    }

    fn blob(&mut self) -> Option<Settings> {
        let container = self.bucket_name("BLOB_CONTAINER", "blob");
        let account = match self.optional(CONNECTION_STRING) {
            Some(connection) => self.connection_string(&connection),
            None => self.name_and_key(),
        };
        let Account { name, key, endpoint } = account?;
        Some(Settings::Blob {
            container: container?,
            account: name,
            key,
            endpoint,
        })
    }

    fn name_and_key(&mut self) -> Option<Account> {
        let (name, key) = (self.optional(ACCOUNT_NAME), self.optional(ACCOUNT_KEY));
        if name.is_none() && key.is_none() {
            self.problem(format!(
                "{CONNECTION_STRING} is not set; STORAGE_ADAPTER `blob` needs it, or {ACCOUNT_NAME} and {ACCOUNT_KEY}"
            ));
            return None;
        }
        let name = name.or_else(|| self.required(ACCOUNT_NAME, "blob"));
        let key = key.or_else(|| self.required(ACCOUNT_KEY, "blob"));
        let key = key.and_then(|key| self.account_key(key, ACCOUNT_KEY));
        Some(Account {
            name: name?,
            key: key?,
            endpoint: None,
        })
    }

    /// Reads a connection string as Azure's portal shows it: `DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`,
    /// or with `BlobEndpoint`. It contains the key, so no part of it is ever shown.
    fn connection_string(&mut self, connection: &str) -> Option<Account> {
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
        let (name, key) = (part("AccountName"), part("AccountKey"));
        for (field, value) in [("AccountName", &name), ("AccountKey", &key)] {
            if value.is_none() {
                self.problem(format!("{CONNECTION_STRING} lacks `{field}=…`, which is required"));
            }
        }
        let key = key.and_then(|key| self.account_key(key, &format!("AccountKey in {CONNECTION_STRING}")));
        let name = name?;
        let protocol = part("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        let suffix = part("EndpointSuffix").unwrap_or_else(|| "core.windows.net".to_owned());
        let endpoint = part("BlobEndpoint").unwrap_or_else(|| format!("{protocol}://{name}.blob.{suffix}"));
        let endpoint = parse_url(&endpoint);
        if endpoint.is_none() {
            self.problem(format!(
                "{CONNECTION_STRING} has no valid URL; copy BlobEndpoint, or DefaultEndpointsProtocol and EndpointSuffix, from Azure"
            ));
        }
        Some(Account {
            name,
            key: key?,
            endpoint: Some(endpoint?),
        })
    }

    fn account_key(&mut self, key: String, named: &str) -> Option<SecretString> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        if key.len().is_multiple_of(4) && key.bytes().all(allowed) {
            Some(key.into())
        } else {
            self.problem(format!("{named} is not base64, as keys of Azure storage accounts are"));
            None
        }
    }

    fn bucket_name(&mut self, variable: &str, adapter: &str) -> Option<String> {
        let name = self.required(variable, adapter)?;
        match check_bucket_name(&name) {
            Ok(()) => Some(name),
            Err(problem) => {
                self.problem(format!("{variable} is {problem}"));
                None
            }
        }
    }

    fn url(&mut self, variable: &str, value: &str) -> Option<Url> {
        let url = parse_url(value);
        if url.is_none() {
            // A value with an `@` may contain a password, so it is not shown.
            let shown = if value.contains('@') {
                "not a URL without credentials".to_owned()
            } else {
                format!("`{value}`")
            };
            self.problem(format!(
                "{variable} is {shown}, but must be `http://` or `https://` with a host and no user, query or fragment"
            ));
        }
        url
    }

    fn secret(&mut self, variable: &str, adapter: &str) -> Option<SecretString> {
        self.required(variable, adapter).map(SecretString::from)
    }

    fn required(&mut self, variable: &str, adapter: &str) -> Option<String> {
        let value = self.optional(variable);
        if value.is_none() {
            self.problem(format!("{variable} is not set; STORAGE_ADAPTER `{adapter}` needs it"));
        }
        value
    }

    fn optional(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// An Azure storage account.
struct Account {
    name: String,
    key: SecretString,
    endpoint: Option<Url>,
}

/// Checks the name of a bucket or container. The error is the rest of a sentence that ends in "is".
pub(super) fn check_bucket_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if (3..=63).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(format!(
            "`{name}`, but must be 3 to 63 letters, digits, `-`, `.` or `_`"
        ))
    }
}

fn parse_url(value: &str) -> Option<Url> {
    let url = Url::parse(value).ok()?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}
