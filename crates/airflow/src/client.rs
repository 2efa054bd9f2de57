//! The client. It only reads.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::answers::{self, Page, Token};
use crate::{Dag, DagRun, Error, Login};

/// How long connecting to Airflow may take.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long an answer may take. Airflow 2 hashes the password for each request.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// The largest answer, in bytes. A run may contain a configuration of any size.
const MAX_ANSWER: usize = 16 << 20;

/// The page size, which is Airflow's default maximum.
const PAGE: u64 = 100;

/// The largest number of rows in all pages of a listing.
const MAX_ROWS: u64 = 200_000;

/// The two versions of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The API of Airflow 2.
    V1,
    /// The API of Airflow 3.
    V2,
}

/// A client of an Airflow.
pub struct Airflow {
    http: reqwest::Client,
    /// The URL without a trailing slash.
    url: String,
    login: Login,
    /// The version of the API. `None` if it is not known yet, or may have changed.
    version: Option<Version>,
    /// The token that Airflow 3 issued for the username and password.
    token: Option<SecretString>,
}

/// Which runs are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Runs that changed at this time or later.
    ChangedSince(DateTime<Utc>),
    /// Runs that began at this time or later.
    StartedSince(DateTime<Utc>),
    /// Runs that are queued or running.
    Active,
}

/// A list of runs.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The runs, in the order in which Airflow created them.
    pub runs: Vec<DagRun>,
    /// The time of the first page, by Airflow's clock.
    pub date: Option<DateTime<Utc>>,
}

