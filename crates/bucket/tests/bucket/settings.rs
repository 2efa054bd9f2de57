use std::path::Path;

use ::settings::{Invalid, Reader, Source};
use bucket::{Bucket, Settings};
use secrecy::ExposeSecret;

fn read(variables: &[(&str, &str)]) -> Result<Settings, Invalid> {
    Source::of(variables).read(Settings::read)
}

/// Returns the problems, after checking that each names one of these variables, in this order.
fn problems(variables: &[(&str, &str)], named: &[&str]) -> String {
    let invalid = read(variables).unwrap_err();
    let problems = invalid.problems();
    assert_eq!(problems.len(), named.len(), "{problems:#?}");
    for (problem, name) in problems.iter().zip(named) {
        assert!(problem.contains(name), "{problem} does not name {name}");
    }
    problems.join("\n")
}

#[test]
fn the_default_is_the_folder_data() {
    for variables in [&[][..], &[("STORAGE_ADAPTER", ""), ("STORAGE_PATH", "")]] {
        let settings = read(variables).unwrap();
        assert!(matches!(settings, Settings::Local { path } if path == Path::new("./data")));
    }
    let settings = read(&[("STORAGE_ADAPTER", "local"), ("STORAGE_PATH", "/var/dbt-api")]).unwrap();
    assert!(matches!(settings, Settings::Local { path } if path == Path::new("/var/dbt-api")));
}

#[test]
fn the_variables_of_all_adapters_are_recorded() {
    let names = |variables| {
        let source = Source::of(variables);
        let mut reader = Reader::new(&source);
        Settings::read(&mut reader);
        let mut names = reader.names().to_vec();
        names.sort_unstable();
        names
    };
    let by_default = names(&[]);
    assert_eq!(by_default.len(), 16, "{by_default:?}");
    assert_eq!(names(&S3), by_default);
    assert_eq!(
        names(&[("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", "x"), ("S3_ENDPOINT", "x")]),
        by_default
    );
}

#[test]
fn an_unknown_adapter_is_reported_with_the_valid_ones() {
    let problem = problems(&[("STORAGE_ADAPTER", "gcs")], &["STORAGE_ADAPTER"]);
    assert!(
        problem.contains("expected local, s3, minio or blob, got `gcs`"),
        "{problem}"
    );
}

const S3: [(&str, &str); 4] = [
    ("STORAGE_ADAPTER", "s3"),
    ("S3_BUCKET_NAME", "artifacts"),
    ("S3_ACCESS_KEY", "12345"),
    ("S3_SECRET_ACCESS_KEY", "hidden"),
];

