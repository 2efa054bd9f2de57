//! Reads what the earlier dbt-api stored. Its keys begin with `accounts/`, in the same bucket or a separate one, and are never written.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use percent_encoding::percent_decode_str;
use schemas::{AccountId, Slug};

use crate::{Bucket, Error};

const ACCOUNTS: &str = "accounts";

/// An object of the earlier dbt-api.
#[derive(Clone, Debug)]
pub enum LegacyObject {
    /// A manifest, according to its key.
    Manifest(LegacyManifest),
    /// Any other object.
    Other,
}

/// A manifest of the earlier dbt-api, described by its key.
#[derive(Clone, Debug)]
pub struct LegacyManifest {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The slug of its environment.
    pub environment: String,
    /// The Airflow DAG run that it belongs to, if there is one.
    pub run: Option<LegacyRun>,
    /// When the object was stored.
    pub last_modified: DateTime<Utc>,
    /// Its size in bytes.
    pub size: u64,
    location: Path,
}

/// A run of a DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyRun {
    /// The id of the Airflow DAG.
    pub dag_id: String,
    /// Airflow's id of the DAG run.
    pub run_id: String,
}

impl LegacyManifest {
    /// Returns its key in the bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        self.location.as_ref()
    }

    /// Parses the key of a manifest, which may belong to a DAG run:
    ///
    /// ```text
    /// accounts/<account>/environments/<slug>/dags/<DAG>/dag_runs/<run>/manifest.json
    /// accounts/<account>/environments/<slug>/manifests/<id>/manifest.json
    /// ```
    fn read(object: ObjectMeta) -> Option<Self> {
        let parts: Vec<&str> = object.location.as_ref().split('/').collect();
        let (&account, &environment, run) = match parts.as_slice() {
            [
                ACCOUNTS,
                account,
                "environments",
                environment,
                "dags",
                dag,
                "dag_runs",
                run,
                "manifest.json",
            ] => {
                let run = LegacyRun {
                    dag_id: decode(dag),
                    run_id: decode(run),
                };
                (account, environment, Some(run))
            }
            [
                ACCOUNTS,
                account,
                "environments",
                environment,
                "manifests",
                _,
                "manifest.json",
            ] => (account, environment, None),
            _ => return None,
        };
        Some(Self {
            account: account.parse().ok()?,
            environment: environment.to_owned(),
            run,
            last_modified: object.last_modified,
            size: object.size,
            location: object.location,
        })
    }
}

/// Decodes a part of a key that may be percent-encoded, such as `manual__2026-11-24T09%3A00%3A00%2B00%3A00`. A part that does not decode to
/// printable text is kept as it is.
fn decode(part: &str) -> String {
    match percent_decode_str(part).decode_utf8() {
        Ok(text) if !text.chars().any(char::is_control) => text.into_owned(),
        _ => part.to_owned(),
    }
}

impl Bucket {
    /// Lists what the earlier dbt-api stored, or only the objects of one account or environment.
    ///
    /// # Errors
    /// The stream ends with an error if the bucket is unavailable or a key cannot be listed.
    #[must_use]
    pub fn legacy_objects(
        &self,
        account: Option<AccountId>,
        environment: Option<&Slug>,
    ) -> BoxStream<'static, Result<LegacyObject, Error>> {
        let mut prefix = ACCOUNTS.to_owned();
        if let Some(account) = account {
            prefix = format!("{prefix}/{account}");
            if let Some(environment) = environment {
                prefix = format!("{prefix}/environments/{environment}");
            }
        }
        let bucket = self.clone();
        let listing = self.store.list(Some(&Path::from(prefix.as_str())));
        listing
            .map_ok(|object| LegacyManifest::read(object).map_or(LegacyObject::Other, LegacyObject::Manifest))
            .map_err(move |error| match error {
                object_store::Error::InvalidPath { source } => Error::Corrupt {
                    key: prefix.clone(),
                    reason: format!("a key below it is invalid ({source}); rename or remove that object"),
                },
                error => bucket.error(&prefix, error),
            })
            .boxed()
    }

    /// Returns the content of a manifest of the earlier dbt-api as a stream.
    ///
    /// # Errors
    /// Fails if the manifest is not found, the bucket is unavailable, or the manifest was replaced after it was listed. The stream ends with an
    /// error if the bucket becomes unavailable.
    pub async fn open_legacy(
        &self,
        manifest: &LegacyManifest,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let key = manifest.key().to_owned();
        // Use the location as listed: `Path::from` would encode it, and encode some keys twice.
        let object = self.store.get(&manifest.location).await;
        let object = object.map_err(|e| self.error(&key, e))?;
        // A listing may have a more precise time than an answer.
        let seconds = |time: DateTime<Utc>| time.timestamp();
        if seconds(object.meta.last_modified) != seconds(manifest.last_modified) || object.meta.size != manifest.size {
            return Err(Error::corrupt(&key, "it was replaced after it was listed"));
        }
        let bucket = self.clone();
        let stream = object.into_stream().map_err(move |error| bucket.error(&key, error));
        Ok(stream.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str) -> Option<LegacyManifest> {
        LegacyManifest::read(ObjectMeta {
            location: Path::parse(key).unwrap(),
            last_modified: DateTime::UNIX_EPOCH,
            size: 0,
            e_tag: None,
            version: None,
        })
    }

    #[test]
    fn both_forms_of_keys_are_read() {
        let with_run = read("accounts/7/environments/dev123/dags/load.all/dag_runs/manual__1/manifest.json").unwrap();
        assert_eq!(
            (with_run.account, with_run.environment.as_str()),
            (AccountId(7), "dev123")
        );
        let run = with_run.run.unwrap();
        assert_eq!((run.dag_id.as_str(), run.run_id.as_str()), ("load.all", "manual__1"));
        let without = read("accounts/7/environments/dev123/manifests/0b5e/manifest.json").unwrap();
        assert_eq!(without.run, None);
    }

    #[test]
    fn other_keys_are_not_manifests() {
        for key in [
            "accounts",
            "accounts/seven/environments/dev/manifests/1/manifest.json",
            "accounts/7/environments/dev/manifests/manifest.json",
            "accounts/7/environments/dev/manifests/1/catalog.json",
            "accounts/7/environments/dev/files/1/manifest.json",
            "accounts/7/environments/dev/dags/d/dag_runs/a/b/manifest.json",
            "other/7/environments/dev/manifests/1/manifest.json",
        ] {
            assert!(read(key).is_none(), "{key}");
        }
    }

    #[test]
    fn parts_are_decoded_if_the_result_is_text() {
        for (part, text) in [
            (
                "scheduled__2023-12-02T09:49:46+00:00",
                "scheduled__2023-12-02T09:49:46+00:00",
            ),
            (
                "scheduled__2023-12-02T09%3A49%3A46%2B00%3A00",
                "scheduled__2023-12-02T09:49:46+00:00",
            ),
            ("a%2fb", "a/b"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("a%00b", "a%00b"),
            ("%ff", "%ff"),
            ("caf%C3%A9", "café"),
        ] {
            assert_eq!(decode(part), text);
        }
    }
}
