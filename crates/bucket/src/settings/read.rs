//! Reads settings.

use ::settings::{BASE_URL, Reader, base_url};

use super::Settings;
use super::azure::blob;
use super::name::bucket_name;
use super::s3::s3;

impl Settings {
    /// Reads the settings. Only the variables of the adapter in `STORAGE_ADAPTER` (default `local`) count. An Azure connection string takes
    /// precedence over name and key.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let adapters = ["local", "s3", "minio", "blob", "gcs"].map(|adapter| (adapter, adapter));
        let adapter = reader.choice("STORAGE_ADAPTER", &adapters, "local");
        let path = reader.path("STORAGE_PATH").unwrap_or_else(|| "./data".into());
        let s3 = reader.when(adapter == "s3", s3);
        let minio = reader.when(adapter == "minio", minio);
        let blob = reader.when(adapter == "blob", blob);
        let gcs = reader.when(adapter == "gcs", gcs);
        s3.or(minio).or(blob).or(gcs).flatten().unwrap_or(Self::Local { path })
    }
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

fn gcs(reader: &mut Reader<'_>) -> Option<Settings> {
    let bucket = bucket_name(reader, "GCS_BUCKET_NAME", "STORAGE_ADAPTER=gcs needs it");
    let key_file = reader.file("GOOGLE_APPLICATION_CREDENTIALS");
    Some(Settings::Gcs {
        bucket: bucket?,
        key_file,
    })
}
