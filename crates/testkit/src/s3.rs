//! An S3 server for a single test. It uses HTTP on a free port, checks real signatures, and is as strict as S3 where that matters.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bucket::{S3Credentials, Settings};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";

/// How a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is written.
    Refused,
    /// The object is written, which the answer does not say.
    Unconfirmed,
    /// The object is written, and the server fails while it answers, once. Clients try again.
    Interrupted,
}

/// A running server. Dropping it deletes its objects.
pub struct S3Server {
    root: TempDir,
    address: SocketAddr,
    handler: Handler,
    /// The server task, unless the server is stopped.
    running: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Starts a server without buckets.
    ///
    /// # Errors
    /// Returns an error if no folder or port is available.
    pub async fn start() -> anyhow::Result<Self> {
        // Clients are built with TLS even if they use plain HTTP. Another test in this process may have installed the provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = tempfile::tempdir()?;
        let files = FileSystem::new(root.path()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let handler = Handler {
            root: root.path().into(),
            service: service.build(),
            creations: Arc::default(),
            requests: Arc::default(),
            delay_millis: Arc::default(),
            unreadable: Arc::default(),
            ignores_conditions: Arc::default(),
            failing_writes: Arc::default(),
            silent: watch::Sender::new(Vec::new()),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            root,
            address: listener.local_addr()?,
            running: Some(tokio::spawn(serve(listener, handler.clone()))),
            handler,
        })
    }

    /// Returns the server's address, for example `http://127.0.0.1:41234`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the settings for this bucket, and creates the bucket if necessary. The name needs at least three characters.
    ///
    /// # Errors
    /// Returns an error if the bucket cannot be created.
    pub fn settings(&self, bucket: &str) -> anyhow::Result<Settings> {
        std::fs::create_dir_all(self.root.path().join(bucket))?;
        self.settings_of(bucket, SECRET_KEY)
    }

    /// Returns the settings as environment variables.
    ///
    /// # Errors
    /// Returns an error in the same case as [`S3Server::settings`].
    pub fn variables(&self, bucket: &str) -> anyhow::Result<Vec<(String, String)>> {
        self.settings(bucket)?;
        let variables = [
            ("STORAGE_ADAPTER", "s3"),
            ("S3_BUCKET_NAME", bucket),
            ("S3_ACCESS_KEY", ACCESS_KEY),
            ("S3_SECRET_ACCESS_KEY", SECRET_KEY),
            ("S3_ENDPOINT", &self.url()),
        ];
        Ok(variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec())
    }

    /// Returns the folder that stores this bucket's objects as files.
    #[must_use]
    pub fn folder(&self, bucket: &str) -> PathBuf {
        self.root.path().join(bucket)
    }

    /// Returns settings for a bucket that does not exist.
    ///
    /// # Errors
    /// Does not return an error in practice.
    pub fn missing_bucket_settings(&self) -> anyhow::Result<Settings> {
        self.settings_of("missing", SECRET_KEY)
    }

    /// Returns settings with a wrong secret for a bucket that exists.
    ///
    /// # Errors
    /// Returns an error in the same case as [`S3Server::settings`].
    pub fn wrong_credentials_settings(&self) -> anyhow::Result<Settings> {
        self.settings("closed")?;
        self.settings_of("closed", "wrong-secret-key")
    }

