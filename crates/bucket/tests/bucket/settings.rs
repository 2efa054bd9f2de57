use std::path::Path;

use ::settings::{Invalid, Reader, Source};
use bucket::{AzureCredentials, Bucket, S3Credentials, Settings};
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
    assert_eq!(by_default.len(), 34, "{by_default:?}");
    assert_eq!(names(&S3), by_default);
    assert_eq!(
        names(&[("BLOB_STORAGE_ACCOUNT_CONNECTION_STRING", "x"), ("S3_ENDPOINT", "x")]),
        by_default
    );
}

#[test]
fn an_unknown_adapter_is_reported_with_the_valid_ones() {
    let problem = problems(&[("STORAGE_ADAPTER", "swift")], &["STORAGE_ADAPTER"]);
    assert!(
        problem.contains("expected local, s3, minio, blob or gcs, got `swift`"),
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
        credentials: S3Credentials::Key { id, .. },
        ..
    } = &amazon
    else {
        panic!("{amazon:?}")
    };
    assert_eq!((region.as_str(), id.expose_secret()), ("eu-west-1", "12345"));

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
        &["S3_BUCKET_NAME", "S3_ENDPOINT"],
    );
    problems(
        &[
            ("STORAGE_ADAPTER", "gcs"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/missing"),
        ],
        &["GCS_BUCKET_NAME", "GOOGLE_APPLICATION_CREDENTIALS"],
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
        account,
        credentials: AzureCredentials::Key(key),
        endpoint,
        ..
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
        ("AccountName=acme;SharedAccessSignature=hidden", "`AccountKey=…`"),
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

/// The kind of credentials for S3 with these variables and no keys of dbt-api's own.
fn s3_credentials(more: &[(&str, &str)]) -> &'static str {
    let settings = read(&[&S3[..2], &[("S3_REGION", "eu-west-1")], more].concat());
    let Ok(Settings::S3 { credentials, .. }) = settings else {
        panic!("{settings:?}")
    };
    credentials.kind()
}

#[test]
fn without_keys_s3_uses_what_the_environment_gives() {
    let key = [("AWS_ACCESS_KEY_ID", "12345"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
    ];
    let task = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")];
    let pod = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
    ];
    assert_eq!(s3_credentials(&[]), "instance profile");
    assert_eq!(s3_credentials(&pod), "pod identity");
    assert_eq!(s3_credentials(&[&pod[..], &task].concat()), "task role");
    assert_eq!(s3_credentials(&[&task[..], &web].concat()), "web identity");
    assert_eq!(s3_credentials(&[&web[..], &key].concat()), "access key");
    assert_eq!(s3_credentials(&[&web[..], &S3[2..]].concat()), "access key");

    let s3 = [&S3[..2], &[("S3_REGION", "eu-west-1")]].concat();
    for (incomplete, missing) in [
        (&S3[2..3], "S3_SECRET_ACCESS_KEY"),
        (&S3[3..], "S3_ACCESS_KEY"),
        (&key[..1], "AWS_SECRET_ACCESS_KEY"),
        (&web[..1], "AWS_ROLE_ARN"),
        (&pod[..1], "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ] {
        let problem = problems(&[&s3, incomplete].concat(), &[missing]);
        assert!(!problem.contains("hidden") && !problem.contains("12345"), "{problem}");
    }
    for (name, value, before) in [
        ("AWS_ENDPOINT_URL_STS", "http://sts.example", &web[..]),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "v2/credentials", &[]),
    ] {
        let problem = problems(&[&s3, before, &[(name, value)]].concat(), &[name]);
        assert!(problem.contains(value) && problem.contains("expected"), "{problem}");
    }
}

#[test]
fn without_a_key_azure_uses_an_identity() {
    let kind = |more: &[(&str, &str)]| {
        let settings = read(&[&CONTAINER[..], more].concat());
        let Ok(Settings::Blob { credentials, .. }) = settings else {
            panic!("{settings:?}")
        };
        credentials.kind()
    };
    let name = ("BLOB_STORAGE_ACCOUNT_NAME", "acme");
    let connection = (
        "BLOB_STORAGE_ACCOUNT_CONNECTION_STRING",
        "AccountName=acme;EndpointSuffix=core.chinacloudapi.cn",
    );
    let client = ("AZURE_CLIENT_ID", "c");
    let file = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
    assert_eq!(kind(&[name]), "managed identity");
    assert_eq!(kind(&[connection, client]), "managed identity");
    assert_eq!(
        kind(&[name, client, file, ("AZURE_TENANT_ID", "t")]),
        "workload identity"
    );
    problems(
        &[&CONTAINER[..], &[name, file]].concat(),
        &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
    );
    assert_eq!(
        kind(&[name, file, ("BLOB_STORAGE_ACCOUNT_KEY", "aGlkZGVuIQ==")]),
        "account key"
    );
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
        vec![("STORAGE_ADAPTER", "gcs"), ("GCS_BUCKET_NAME", "artifacts")],
    ] {
        let bucket = Bucket::open(&read(&variables).unwrap()).unwrap();
        let shown = format!("{bucket:?}");
        assert!(!shown.contains("hidden") && !shown.contains("aGlkZGVuIQ"), "{shown}");
    }
}
