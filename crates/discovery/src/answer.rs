//! Answers queries.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::parser::types::ExecutableDocument;
use schemas::AccountId;
use serde_json::{Value as Json, json};
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Api;
use crate::document::{check_of_schema, prepare};
use crate::error::{Error, QueryError};
use crate::graph::Graphs;
use crate::memory::{Memory, wait_for};
use crate::plan::{Selection, TYPENAME, plan, roots};
use crate::request::Request;
use crate::resolve::{Resolved, Resolver};
use crate::search::Indexes;
use crate::tree::Tree;
use crate::write::{Frames, MAX_ANSWER, Pieces, Writer};

/// The maximum duration of a query.
pub const MAX_TIME: Duration = Duration::from_secs(30);

/// How long an answer waits for its turn and for memory, together.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The memory for answers that are being made or sent, in MiB. Others wait.
const MEMORY_MIB: usize = MAX_ANSWER >> 20;

/// How many answers are written at the same time for each core. More would not be ready sooner, and each takes memory; with only one, small
/// answers would wait for large ones.
const WRITERS_OF_CORE: usize = 2;

/// The fields at the root that are about the schema.
const OF_SCHEMA: [&str; 2] = ["__schema", "__type"];

/// The memory that an answer about the schema may take while it is made, in MiB.
const SCHEMA_MIB: usize = 64;

/// Answers queries. Cheap to clone; what it keeps in memory is shared.
#[derive(Clone, Debug)]
pub struct Discovery {
    pub(crate) graphs: Graphs,
    pub(crate) indexes: Indexes,
    memory: Arc<Semaphore>,
    /// Limits the answers about data that are written at the same time.
    writers: Arc<Semaphore>,
}

impl Default for Discovery {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            graphs: Graphs::default(),
            indexes: Indexes::default(),
            memory: Arc::new(Semaphore::new(MEMORY_MIB)),
            writers: Arc::new(Semaphore::new(cores * WRITERS_OF_CORE)),
        }
    }
}

/// A query that was checked. It is about data of an account, unless [`Discovery::introspection`] answers it.
#[derive(Debug)]
pub struct Query {
    api: Api,
    document: ExecutableDocument,
    selection: Arc<Selection>,
    is_introspection: bool,
    until: Instant,
}

/// A query with everything that its answer needs, so that no connection is needed any more.
pub struct Loaded {
    resolved: Resolved,
    until: Instant,
}

impl Loaded {
    /// Whether something that the query names was not found: it may belong to another account of the token.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.resolved.errors.iter().any(QueryError::is_not_found)
    }

    /// About as many bytes as an answer takes that has each node once.
    fn size(&self) -> usize {
        let mut counted = HashSet::new();
        let datas = self.resolved.datas.iter().map(|data| data.size(&mut counted));
        datas.sum::<usize>() + self.resolved.tree.as_ref().map_or(0, Tree::size)
    }
}

/// The text of an answer, in pieces, with what it reserves.
#[derive(Debug)]
pub struct Answer {
    /// The JSON text.
    pub pieces: Pieces,
    /// Reserves the memory that the text takes; to be kept until it has been sent.
    pub memory: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// The answer to a query that cannot be answered.
    #[must_use]
    pub fn of_errors(errors: &[QueryError]) -> Self {
        let errors: Json = errors.iter().map(QueryError::json).collect();
        let text = json!({ "data": null, "errors": errors }).to_string();
        Self {
            pieces: Pieces(vec![text.into()]),
            memory: None,
        }
    }

    /// An answer that holds what its text takes of a reservation. The rest is for others while it is sent.
    fn holding(pieces: Pieces, memory: Memory) -> Self {
        let memory = Some(memory.of_text(pieces.len()));
        Self { pieces, memory }
    }
}

impl Query {
    /// Reads the body of a request, and checks the query against the schema.
    ///
    /// # Errors
    /// Returns an error that says what is wrong with the query.
    pub async fn read(api: Api, body: &[u8]) -> Result<Self, Error> {
        let until = Instant::now() + MAX_TIME;
        let document = prepare(&Request::read(body)?, api)?;
        let roots = roots(&document, api.types())?;
        let is_introspection = roots.iter().any(|name| OF_SCHEMA.contains(name));
        let is_data = |name: &&&str| !OF_SCHEMA.contains(name) && **name != TYPENAME;
        if let Some(data) = roots.iter().find(is_data).filter(|_| is_introspection) {
            let message = format!(
                "`__schema` and `__type` cannot be asked for together with data, here `{data}`: send two queries"
            );
            return Err(QueryError::invalid(message).into());
        }
        if is_introspection {
            check_of_schema(&document)?;
        }
        let mut request = async_graphql::Request::new("");
        request.set_parsed_query(document.clone());
        // The schema's own fields return nothing: only errors and introspection are of interest here.
        let checked = if is_introspection {
            Vec::new()
        } else {
            check(api, request).await
        };
        if !checked.is_empty() {
            return Err(Error::Query(checked));
        }
        let selection = if is_introspection {
            Selection::default()
        } else {
            plan(&document, api.types())?
        };
        Ok(Self {
            api,
            document,
            selection: Arc::new(selection),
            is_introspection,
            until,
        })
    }
}

