//! Opens the store that the settings name.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use secrecy::ExposeSecret;

use crate::error::{Error, Problem};
use crate::settings::Settings;

/// Opens the store. A local folder is created if it is missing; another store is not contacted.
pub(crate) fn open(settings: &Settings, location: &str) -> Result<Arc<dyn ObjectStore>, Error> {
    let failed = |error| Error::from_store(location, "", error);
    Ok(match settings {
        Settings::Local { path } => {
            let failed_to_create = |source| Error::unavailable(location, Problem::Failed, source);
            std::fs::create_dir_all(path).map_err(failed_to_create)?;
            let local = LocalFileSystem::new_with_prefix(path).map_err(failed)?;
            Arc::new(local.with_fsync(true))
        }
        Settings::S3 {
            bucket,
            credentials,
            region,
            endpoint,
        } => {
            let mut builder = credentials.apply(s3(bucket)).with_region(region);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint.as_str());
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Settings::Minio {
            url,
            bucket,
            access_key,
            secret_key,
        } => {
            let builder = s3(bucket)
                .with_access_key_id(access_key.expose_secret())
                .with_secret_access_key(secret_key.expose_secret())
                .with_region("us-east-1")
                .with_endpoint(url.as_str());
            Arc::new(builder.build().map_err(failed)?)
        }
        Settings::Blob {
            container,
            account,
            credentials,
            endpoint,
        } => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_container_name(container)
                .with_account(account)
                .with_client_options(client_options())
                .with_retry(retries());
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
            }
            Arc::new(credentials.apply(builder).build().map_err(failed)?)
        }
        Settings::Gcs { bucket, key_file } => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(bucket)
                .with_client_options(client_options())
                .with_retry(retries());
            if let Some(path) = key_file {
                builder = builder.with_service_account_path(path.to_string_lossy());
            }
            Arc::new(builder.build().map_err(failed)?)
        }
    })
}

fn s3(bucket: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(client_options())
        .with_retry(retries())
}

/// Returns the client options. A request has no total time limit, because a large artifact may be read slowly, but a store that is silent for
/// 30 s counts as down. The longest silence is while a part of 8 MiB, or an object of 16 MiB, is sent.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(Duration::from_secs(3))
        .with_read_timeout(Duration::from_secs(30))
        .with_timeout_disabled()
}

/// Returns the retry settings. They bridge short interruptions, but notice within about five seconds that a store is down.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(10),
    }
}
