//! GraphQL: the Discovery API, about the nodes of environments and runs, and the lists of the Semantic Layer.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State as Extracted};
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use discovery::{Answer, Api, Loaded, MAX_BODY, MAX_TIME, Memory, PAGE, PageFile, Query, QueryError, page_file};
use edge::{CloudError, hold_until_sent};
use futures_util::stream;
use http_body_util::LengthLimitError;
use read_model::outage::{is_conflict, is_outage};

use crate::error::Error;
use crate::state::State;
use crate::view::Reader;

/// How long a connection to PostgreSQL is kept while a query is still arriving, or waits for memory.
const SOON: Duration = Duration::from_millis(100);

/// Answers a query of the Discovery API.
pub(crate) async fn discovery(state: Extracted<State>, mut reader: Reader, body: Body) -> Result<Response, Error> {
    query(Api::Discovery, &state, &mut reader, body).await
}

/// Answers a query of the Semantic Layer.
pub(crate) async fn semantic_layer(state: Extracted<State>, mut reader: Reader, body: Body) -> Result<Response, Error> {
    query(Api::SemanticLayer, &state, &mut reader, body).await
}

/// Answers a query. Its errors are in the body of a 200, as clients of GraphQL expect.
async fn query(api: Api, state: &State, reader: &mut Reader, body: Body) -> Result<Response, Error> {
    match answer(api, state, reader, body).await {
        Ok(answer) => Ok(response(answer)),
        Err(discovery::Error::Query(errors)) => Ok(response(Answer::of_errors(&errors))),
        Err(discovery::Error::Database(error)) => Err(error.into()),
        Err(discovery::Error::Busy) => Err(CloudError::busy().into()),
        Err(discovery::Error::Late) => {
            let seconds = MAX_TIME.as_secs();
            let error = QueryError::too_slow(format!(
                "the answer takes too long: at most {seconds} s are allowed, and less for each statement; ask for less"
            ));
            Ok(response(Answer::of_errors(&[error])))
        }
        Err(discovery::Error::Internal(cause)) => Err(Error::unreadable(&cause)),
    }
}

async fn answer(api: Api, state: &State, reader: &mut Reader, body: Body) -> Result<Answer, discovery::Error> {
    let reading = tokio::time::timeout(MAX_TIME, to_bytes(body, MAX_BODY));
    let read = resting(reader, reading).await;
    let body = read.map_err(|_| discovery::Error::Late)?.map_err(unread)?;
    let query = Query::read(api, &body).await?;
    if let Some(answer) = state.discovery.introspection(&query).await? {
        return Ok(answer);
    }
    let mut memory = resting(reader, state.discovery.admit(&query)).await?;
    let loaded = match loaded(state, reader, &query, &mut memory).await {
        Err(discovery::Error::Database(error)) if may_succeed_again(&error, reader.turn_to_primary(state)) => {
            loaded(state, reader, &query, &mut memory).await?
        }
        loaded => loaded?,
    };
    state.discovery.write(loaded, memory).await
}

/// Whether a read may succeed on the primary: others were in the way, or another server was read.
fn may_succeed_again(error: &sqlx::Error, was_on_replica: bool) -> bool {
    is_conflict(error) || (was_on_replica && is_outage(error))
}

/// Waits for something, if it takes long without a connection to PostgreSQL.
async fn resting<T>(reader: &mut Reader, waiting: impl Future<Output = T>) -> T {
    let mut waiting = pin!(waiting);
    match tokio::time::timeout(SOON, &mut waiting).await {
        Ok(ended) => ended,
        Err(_) => {
            reader.rest();
            waiting.await
        }
    }
}

/// Why a body was not read.
fn unread(error: axum::Error) -> QueryError {
    if error.into_inner().is::<LengthLimitError>() {
        let limit = MAX_BODY >> 10;
        return QueryError::too_large(format!("the request is longer than {limit} KiB"));
    }
    QueryError::incomplete("the request ended before all of it had arrived")
}

/// Reads the data from the first account of the token that has all that the query names.
async fn loaded(
    state: &State,
    reader: &mut Reader,
    query: &Query,
    memory: &mut Memory,
) -> Result<Loaded, discovery::Error> {
    let mut not_found = None;
    for account in reader.accounts() {
        let Some(mut view) = reader.view(state, account).await? else {
            continue;
        };
        let loaded = state.discovery.load(query, view.connection(), account, memory).await?;
        if !loaded.is_not_found() {
            return Ok(loaded);
        }
        not_found.get_or_insert(loaded);
    }
    not_found.ok_or_else(|| QueryError::no_account().into())
}

fn response(answer: Answer) -> Response {
    let pieces = answer.pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
    let mut response = Body::from_stream(stream::iter(pieces)).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match answer.memory {
        Some(memory) => hold_until_sent(response, memory),
        None => response,
    }
}

/// Shows GraphiQL to browsers. Other clients must send their queries with POST.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return file(PAGE);
    }
    CloudError::method_not_allowed().into_response()
}

/// Sends a file of GraphiQL.
pub(crate) async fn page_part(Path(name): Path<String>) -> Response {
    page_file(&name).map_or_else(|| CloudError::not_found().into_response(), file)
}

fn file(file: PageFile) -> Response {
    let mut response = Body::from(file.content).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    if file.is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_long_bodies_are_too_long() {
        let long = to_bytes(Body::from("ab"), 1).await.unwrap_err();
        assert_eq!(unread(long).code, "QUERY_TOO_LARGE");
        let broken = stream::iter([Err::<&str, _>(std::io::Error::other("the client left"))]);
        let broken = to_bytes(Body::from_stream(broken), 1).await.unwrap_err();
        assert_eq!(unread(broken).code, "BAD_USER_INPUT");
    }
}