async fn check(api: Api, request: async_graphql::Request) -> Vec<QueryError> {
    let response = api.schema().execute(request.data(crate::types::OnlyCheck)).await;
    response.errors.into_iter().map(QueryError::from).collect()
}

impl Discovery {
    /// Answers a query about the schema. Returns `None` if the query is about data.
    ///
    /// # Errors
    /// Returns an error if there is no memory for the answer.
    pub async fn introspection(&self, query: &Query) -> Result<Option<Answer>, Error> {
        if !query.is_introspection {
            return Ok(None);
        }
        let memory = self.reserve(SCHEMA_MIB, query.until).await?;
        let mut request = async_graphql::Request::new("").only_introspection();
        request.set_parsed_query(query.document.clone());
        let schema = query.api.schema();
        // Nothing in it waits. The task owns the reservation, because it continues when its client leaves.
        let executing = tokio::task::spawn_blocking(move || {
            let response = tokio::runtime::Handle::current().block_on(schema.execute(request));
            let errors: Vec<QueryError> = response.errors.into_iter().map(QueryError::from).collect();
            if errors.is_empty() {
                let data = response.data.into_json().unwrap_or_default();
                (Pieces(vec![json!({ "data": data }).to_string().into()]), memory)
            } else {
                (Answer::of_errors(&errors).pieces, memory)
            }
        });
        let (pieces, memory) = executing.await.map_err(|panic| Error::Internal(panic.to_string()))?;
        Ok(Some(Answer::holding(pieces, memory)))
    }

    async fn reserve(&self, mib: usize, deadline: Instant) -> Result<Memory, Error> {
        Memory::reserve(&self.memory, MEMORY_MIB, mib, wait_until(deadline)).await
    }

    /// Waits until there is some memory for an answer. More is reserved when the answer turns out to need it.
    ///
    /// # Errors
    /// Returns [`Error::Busy`] if other answers take all memory for too long.
    pub async fn admit(&self, query: &Query) -> Result<Memory, Error> {
        self.reserve(1, query.until).await
    }

    /// Reads what a query needs. The connection must see only the account.
    ///
    /// # Errors
    /// Returns an error if a statement fails or takes too long, or if there is no memory for what is read.
    pub async fn load(
        &self,
        query: &Query,
        connection: &mut PgConnection,
        account: AccountId,
        memory: &mut Memory,
    ) -> Result<Loaded, Error> {
        let left = query.until.saturating_duration_since(Instant::now());
        let resolver = Resolver::new(connection, account, &self.graphs, memory, query.until);
        let resolving = resolver.resolve(query.api, &query.selection);
        let resolved = tokio::time::timeout(left, resolving).await.map_err(|_| Error::Late)??;
        Ok(Loaded {
            resolved,
            until: query.until,
        })
    }

    /// Writes an answer, once there is memory for it.
    ///
    /// # Errors
    /// Returns an error if the answer is too large or takes too long, or if there is no memory for it.
    pub async fn write(&self, loaded: Loaded, mut memory: Memory) -> Result<Answer, Error> {
        let until = wait_until(loaded.until);
        let writer = wait_for(&self.writers, 1, until).await?;
        memory.wait_for(loaded.size(), until).await?;
        // The task owns the reservations, because it continues when its client leaves.
        let writing = tokio::task::spawn_blocking(move || {
            let _writer = writer;
            write(&loaded, memory)
        });
        let (pieces, memory) = writing.await.map_err(|panic| Error::Internal(panic.to_string()))??;
        Ok(Answer::holding(pieces, memory))
    }
}

/// Returns the time until which an answer waits for its turn and for memory.
fn wait_until(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + MAX_WAIT)
}

fn write(loaded: &Loaded, memory: Memory) -> Result<(Pieces, Memory), Error> {
    let resolved = &loaded.resolved;
    let frames = Frames::new()?;
    let mut writer = Writer::new(&resolved.datas, &frames, loaded.until, memory);
    writer.raw("{\"data\":")?;
    match &resolved.tree {
        Some(tree) => writer.tree(tree)?,
        None => writer.raw("null")?,
    }
    let mut errors: Vec<Json> = resolved.errors.iter().map(QueryError::json).collect();
    if let Some(unreadable) = frames.unreadable() {
        tracing::error!(cause = unreadable, "a stored node is unreadable");
        errors.push(json!({ "message": unreadable, "extensions": { "code": "INTERNAL_SERVER_ERROR" } }));
    }
    if !errors.is_empty() {
        writer.raw(&format!(",\"errors\":{}", Json::from(errors)))?;
    }
    if let Some(extensions) = &resolved.extensions {
        writer.raw(&format!(",\"extensions\":{extensions}"))?;
    }
    writer.raw("}")?;
    Ok(writer.finish())
}
