//! The servers of a database, of which one is used at a time.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a server may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two looks at the server that is used.
const PAUSE: Duration = Duration::from_secs(1);

/// What a server must be, to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It accepts writes, which a standby does not.
    Writes,
    /// It answers.
    Reads,
}

impl Wanted {
    /// The values of `target_session_attrs` that ask for such a server.
    pub(crate) fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Writes => &["read-write", "primary"],
            Self::Reads => &["any", "standby", "prefer-standby", "read-only"],
        }
    }
}

/// The servers of a database. Cheap to clone; all clones use the same server.
#[derive(Clone)]
pub(crate) struct Hosts {
    servers: Arc<[PgConnectOptions]>,
    wanted: Wanted,
    chosen: Arc<watch::Sender<Chosen>>,
}

/// The server that is used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) index: usize,
    /// Since when, if another server was used before.
    since: Option<Instant>,
}

impl Chosen {
    /// Whether a connection of this age may be one to the server that was used before.
    pub(crate) fn is_newer_than(self, age: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() <= age)
    }
}

impl Hosts {
    /// The only server of a database.
    pub(crate) fn one(options: PgConnectOptions) -> Self {
        Self::of(vec![options], Wanted::Writes)
    }

    pub(crate) fn of(servers: Vec<PgConnectOptions>, wanted: Wanted) -> Self {
        Self {
            servers: servers.into(),
            wanted,
            chosen: Arc::default(),
        }
    }

