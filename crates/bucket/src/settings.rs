//! The bucket's settings.

mod azure;
mod name;
mod read;
mod s3;

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

pub use azure::AzureCredentials;
use name::{BUCKET_NAME, is_bucket_name};
pub use s3::S3Credentials;

/// The bucket's location and credentials.
#[derive(Clone, Debug)]
pub enum Settings {
    /// A folder on this machine.
    Local {
        /// The folder, which is created if it is missing.
        path: PathBuf,
    },
    /// A bucket in Amazon S3 or a compatible store.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What signs requests.
        credentials: S3Credentials,
        /// The region that requests are signed for, such as `us-east-1`.
        region: String,
        /// The URL of a store other than Amazon's.
        endpoint: Option<Url>,
    },
    /// A bucket in MinIO.
    Minio {
        /// The URL of MinIO.
        url: Url,
        /// The bucket's name.
        bucket: String,
        /// The access key's id.
        access_key: SecretString,
        /// The access key's secret.
        secret_key: SecretString,
    },
    /// A container in Azure Blob Storage.
    Blob {
        /// The container's name.
        container: String,
        /// The storage account's name.
        account: String,
        /// As whom it is asked.
        credentials: AzureCredentials,
        /// The URL of the account's blobs, if it is not Azure's default.
        endpoint: Option<Url>,
    },
    /// A bucket in Google Cloud Storage.
    Gcs {
        /// The bucket's name.
        bucket: String,
        /// The file with the key of a service account. Without it, the machine's metadata server is asked for tokens.
        key_file: Option<PathBuf>,
    },
}

impl Settings {
    /// Returns the settings for another bucket, container or folder in the same store with the same credentials.
    ///
    /// # Errors
    /// What is expected instead, and the name.
    pub fn beside(&self, name: &str) -> Result<Self, String> {
        let mut settings = self.clone();
        match &mut settings {
            Self::Local { path } => {
                *path = name.into();
                if !path.is_dir() {
                    return Err(format!("expected a folder that exists, got `{name}`"));
                }
            }
            Self::S3 { bucket, .. }
            | Self::Minio { bucket, .. }
            | Self::Blob { container: bucket, .. }
            | Self::Gcs { bucket, .. } => {
                if !is_bucket_name(name) {
                    return Err(format!("expected {BUCKET_NAME}, got `{name}`"));
                }
                name.clone_into(bucket);
            }
        }
        Ok(settings)
    }

    /// Returns the bucket's description for messages.
    pub(crate) fn location(&self) -> String {
        match self {
            Self::Local { path } => format!("the storage folder `{}`", path.display()),
            Self::S3 {
                bucket,
                endpoint,
                region,
                credentials,
            } => {
                let at_endpoint = endpoint
                    .as_ref()
                    .map_or_else(|| format!("in {region}"), |url| format!("at {url}"));
                format!("the S3 bucket `{bucket}` {at_endpoint}{}", credentials.origin())
            }
            Self::Minio { url, bucket, .. } => format!("the MinIO bucket `{bucket}` at {url}"),
            Self::Blob { container, account, .. } => {
                format!("the Azure container `{container}` of the storage account `{account}`")
            }
            Self::Gcs { bucket, .. } => format!("the bucket `{bucket}` in Google Cloud Storage"),
        }
    }
}
