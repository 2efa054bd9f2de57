//! The bucket's settings.

mod read;

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

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
        /// The access key's id.
        access_key: SecretString,
        /// The access key's secret.
        secret_key: SecretString,
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
        /// The storage account's key, in base64.
        key: SecretString,
        /// The URL of the account's blobs, if it is not Azure's default.
        endpoint: Option<Url>,
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
            Self::S3 { bucket, .. } | Self::Minio { bucket, .. } | Self::Blob { container: bucket, .. } => {
                if !read::is_bucket_name(name) {
                    return Err(format!("expected {}, got `{name}`", read::BUCKET_NAME));
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
                endpoint: None,
                region,
                ..
            } => format!("the S3 bucket `{bucket}` in {region}"),
            Self::S3 {
                bucket,
                endpoint: Some(url),
                ..
            } => format!("the S3 bucket `{bucket}` at {url}"),
            Self::Minio { url, bucket, .. } => format!("the MinIO bucket `{bucket}` at {url}"),
            Self::Blob { container, account, .. } => {
                format!("the Azure container `{container}` of the storage account `{account}`")
            }
        }
    }
}