    /// Delays the answer to each request, as a server that is far away does.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.handler.delay_millis.store(millis, Ordering::Relaxed);
    }

    /// Refuses to read the objects whose keys contain one of these texts, instead of those before.
    ///
    /// # Panics
    /// Panics only if another thread panicked.
    pub fn set_unreadable(&self, keys: Vec<String>) {
        *self.handler.unreadable.lock().expect("no panic") = keys;
    }

    /// Overwrites objects although `If-None-Match: *` forbids it, as s3rver 3.7.1 does.
    pub fn ignore_conditions(&self, ignore: bool) {
        self.handler.ignores_conditions.store(ignore, Ordering::Relaxed);
    }

    /// Lets writes of the objects whose keys contain this text fail, until it is set to `None`.
    ///
    /// # Panics
    /// Panics only if another thread panicked.
    pub fn set_failing_writes(&self, failing: Option<(&'static str, Failure)>) {
        *self.handler.failing_writes.lock().expect("no panic") = failing;
    }

    /// Does not answer reads of the objects whose keys contain one of these texts, until they are replaced by others.
    pub fn set_silent(&self, keys: Vec<String>) {
        self.handler.silent.send_replace(keys);
    }

    /// Returns the number of requests that were answered so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.handler.requests.load(Ordering::Relaxed)
    }

    /// Stops the server: new connections are refused, and open ones are cut.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            // The task ends as cancelled, as intended. After that, the port is closed.
            let _ = running.await;
        }
    }

    /// Starts the server again with all its objects, at the same address.
    ///
    /// # Errors
    /// Returns an error if the port was taken in the meantime.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await?;
        self.running = Some(tokio::spawn(serve(listener, self.handler.clone())));
        Ok(())
    }

    fn settings_of(&self, bucket: &str, secret_key: &str) -> anyhow::Result<Settings> {
        Ok(Settings::S3 {
            bucket: bucket.to_owned(),
            credentials: S3Credentials::Key {
                id: ACCESS_KEY.into(),
                secret: secret_key.into(),
                session_token: None,
            },
            region: "us-east-1".to_owned(),
            endpoint: Some(self.url().parse()?),
        })
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Serves until the task is aborted, which also ends the connections.
async fn serve(listener: TcpListener, handler: Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let handler = handler.clone();
                let service = service_fn(move |request| handler.clone().handle(request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[derive(Clone)]
struct Handler {
    root: Arc<Path>,
    service: S3Service,
    /// A lock for each key that was ever created conditionally.
    creations: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
    requests: Arc<AtomicU64>,
    delay_millis: Arc<AtomicU64>,
    /// The parts of keys of objects that cannot be read.
    unreadable: Arc<Mutex<Vec<String>>>,
    /// Whether the condition of writes is ignored.
    ignores_conditions: Arc<AtomicBool>,
    /// A part of the keys of objects whose writes fail.
    failing_writes: Arc<Mutex<Option<(&'static str, Failure)>>>,
    /// The parts of keys of objects whose reads are not answered.
    silent: watch::Sender<Vec<String>>,
}

impl Handler {
    async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let delay = Duration::from_millis(self.delay_millis.load(Ordering::Relaxed));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let path = request.uri().path().to_owned();
        if !self.has_bucket_of(&path) {
            return Ok(no_such_bucket(request).await);
        }
        let is_read = *request.method() == Method::GET;
        let has_one_of = |keys: &Vec<String>| keys.iter().any(|key| path.contains(key.as_str()));
        if is_read {
            // The sender is in `self`, so that it cannot be gone.
            let _ = self.silent.subscribe().wait_for(|keys| !has_one_of(keys)).await;
        }
        if is_read
            && has_one_of(
                &self
                    .unreadable
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            )
        {
            return Ok(empty(StatusCode::FORBIDDEN));
        }
        let failure = match *self
            .failing_writes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            Some((key, failure)) if *request.method() == Method::PUT && path.contains(key) => Some(failure),
            _ => None,
        };
        if failure == Some(Failure::Refused) {
            return Ok(empty(StatusCode::FORBIDDEN));
        }
        let service = self.service.clone();
        let answer = if request.headers().contains_key(IF_NONE_MATCH) {
            // s3s-fs first checks and then writes, so two creations could both succeed without a lock.
            let lock = self.lock_of(path.clone());
            let _held = lock.lock().await;
            if self.ignores_conditions.load(Ordering::Relaxed) {
                // The condition is signed, so that it cannot be removed. It holds if there is no object.
                let _ = tokio::fs::remove_file(self.root.join(path.trim_start_matches('/'))).await;
            }
            hyper::service::Service::call(&service, request).await
        } else {
            hyper::service::Service::call(&service, request).await
        };
        match failure {
            Some(Failure::Unconfirmed) => return Ok(empty(StatusCode::FORBIDDEN)),
            Some(Failure::Interrupted) => {
                *self
                    .failing_writes
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                return Ok(empty(StatusCode::INTERNAL_SERVER_ERROR));
            }
            Some(Failure::Refused) | None => {}
        }
        Ok(answer.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR)))
    }

    fn has_bucket_of(&self, path: &str) -> bool {
        let bucket = path.split('/').nth(1).unwrap_or_default();
        self.root.join(bucket).is_dir()
    }

    fn lock_of(&self, path: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.creations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        locks.entry(path).or_default().clone()
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// For an absent bucket, s3s-fs answers that the object is absent, and creates the bucket when an object is put. S3 answers that the bucket
/// is absent.
async fn no_such_bucket(request: Request<Incoming>) -> Response<Body> {
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchBucket</Code>\
        <Message>The specified bucket does not exist</Message></Error>";
    let body = match *request.method() {
        Method::HEAD => Body::empty(),
        _ => Body::from(xml.to_owned()),
    };
    // A client that gets an answer before it has sent everything may see only a broken connection.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/xml"));
    response
}
