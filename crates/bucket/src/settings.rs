//! Which bucket, and with what credentials: read from the environment variables that operators of dbt-api know.

mod read;

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// Which bucket, and how to enter it.
#[derive(Clone, Debug)]
pub enum Settings {
    /// A folder of this machine.
    Local {
        /// The folder; created when absent.
        path: PathBuf,
    },
    /// A bucket of Amazon S3, or of what speaks its protocol.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The access key's id.
        access_key: SecretString,
        /// The access key's secret.
        secret_key: SecretString,
        /// The region.
        region: String,
        /// Where the store is, if not at Amazon.
        endpoint: Option<Url>,
    },
    /// A bucket of MinIO.
    Minio {
        /// Where MinIO is.
        url: Url,
        /// The bucket's name.
        bucket: String,
        /// The access key's id.
        access_key: SecretString,
        /// The access key's secret.
        secret_key: SecretString,
    },
    /// A container of Azure Blob Storage.
    Blob {
        /// The container's name.
        container: String,
        /// The storage account's name.
        account: String,
        /// The storage account's key, in base64.
        key: SecretString,
        /// Where the account's blobs are, if not at the usual place of Azure.
        endpoint: Option<Url>,
    },
}

impl Settings {
    /// Another bucket, container or folder of the same store, entered in the same way.
    ///
    /// # Errors
    /// What is wrong with its name; reads on from "is".
    pub fn beside(&self, name: &str) -> Result<Self, String> {
        let mut settings = self.clone();
        match &mut settings {
            Self::Local { path } => {
                *path = name.into();
                if !path.is_dir() {
                    return Err(format!("`{name}`, which is not a folder"));
                }
            }
            Self::S3 { bucket, .. } | Self::Minio { bucket, .. } | Self::Blob { container: bucket, .. } => {
                read::check_bucket_name(name)?;
                name.clone_into(bucket);
            }
        }
        Ok(settings)
    }

    /// How messages name the bucket.
    pub(crate) fn place(&self) -> String {
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
