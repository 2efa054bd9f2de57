//! Reads the settings of S3, and with which credentials requests are signed.

use std::path::PathBuf;

use ::settings::{Reader, base_url};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Settings;
use super::name::bucket_name;

/// What signs requests to S3.
#[derive(Clone, Debug)]
pub enum S3Credentials {
    /// An access key.
    Key {
        /// The key's id.
        id: SecretString,
        /// The key's secret.
        secret: SecretString,
        /// The token of a temporary key.
        session_token: Option<SecretString>,
    },
    /// A role of Amazon's, for a token that Kubernetes writes to a file.
    WebIdentity {
        /// The file.
        token_file: PathBuf,
        /// The role's ARN.
        role: String,
        /// How the session is called in Amazon's logs.
        session: Option<String>,
        /// The URL at which the token is exchanged, if it is not Amazon's in the bucket's region.
        endpoint: Option<Url>,
    },
    /// The role of a task in Amazon's ECS.
    Task {
        /// The path at the address that tasks ask.
        path: String,
    },
    /// The role of a pod in Amazon's EKS.
    Pod {
        /// The URL that pods ask.
        url: Url,
        /// The file with the token that they show.
        token_file: PathBuf,
    },
    /// The role of a machine in Amazon's EC2.
    Instance {
        /// The URL that machines ask, if it is not Amazon's.
        endpoint: Option<Url>,
    },
}

impl S3Credentials {
    /// Returns what kind of credentials they are.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key { .. } => "access key",
            Self::WebIdentity { .. } => "web identity",
            Self::Task { .. } => "task role",
            Self::Pod { .. } => "pod identity",
            Self::Instance { .. } => "instance profile",
        }
    }

    /// Returns how they end the description of a bucket: who gives them, and by which variables that is known.
    pub(crate) fn origin(&self) -> &'static str {
        match self {
            Self::Key { .. } => "",
            Self::WebIdentity { .. } => {
                " with web identity (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ENDPOINT_URL_STS)"
            }
            Self::Task { .. } => " with a task role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)",
            Self::Pod { .. } => {
                " with pod identity (AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)"
            }
            Self::Instance { .. } => " with the machine's instance profile, because no other credentials are set",
        }
    }

    pub(crate) fn apply(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        let optional = |builder: AmazonS3Builder, key: Key, value: Option<&str>| match value {
            Some(value) => builder.with_config(key, value),
            None => builder,
        };
        match self {
            Self::Key {
                id,
                secret,
                session_token,
            } => {
                let builder = builder
                    .with_access_key_id(id.expose_secret())
                    .with_secret_access_key(secret.expose_secret());
                optional(
                    builder,
                    Key::Token,
                    session_token.as_ref().map(ExposeSecret::expose_secret),
                )
            }
            Self::WebIdentity {
                token_file,
                role,
                session,
                endpoint,
            } => {
                let builder = builder
                    .with_config(Key::WebIdentityTokenFile, token_file.to_string_lossy())
                    .with_config(Key::RoleArn, role);
                let builder = optional(builder, Key::RoleSessionName, session.as_deref());
                optional(builder, Key::StsEndpoint, endpoint.as_ref().map(Url::as_str))
            }
            Self::Task { path } => builder.with_config(Key::ContainerCredentialsRelativeUri, path),
            Self::Pod { url, token_file } => builder
                .with_config(Key::ContainerCredentialsFullUri, url.as_str())
                .with_config(Key::ContainerAuthorizationTokenFile, token_file.to_string_lossy()),
            Self::Instance { endpoint } => {
                let endpoint = endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/'));
                optional(builder, Key::MetadataEndpoint, endpoint)
            }
        }
    }
}

pub(super) fn s3(reader: &mut Reader<'_>) -> Option<Settings> {
    let bucket = bucket_name(reader, "S3_BUCKET_NAME", "STORAGE_ADAPTER=s3 needs it");
    let credentials = credentials(reader);
    let has_endpoint = reader.text("S3_ENDPOINT").is_some();
    let endpoint = reader.base_url("S3_ENDPOINT");
    let region = if has_endpoint {
        Some(reader.text("S3_REGION").unwrap_or_else(|| "us-east-1".to_owned()))
    } else {
        reader.required(
            "S3_REGION",
            "without S3_ENDPOINT it must name the bucket's region, for example us-east-1",
        )
    };
    Some(Settings::S3 {
        bucket: bucket?,
        credentials: credentials?,
        region: region?,
        endpoint,
    })
}

/// Reads the credentials: our own settings first, then those of Amazon's programs, in their order.
fn credentials(reader: &mut Reader<'_>) -> Option<S3Credentials> {
    let ours = key(reader, ["S3_ACCESS_KEY", "S3_SECRET_ACCESS_KEY"], None);
    let environment = reader.when(ours.is_none(), |reader| {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let session_token = reader.secret("AWS_SESSION_TOKEN");
        let key = key(reader, names, session_token);
        let role = reader.when(key.is_none(), role);
        key.unwrap_or_else(|| role.flatten())
    });
    ours.unwrap_or_else(|| environment.flatten())
}

/// Reads an access key. Returns `None` if neither of its parts is set, and `Some(None)` if only one of them is.
fn key(
    reader: &mut Reader<'_>,
    names: [&str; 2],
    session_token: Option<SecretString>,
) -> Option<Option<S3Credentials>> {
    let [id, secret] = names.map(|name| reader.secret(name));
    if id.is_none() && secret.is_none() {
        return None;
    }
    let [id, secret] = [(id, names[0], names[1]), (secret, names[1], names[0])].map(|(part, name, other)| {
        if part.is_none() {
            reader.problem(format!(
                "missing `{name}`: {other} is set, and both together are an access key"
            ));
        }
        part
    });
    Some(id.zip(secret).map(|(id, secret)| S3Credentials::Key {
        id,
        secret,
        session_token,
    }))
}

/// Reads the role that is given to what runs here.
fn role(reader: &mut Reader<'_>) -> Option<S3Credentials> {
    let token_file = reader.path("AWS_WEB_IDENTITY_TOKEN_FILE");
    let web_identity = reader.when(token_file.is_some(), |reader| {
        let role = reader.required("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE is for a role");
        let session = reader.text("AWS_ROLE_SESSION_NAME");
        let endpoint = token_service(reader);
        Some(S3Credentials::WebIdentity {
            token_file: token_file.clone()?,
            role: role?,
            session,
            endpoint,
        })
    });
    let path = reader.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        reader.invalid("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "a path that begins with `/`");
    }
    let url = reader.url("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let pod = reader.when(path.is_none() && url.is_some(), |reader| {
        let advice = "AWS_CONTAINER_CREDENTIALS_FULL_URI is asked with the token in this file";
        let token_file = reader.required("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", advice);
        Some(S3Credentials::Pod {
            url: url.clone()?,
            token_file: token_file?.into(),
        })
    });
    let endpoint = reader.base_url("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let other = pod.unwrap_or(Some(S3Credentials::Instance { endpoint }));
    web_identity.unwrap_or_else(|| path.map_or(other, |path| Some(S3Credentials::Task { path })))
}

/// Reads the URL at which tokens are exchanged. A token is sent only over TLS.
fn token_service(reader: &mut Reader<'_>) -> Option<Url> {
    let name = "AWS_ENDPOINT_URL_STS";
    let text = reader.text(name)?;
    let url = base_url(&text).filter(|url| url.scheme() == "https");
    reader.valid_url(
        name,
        "https://HOST, with or without a path, and without a login",
        &text,
        url,
    )
}