    /// Reads the URL of a database with one host or several, separated by commas, as libpq's (PostgreSQL 18, 32.1.1.2). Returns `None` if it is
    /// none, or if its `target_session_attrs` asks for another server than is wanted.
    pub(crate) fn from_url(url: &str, wanted: Wanted) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !["postgres", "postgresql"].contains(&scheme) {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, hosts) = authority
            .rsplit_once('@')
            .map_or(("", authority), |(login, hosts)| (login, hosts));
        let login = if authority.contains('@') {
            format!("{login}@")
        } else {
            String::new()
        };
        let path = without_target(path, wanted)?;
        let servers = hosts
            .split(',')
            .map(|host| PgConnectOptions::from_str(&format!("{scheme}://{login}{host}{path}")).ok());
        Some(Self::of(servers.collect::<Option<_>>()?, wanted))
    }

    /// The same servers with other options.
    pub(crate) fn map(self, change: impl FnMut(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self {
            servers: self.servers.iter().cloned().map(change).collect(),
            ..self
        }
    }

    /// The options of the server that is used.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.servers[self.chosen.borrow().index]
    }

    /// The host, or the folder of the Unix socket; several with their ports, and commas between them.
    pub(crate) fn shown(&self) -> String {
        let host = |server: &PgConnectOptions| match server.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => server.get_host().to_owned(),
        };
        match &*self.servers {
            [server] => host(server),
            servers => {
                let shown = servers
                    .iter()
                    .map(|server| format!("{}:{}", host(server), server.get_port()));
                shown.collect::<Vec<_>>().join(",")
            }
        }
    }

    pub(crate) fn are_several(&self) -> bool {
        self.servers.len() > 1
    }

    pub(crate) fn chosen(&self) -> Chosen {
        *self.chosen.borrow()
    }

    /// Opens a pool that connects to the server that is used, with options that `dress` completes. If another one is used later, the pool
    /// drops its connections to the first when they are used next.
    pub(crate) fn pool(
        &self,
        pool: PgPoolOptions,
        dress: impl Fn(&PgConnectOptions) -> PgConnectOptions + Send + 'static,
    ) -> PgPool {
        if !self.are_several() {
            return pool.connect_lazy_with(dress(self.options()));
        }
        let mut changes = self.chosen.subscribe();
        let chosen = changes.clone();
        let pool = pool.before_acquire(move |_, connection| {
            let is_old = chosen.borrow().is_newer_than(connection.age);
            Box::pin(async move { Ok(!is_old) })
        });
        let pool = pool.connect_lazy_with(dress(self.options()));
        let (following, hosts) = (pool.clone(), self.clone());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                following.set_connect_options(dress(hosts.options()));
            }
        });
        pool
    }

    /// Chooses the first server that is as wanted, if there are several. If none is, nothing changes.
    pub(crate) async fn choose(&self) {
        if self.are_several() && self.ask(&mut None).await.is_err() {
            self.choose_another().await;
        }
    }

    /// Keeps a server chosen that is as wanted, until the shutdown. There is nothing to do if there is only one.
    pub(crate) async fn follow(self, shutdown: CancellationToken) {
        if self.are_several() {
            shutdown.run_until_cancelled(self.keep_chosen()).await;
        }
    }

    async fn keep_chosen(self) {
        let mut connection = None;
        loop {
            if self.ask(&mut connection).await.is_err() {
                connection = None;
                self.choose_another().await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn choose_another(&self) {
        for (index, server) in self.servers.iter().enumerate() {
            if is_wanted(server, self.wanted, &mut None).await.is_ok() {
                if index != self.chosen.borrow().index {
                    tracing::warn!(
                        host = server.get_host(),
                        port = server.get_port(),
                        "another server of PostgreSQL is used"
                    );
                    let since = Some(Instant::now());
                    self.chosen.send_replace(Chosen { index, since });
                }
                return;
            }
        }
    }

    /// Asks the server that is used whether it is as wanted.
    async fn ask(&self, connection: &mut Option<PgConnection>) -> sqlx::Result<()> {
        let server = self.options().clone();
        is_wanted(&server, self.wanted, connection).await
    }
}

/// Asks a server whether it is as wanted, on this connection if there is one.
async fn is_wanted(
    server: &PgConnectOptions,
    wanted: Wanted,
    connection: &mut Option<PgConnection>,
) -> sqlx::Result<()> {
    let asking = async {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(PgConnection::connect_with(server).await?),
        };
        match wanted {
            Wanted::Reads => open.ping().await,
            Wanted::Writes => {
                let is_read_only = "SELECT current_setting('transaction_read_only')::boolean";
                // Without a prepared statement, which poolers may not keep.
                match sqlx::Row::try_get(&sqlx::raw_sql(is_read_only).fetch_one(open).await?, 0)? {
                    true => Err(sqlx::Error::Protocol("the server is read-only".to_owned())),
                    false => Ok(()),
                }
            }
        }
    };
    timeout(PATIENCE, asking)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The path and the query of a URL without `target_session_attrs`, which sqlx does not know. Returns `None` if it asks for another server than
/// is wanted.
fn without_target(path: &str, wanted: Wanted) -> Option<String> {
    let Some((path, query)) = path.split_once('?') else {
        return Some(path.to_owned());
    };
    let (targets, others): (Vec<&str>, Vec<&str>) = query
        .split('&')
        .partition(|parameter| parameter.starts_with("target_session_attrs="));
    let is_allowed = |target: &&str| {
        target
            .split_once('=')
            .is_some_and(|(_, value)| wanted.targets().contains(&value))
    };
    targets.iter().all(is_allowed).then(|| {
        if others.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", others.join("&"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str, wanted: Wanted) -> Option<String> {
        Hosts::from_url(url, wanted).map(|hosts| hosts.shown())
    }

    #[test]
    fn a_url_may_name_several_hosts() {
        let url = "postgresql://u:p%40@a.example,b.example:5433/name?target_session_attrs=read-write&sslmode=require";
        let several = Hosts::from_url(url, Wanted::Writes).unwrap();
        assert_eq!(several.shown(), "a.example:5432,b.example:5433");
        for server in &*several.servers {
            assert_eq!((server.get_username(), server.get_database()), ("u", Some("name")));
        }
        assert_eq!(hosts(url, Wanted::Reads), None);
        assert_eq!(hosts("postgres://u@a/name", Wanted::Reads).unwrap(), "a");
        assert_eq!(
            hosts("postgres://u@a,b/name?target_session_attrs=any", Wanted::Reads).unwrap(),
            "a:5432,b:5432"
        );
        for wrong in ["mysql://u@a/name", "postgres://u@a:x,b/name", "a,b"] {
            assert_eq!(hosts(wrong, Wanted::Writes), None, "{wrong}");
        }
    }

    #[test]
    fn connections_to_a_former_server_are_old() {
        let never = Chosen::default();
        assert!(!never.is_newer_than(Duration::from_secs(3600)));
        let now = Chosen {
            index: 1,
            since: Some(Instant::now()),
        };
        assert!(now.is_newer_than(Duration::from_secs(3600)));
    }
}
