//! Finds the setting that a misspelled name means.

use strsim::osa_distance;

/// Returns the setting that an environment variable probably means. The environment also contains the variables of other programs, so the
/// variable must begin like the setting, and differ by one typing error, or two in long names.
pub(crate) fn meant_by_variable<'a>(variable: &str, settings: &'a [String]) -> Option<&'a str> {
    // Variables that are numbered on purpose, such as `DB_HOST2`. No setting ends in a digit.
    if variable.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let variable = variable.to_uppercase();
    let (group, rest) = split(&variable)?;
    let alike = settings.iter().filter_map(|setting| {
        let (setting_group, setting_rest) = split(setting)?;
        // First, because few variables have the group of a setting, and distances take long to compute.
        if group != setting_group {
            return None;
        }
        let errors = osa_distance(&variable, setting);
        let allowed = if setting_rest.len().min(rest.len()) < 8 { 1 } else { 2 };
        (errors <= allowed).then_some((errors, setting))
    });
    nearest(alike)
}

/// Returns the setting that an unknown key of the settings file may mean. All keys of the file are meant as settings, so the name may differ
/// in a third of its letters.
pub(crate) fn meant_by_key<'a>(key: &str, settings: &'a [String]) -> Option<&'a str> {
    let key = key.to_uppercase();
    let alike = settings
        .iter()
        .map(|setting| (osa_distance(&key, setting), setting))
        .filter(|(errors, _)| *errors <= (key.len() / 3).min(3));
    nearest(alike)
}

fn nearest<'a>(alike: impl Iterator<Item = (usize, &'a String)>) -> Option<&'a str> {
    alike
        .min_by_key(|(errors, _)| *errors)
        .map(|(_, setting)| setting.as_str())
}

/// Splits `DB_HOST` into `DB` and `HOST`. A plural counts as the same group, so that `UPLOAD_PER_MINUTE` is like `UPLOADS_PER_MINUTE`.
/// Names without a group, such as `PORT`, are too common to be compared.
fn split(name: &str) -> Option<(&str, &str)> {
    let (group, rest) = name.split_once('_')?;
    Some((group.strip_suffix('S').unwrap_or(group), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<String> {
        let names = [
            "DBT_API_CONFIG DB_URL DB_HOST DB_PORT DB_USER DB_PASS DB_NAME DB_SSL_ENABLED DB_SSL_VERIFY DB_SSL_ROOT_CERT",
            "DATACOVES_DB_HOST DATACOVES_VERIFY_URL NATS_URL NATS_CREDENTIALS_FILE NATS_ROOT_CERT STORAGE_ADAPTER STORAGE_PATH",
            "S3_BUCKET_NAME S3_ACCESS_KEY S3_SECRET_ACCESS_KEY S3_REGION S3_ENDPOINT MINIO_URL MINIO_BUCKET_NAME MINIO_ACCESS_KEY",
            "MINIO_SECRET_KEY BLOB_CONTAINER BLOB_STORAGE_ACCOUNT_NAME BLOB_STORAGE_ACCOUNT_KEY HOST PORT PUBLIC_URL LOG_FORMAT LOG_LEVEL",
            "MAX_UPLOADS UPLOADS_PER_MINUTE UPLOAD_TIMEOUT_SECONDS READS_PER_MINUTE AIRFLOW_CONFIG AIRFLOW_POLL_SECONDS SPOOL_DIR",
        ];
        names.join(" ").split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn misspelled_variables_are_recognized() {
        let settings = settings();
        for (variable, expected) in [
            ("DB_HSOT", "DB_HOST"),
            ("DB_USR", "DB_USER"),
            ("DB_SSL_ENABLE", "DB_SSL_ENABLED"),
            ("db_host", "DB_HOST"),
            ("NATS_CREDENTAILS_FIEL", "NATS_CREDENTIALS_FILE"),
            ("S3_BUCKETNAME", "S3_BUCKET_NAME"),
            ("S3_SECRET_ACESS_KEYS", "S3_SECRET_ACCESS_KEY"),
            ("MINIO_ACESS_KEY", "MINIO_ACCESS_KEY"),
            ("BLOB_STORAGE_ACOUNT_KEY", "BLOB_STORAGE_ACCOUNT_KEY"),
            ("STORAGE_ADAPTOR", "STORAGE_ADAPTER"),
            ("DATACOVES_DB_HSOT", "DATACOVES_DB_HOST"),
            ("AIRFLOW_POOL_SECONDS", "AIRFLOW_POLL_SECONDS"),
            ("UPLOAD_PER_MINUTE", "UPLOADS_PER_MINUTE"),
            ("UPLOAD_TIMEOUT_SECOND", "UPLOAD_TIMEOUT_SECONDS"),
            ("LOG_LEVLE", "LOG_LEVEL"),
        ] {
            assert_eq!(meant_by_variable(variable, &settings), Some(expected), "{variable}");
        }
    }

    #[test]
    fn variables_of_other_programs_are_not_misspellings() {
        let others = "PATH HOME HOSTNAME HOSTS POST USER LANG LOG_FILE LOG_DIR LOG_PATH MAX_WORKERS PUBLIC_KEY PUBLIC_IP SPOOL_FILE \
             DB_PASSWORD DB_USERNAME DB_DATABASE DB_DRIVER DB_CONNECTION DB_PATH DB_POOL DB_HOME DB_MODE DB_BASE DB_TYPE DB_SCHEMA \
             DB_SSL DB_SSLMODE DB_SSL_MODE DB_HOST2 DB_PORT_5432_TCP S3_BUCKET S3_HOST S3_KEY S3_ACCESS_KEY_ID S3_SECRET_KEY \
             S3_USE_SSL S3_ENDPOINT_URL MINIO_ROOT_USER MINIO_ROOT_PASSWORD MINIO_PORT MINIO_BUCKET NATS_PORT NATS_SERVICE_HOST \
             NATS_SERVICE_PORT NATS_USER NATS_PASSWORD STORAGE_PORT STORAGE_CLASS BLOB_URL AIRFLOW_HOME AIRFLOW__CORE__FERNET_KEY \
             AIRFLOW_CONN_DB DATACOVES__UPLOAD_MANIFEST_URL DATACOVES__ENVIRONMENT_SLUG DBT_PROFILES_DIR DBT_API_URL DBT_API_PORT \
             DBT_API_UPLOAD_TOKEN UPLOAD_DIR UPLOAD_TIMEOUT";
        let settings = settings();
        for variable in others.split_whitespace() {
            assert_eq!(meant_by_variable(variable, &settings), None, "{variable}");
        }
    }

    #[test]
    fn keys_of_the_file_may_differ_more() {
        let settings = settings();
        for (key, expected) in [
            ("db_hots", Some("DB_HOST")),
            ("hots", Some("HOST")),
            ("nats_uri", Some("NATS_URL")),
            ("storageadaptor", Some("STORAGE_ADAPTER")),
            ("foo", None),
            ("title", None),
        ] {
            assert_eq!(meant_by_key(key, &settings), expected, "{key}");
        }
    }
}
