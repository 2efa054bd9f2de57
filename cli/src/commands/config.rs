//! Implements `dbt-api config`.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use operator::status::Part;
use serde::Serialize;

use crate::attempts::{show, try_all};
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn check(connect: bool, output: Output) -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let effective = Effective::of(&settings)?;
    let attempts = match connect {
        true => Some(try_all(&settings).await),
        false => None,
    };
    match output {
        Output::Json => output.one(&Checked {
            effective,
            warnings: &settings.warnings,
            attempts: attempts.as_deref(),
        })?,
        Output::Text => {
            output.one(&effective)?;
            for warning in &settings.warnings {
                output.note(&format!("Warning: {warning}"))?;
            }
            output.done("The settings are valid.")?;
            if let Some(attempts) = &attempts {
                show(attempts, output)?;
            }
        }
    }
    let all_are_ok = attempts.iter().flatten().all(|part| part.is_ok);
    ensure!(all_are_ok, "not everything that the settings name can be used");
    Ok(())
}

pub(crate) fn variables(output: Output) -> anyhow::Result<()> {
    output.lines(&Settings::variables())
}

/// The result of a check, in JSON.
#[derive(Serialize)]
struct Checked<'a> {
    #[serde(flatten)]
    effective: Effective<'a>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<&'a [Part]>,
}

/// What the service uses with these settings, without secrets.
#[derive(Serialize)]
struct Effective<'a> {
    settings_file: Option<&'a Path>,
    #[serde(flatten)]
    storage: Storage<'a>,
    database_host: String,
    database_port: u16,
    database_name: &'a str,
    /// The servers for reads, if there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_read_host: Option<String>,
    nats_url: String,
    public_url: String,
}

#[derive(Serialize)]
#[serde(tag = "storage_adapter", rename_all = "lowercase")]
enum Storage<'a> {
    Local {
        folder: PathBuf,
    },
    S3 {
        bucket: &'a str,
        region: &'a str,
        endpoint: Option<&'a str>,
        credentials: &'static str,
    },
    Minio {
        bucket: &'a str,
        endpoint: &'a str,
    },
    Blob {
        container: &'a str,
        storage_account: &'a str,
        endpoint: Option<&'a str>,
        credentials: &'static str,
    },
    Gcs {
        bucket: &'a str,
        credentials: &'static str,
    },
}

impl<'a> Effective<'a> {
    fn of(settings: &'a Settings) -> std::io::Result<Self> {
        Ok(Self {
            settings_file: settings.file.as_deref(),
            storage: Storage::of(&settings.bucket)?,
            database_host: settings.database.host(),
            database_port: settings.database.port(),
            database_name: settings.database.name(),
            database_read_host: settings.replica.as_ref().map(|replica| replica.database.host()),
            nats_url: settings.stream.urls(),
            public_url: settings.public_url(),
        })
    }
}

impl<'a> Storage<'a> {
    fn of(settings: &'a bucket::Settings) -> std::io::Result<Self> {
        Ok(match settings {
            bucket::Settings::Local { path } => Self::Local {
                // The folder depends on the working directory, which the reader of this output may not know.
                folder: std::path::absolute(path)?,
            },
            bucket::Settings::S3 {
                bucket,
                region,
                endpoint,
                credentials,
            } => Self::S3 {
                bucket,
                region,
                endpoint: endpoint.as_ref().map(|url| url.as_str()),
                credentials: credentials.kind(),
            },
            bucket::Settings::Minio { bucket, url, .. } => Self::Minio {
                bucket,
                endpoint: url.as_str(),
            },
            bucket::Settings::Blob {
                container,
                account,
                endpoint,
                credentials,
            } => Self::Blob {
                container,
                storage_account: account,
                endpoint: endpoint.as_ref().map(|url| url.as_str()),
                credentials: credentials.kind(),
            },
            bucket::Settings::Gcs { bucket, key_file } => Self::Gcs {
                bucket,
                credentials: if key_file.is_some() {
                    "service account"
                } else {
                    "metadata server"
                },
            },
        })
    }
}
