//! The client. It asks, and changes nothing.

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

/// How long it may take to reach Airflow.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long an answer may take. Airflow 2 hashes the password for each.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// How many bytes an answer may have. A run may hold a configuration of any size.
const LARGEST_ANSWER: usize = 16 << 20;

/// How many rows are asked for at a time: Airflow's own most, unless its operator set another.
const PAGE: u64 = 100;

/// How many rows a listing may have in all.
const MAX_ROWS: u64 = 200_000;

/// The two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Of Airflow 2.
    V1,
    /// Of Airflow 3.
    V2,
}

/// An Airflow.
pub struct Airflow {
    http: reqwest::Client,
    /// Without a slash at the end.
    url: String,
    login: Login,
    /// None: not asked yet, or it may have changed.
    version: Option<Version>,
    /// Of Airflow 3, for a username and password.
    token: Option<SecretString>,
}

/// Which runs are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that changed at this time or later.
    ChangedSince(DateTime<Utc>),
    /// Those that began at this time or later.
    StartedSince(DateTime<Utc>),
    /// Those that are queued or run.
    Active,
}

/// Runs, and when they were told by Airflow's clock.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// In the order in which Airflow made them.
    pub runs: Vec<DagRun>,
    /// When the first page of them was made.
    pub date: Option<DateTime<Utc>>,
}

impl Airflow {
    /// A client of the Airflow at this URL. It asks nothing yet.
    ///
    /// # Errors
    /// When the system has no TLS.
    pub fn new(url: &Url, login: Login) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(MAX_CONNECT_TIME)
            .timeout(MAX_ANSWER_TIME)
            // A redirect leads to a page for people to log in at, or the password to where it does not belong.
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
    /// When Airflow does not tell all of them.
    pub async fn runs(&mut self, which: Which) -> Result<Listing, Error> {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        // By the id in Airflow's database, which never changes: rows may then only come twice, and not move from a page that is still
        // to be read to one that was.
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

    /// A run by its id. None: Airflow has none such.
    ///
    /// # Errors
    /// When Airflow does not tell.
    pub async fn run(&mut self, dag_id: &str, run_id: &str) -> Result<Option<DagRun>, Error> {
        let what = "a DAG run";
        let path = format!("dags/{}/dagRuns/{}", encoded(dag_id), encoded(run_id));
        let (status, _, body) = self.get(&path, &[]).await?;
        // A proxy, or a server of another version, says 404 too, but not of this run.
        if status == StatusCode::NOT_FOUND && answers::said(&body).is_some_and(|said| said.contains(run_id)) {
            return Ok(None);
        }
        let row: Value = read(what, status, &body)?;
        DagRun::read(&row).map(Some).ok_or_else(|| Error::Unreadable {
            what,
            cause: "dag_id, dag_run_id or state is missing".to_owned(),
        })
    }

    /// Lists the DAGs that are in use and that the user may read.
    ///
    /// # Errors
    /// When Airflow does not tell all of them.
    pub async fn dags(&mut self) -> Result<Vec<Dag>, Error> {
        let query = [("order_by", "dag_id".to_owned())];
        let (dags, _) = self.list("its DAGs", "dags", &query, Dag::read).await?;
        Ok(dags)
    }

    /// All rows that `take` makes something of, page by page: Airflow tells much more of each than is kept.
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
                // Perhaps it was upgraded.
                self.version = None;
            }
            let page: Page = read(what, status, &body)?;
            if offset == 0 {
                date = date_of(&headers);
            }
            // As many as came: the server may give fewer than were asked for.
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
        for (place, (name, value)) in query.iter().enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
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
                // It may have ended, or be of before Airflow changed its key.
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

    /// Which of the two it is. Neither asks for a login to tell.
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
            let told: Option<Value> = serde_json::from_slice(&body).ok();
            if status.is_success() && told.is_some_and(|told| told.get("version").is_some()) {
                self.version = Some(version);
                self.token = None;
                return Ok(version);
            }
        }
        Err(Error::NoAirflow)
    }
}

/// All but what RFC 3986 calls unreserved, in paths and in queries: ids hold `+`, `:` and more.
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
    answers::said(body).unwrap_or_else(|| "without a word of Airflow's".to_owned())
}

fn date_of(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc())
}

async fn body_of(mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            let cause = format!("it has more than {LARGEST_ANSWER} bytes");
            return Err(Error::Unreadable {
                what: "a request",
                cause,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