impl Airflow {
    /// Creates a client of the Airflow at this URL. It does not send a request yet.
    ///
    /// # Errors
    /// Fails if TLS is not available on this system.
    pub fn new(url: &Url, login: Login) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(MAX_CONNECT_TIME)
            .timeout(MAX_ANSWER_TIME)
            // A redirect leads to a login page for people, or would send the password to another host.
            .redirect(redirect::Policy::none())
            .user_agent("dbt-api")
            .build()?;
        Ok(Self {
            http,
            url: url.as_str().trim_end_matches('/').to_owned(),
            login,
            version: None,
            token: None,
        })
    }

    /// Lists runs of all DAGs that the user may read.
    ///
    /// # Errors
    /// Fails if Airflow does not return all of them.
    pub async fn runs(&mut self, which: Which) -> Result<Listing, Error> {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        // Order by the id in Airflow's database, which never changes. Rows may then appear twice, but none is missed because it moved to a
        // page that was already read.
        let mut query = vec![("order_by", "id".to_owned())];
        match which {
            Which::ChangedSince(since) => query.push(("updated_at_gte", time(since))),
            Which::StartedSince(since) => query.push(("start_date_gte", time(since))),
            Which::Active => query.extend(["queued", "running"].map(|state| ("state", state.to_owned()))),
        }
        let (runs, date) = self
            .list("its DAG runs", "dags/~/dagRuns", &query, DagRun::read)
            .await?;
        Ok(Listing { runs, date })
    }

    /// Returns a run by its id, or `None` if Airflow does not have it.
    ///
    /// # Errors
    /// Fails if Airflow does not answer, or answers with an error.
    pub async fn run(&mut self, dag_id: &str, run_id: &str) -> Result<Option<DagRun>, Error> {
        let what = "a DAG run";
        let path = format!("dags/{}/dagRuns/{}", encoded(dag_id), encoded(run_id));
        let (status, _, body) = self.get(&path, &[]).await?;
        // A proxy or a server of another version also answers 404, but does not mention this run.
        if status == StatusCode::NOT_FOUND && answers::said(&body).is_some_and(|said| said.contains(run_id)) {
            return Ok(None);
        }
        let row: Value = read(what, status, &body)?;
        DagRun::read(&row).map(Some).ok_or_else(|| Error::Unreadable {
            what,
            cause: "dag_id, dag_run_id or state is missing".to_owned(),
        })
    }

    /// Lists the active DAGs that the user may read.
    ///
    /// # Errors
    /// Fails if Airflow does not return all of them.
    pub async fn dags(&mut self) -> Result<Vec<Dag>, Error> {
        let query = [("order_by", "dag_id".to_owned())];
        let (dags, _) = self.list("its DAGs", "dags", &query, Dag::read).await?;
        Ok(dags)
    }

    /// Reads all pages of a listing, and converts each row with `take`, which returns `None` for rows to skip. Only the converted rows are kept,
    /// because Airflow's rows are much larger.
    async fn list<T>(
        &mut self,
        what: &'static str,
        path: &str,
        query: &[(&str, String)],
        take: impl Fn(&Value) -> Option<T>,
    ) -> Result<(Vec<T>, Option<DateTime<Utc>>), Error> {
        let (mut rows, mut date, mut offset) = (Vec::new(), None, 0);
        loop {
            let mut query = query.to_vec();
            query.extend([("limit", PAGE.to_string()), ("offset", offset.to_string())]);
            let (status, headers, body) = self.get(path, &query).await?;
            if status == StatusCode::NOT_FOUND {
                // Airflow may have been upgraded.
                self.version = None;
            }
            let page: Page = read(what, status, &body)?;
            if offset == 0 {
                date = date_of(&headers);
            }
            // Count the rows that came: the server may return fewer than requested.
            offset += page.rows.len() as u64;
            rows.extend(page.rows.iter().filter_map(&take));
            if page.rows.is_empty() || offset >= page.total_entries {
                return Ok((rows, date));
            }
            if offset >= MAX_ROWS {
                let cause = format!("there are more than {MAX_ROWS} rows");
                return Err(Error::Unreadable { what, cause });
            }
        }
    }

    async fn get(&mut self, path: &str, query: &[(&str, String)]) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let version = self.version().await?;
        let api = match version {
            Version::V1 => "v1",
            Version::V2 => "v2",
        };
        let mut url = format!("{}/api/{api}/{path}", self.url);
        for (index, (name, value)) in query.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            url.extend([mark.to_string(), format!("{name}={}", encoded(value))]);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let has_token = self.token.is_some();
            let request = self.http.get(&url);
            let answer = self.with_login(version, request).await?.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = body_of(answer).await?;
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if refused && has_token && tries == 1 {
                // The token may have expired, or Airflow may have changed its key since.
                self.token = None;
                continue;
            }
            if refused {
                return Err(Error::Login {
                    status: status.as_u16(),
                    said: words(&body),
                });
            }
            return Ok((status, headers, body));
        }
    }

    async fn with_login(&mut self, version: Version, request: RequestBuilder) -> Result<RequestBuilder, Error> {
        let (username, password) = match (&self.login, version) {
            (Login::Token(token), _) => return Ok(request.bearer_auth(token.expose_secret())),
            (Login::Password { username, password }, Version::V1) => {
                return Ok(request.basic_auth(username, Some(password.expose_secret())));
            }
            (Login::Password { username, password }, Version::V2) => (username, password),
        };
        let token = match self.token.take() {
            Some(token) => token,
            None => {
                let login = json!({ "username": username, "password": password.expose_secret() });
                let asked = self.http.post(format!("{}/auth/token", self.url)).json(&login);
                let answer = asked.send().await?;
                let status = answer.status();
                let body = body_of(answer).await?;
                if status.is_client_error() {
                    let (status, said) = (status.as_u16(), words(&body));
                    return Err(Error::Login { status, said });
                }
                let token: Token = read("the login", status, &body)?;
                token.access_token.into()
            }
        };
        let request = request.bearer_auth(token.expose_secret());
        self.token = Some(token);
        Ok(request)
    }

    /// Finds out the version of the API, which does not need a login.
    async fn version(&mut self) -> Result<Version, Error> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        for (version, path) in [(Version::V2, "v2"), (Version::V1, "v1")] {
            let answer = self.http.get(format!("{}/api/{path}/version", self.url)).send().await?;
            let status = answer.status();
            let body = body_of(answer).await?;
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                return Err(refused("its version", status, &body));
            }
            let parsed: Option<Value> = serde_json::from_slice(&body).ok();
            if status.is_success() && parsed.is_some_and(|value| value.get("version").is_some()) {
                self.version = Some(version);
                self.token = None;
                return Ok(version);
            }
        }
        Err(Error::NoAirflow)
    }
}

/// Encodes all characters that RFC 3986 does not call unreserved, for paths and queries: ids contain `+`, `:` and more.
fn encoded(text: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn read<T: DeserializeOwned>(what: &'static str, status: StatusCode, body: &[u8]) -> Result<T, Error> {
    if !status.is_success() {
        return Err(refused(what, status, body));
    }
    serde_json::from_slice(body).map_err(|error| Error::Unreadable {
        what,
        cause: error.to_string(),
    })
}

fn refused(what: &'static str, status: StatusCode, body: &[u8]) -> Error {
    Error::Refused {
        what,
        status: status.as_u16(),
        said: words(body),
    }
}

fn words(body: &[u8]) -> String {
    answers::said(body).unwrap_or_else(|| "no message from Airflow".to_owned())
}

fn date_of(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc())
}

async fn body_of(mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let cause = format!("it is larger than {MAX_ANSWER} bytes");
            return Err(Error::Unreadable { what: "data", cause });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