#[test]
fn s3_needs_a_region_unless_it_has_an_endpoint() {
    problems(&S3, &["S3_REGION"]);

    let amazon = read(&[S3.as_slice(), &[("S3_REGION", "eu-west-1")]].concat()).unwrap();
    let Settings::S3 {
        region,
        endpoint: None,
        access_key,
        ..
    } = &amazon
    else {
        panic!("{amazon:?}")
    };
    assert_eq!((region.as_str(), access_key.expose_secret()), ("eu-west-1", "12345"));

    let other = read(&[S3.as_slice(), &[("S3_ENDPOINT", "http://localhost:9000")]].concat()).unwrap();
    let Settings::S3 {
        region,
        endpoint: Some(endpoint),
        ..
    } = &other
    else {
        panic!("{other:?}")
    };
    assert_eq!(
        (region.as_str(), endpoint.as_str()),
        ("us-east-1", "http://localhost:9000/")
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    problems(
        &[("STORAGE_ADAPTER", "s3"), ("S3_ENDPOINT", "localhost:9000")],
        &["S3_BUCKET_NAME", "S3_ACCESS_KEY", "S3_SECRET_ACCESS_KEY", "S3_ENDPOINT"],
    );
    problems(
        &[("STORAGE_ADAPTER", "minio"), ("MINIO_BUCKET_NAME", "ab")],
        &["MINIO_URL", "MINIO_BUCKET_NAME", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"],
    );
    problems(
        &[("STORAGE_ADAPTER", "blob")],
        &["BLOB_CONTAINER", "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING"],
    );
}

#[test]
fn the_minio_url_may_have_no_scheme() {
    for (given, expected) in [
        ("minio:9000", "http://minio:9000/"),
        ("10.0.0.1", "http://10.0.0.1/"),
        ("https://minio.example.com", "https://minio.example.com/"),
    ] {
        let settings = read(&[
            ("STORAGE_ADAPTER", "minio"),
            ("MINIO_URL", given),
            ("MINIO_BUCKET_NAME", "artifacts"),
            ("MINIO_ACCESS_KEY", "key"),
            ("MINIO_SECRET_KEY", "hidden"),
        ]);
        let Ok(Settings::Minio { url, .. }) = settings else {
            panic!("{settings:?}")
        };
        assert_eq!(url.as_str(), expected);
    }
}

const CONTAINER: [(&str, &str); 2] = [("STORAGE_ADAPTER", "blob"), ("BLOB_CONTAINER", "artifacts")];

fn blob(more: &[(&str, &str)]) -> (String, String, Option<String>) {
    let settings = read(&[CONTAINER.as_slice(), more].concat());
    let Ok(Settings::Blob {
        account, key, endpoint, ..
    }) = settings
    else {
        panic!("{settings:?}")
    };
    (account, key.expose_secret().to_owned(), endpoint.map(String::from))
}

#[test]
fn blob_accepts_a_connection_string_or_name_and_key() {
    let usual =
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=aGlkZGVuIQ==;EndpointSuffix=core.windows.net";
    let emulated = "AccountName=acme;AccountKey=aGlkZGVuIQ==;BlobEndpoint=http://127.0.0.1:10000/acme;";
    let named = [
        ("BLOB_STORAGE_ACCOUNT_NAME", "acme"),
        ("BLOB_STORAGE_ACCOUNT_KEY", "aGlkZGVuIQ=="),
    ];
    for (variables, endpoint) in [
        (&named[..], None),
        (
            &[("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", usual)],
            Some("https://acme.blob.core.windows.net/"),
        ),
        (
            &[("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", emulated)],
            Some("http://127.0.0.1:10000/acme"),
        ),
    ] {
        let expected = (
            "acme".to_owned(),
            "aGlkZGVuIQ==".to_owned(),
            endpoint.map(str::to_owned),
        );
        assert_eq!(blob(variables), expected);
    }
}

#[test]
fn a_broken_connection_string_is_not_shown() {
    let broken = [
        ("AccountName=acme;AccountKey=hidden", "base64"),
        ("AccountName=acme", "`AccountKey=…`"),
        ("AccountKey=aGlkZGVuIQ==", "`AccountName=…`"),
        (
            "AccountName=acme;AccountKey=aGlkZGVuIQ==;BlobEndpoint=acme.example.com",
            "BlobEndpoint",
        ),
    ];
    for (value, says) in broken {
        let name = "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING";
        let problem = problems(&[CONTAINER.as_slice(), &[(name, value)]].concat(), &[name]);
        assert!(problem.contains(says), "{problem}");
        assert!(
            !problem.contains("hidden") && !problem.contains("aGlkZGVuIQ"),
            "{problem}"
        );
    }
    let half = [CONTAINER.as_slice(), &[("BLOB_STORAGE_ACCOUNT_KEY", "hidden")]].concat();
    let problem = problems(&half, &["BLOB_STORAGE_ACCOUNT_NAME", "BLOB_STORAGE_ACCOUNT_KEY"]);
    assert!(!problem.contains("hidden"), "{problem}");
}

#[test]
fn secrets_are_never_printed() {
    let shown = format!(
        "{:?}",
        read(&[S3.as_slice(), &[("S3_REGION", "eu-west-1")]].concat()).unwrap()
    );
    assert!(
        shown.contains("artifacts") && !shown.contains("hidden") && !shown.contains("12345"),
        "{shown}"
    );

    let with_password = [S3.as_slice(), &[("S3_ENDPOINT", "http://me:hidden@localhost:9000")]].concat();
    let problem = problems(&with_password, &["S3_ENDPOINT"]);
    assert!(!problem.contains("hidden"), "{problem}");
}

#[test]
fn every_adapter_opens_without_being_contacted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let minio = [
        ("STORAGE_ADAPTER", "minio"),
        ("MINIO_URL", "minio:9000"),
        ("MINIO_BUCKET_NAME", "artifacts"),
        ("MINIO_ACCESS_KEY", "key"),
        ("MINIO_SECRET_KEY", "hidden"),
    ];
    let account = [
        ("BLOB_STORAGE_ACCOUNT_NAME", "acme"),
        ("BLOB_STORAGE_ACCOUNT_KEY", "aGlkZGVuIQ=="),
    ];
    for variables in [
        [S3.as_slice(), &[("S3_REGION", "eu-west-1")]].concat(),
        [CONTAINER.as_slice(), &account].concat(),
        minio.to_vec(),
    ] {
        let bucket = Bucket::open(&read(&variables).unwrap()).unwrap();
        let shown = format!("{bucket:?}");
        assert!(!shown.contains("hidden") && !shown.contains("aGlkZGVuIQ"), "{shown}");
    }
}
