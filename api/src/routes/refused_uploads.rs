//! Uploads that were refused. They are read from the bucket.

use axum::extract;
use bucket::{Bucket, RefusedOfHour};
use edge::Query;
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::queries::page::Order;
use schemas::AccountId;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::error::Error;
use crate::listing::{Choice, Listing, Many, PageOnly, applied, many};
use crate::resources::refused_upload::RefusedUpload;
use crate::state::State;
use crate::view::{Ids, View};

/// How many bytes of records a request reads at most. An hour with many refused uploads has a megabyte for each process.
const MAX_READ: u64 = 8 << 20;

/// How many objects a request reads at most, each with an hour of a process.
const MAX_OBJECTS: usize = 1_000;

/// How many objects are read at the same time.
const READ_AT_ONCE: usize = 16;

/// Which refused uploads.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
pub(crate) struct RefusedFilters {
    /// Only uploads to this environment.
    environment_id: Option<i64>,
}

/// The field that refused uploads are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefusedOrder {
    RefusedAt,
}

impl Choice for RefusedOrder {
    const ALL: &'static [(&'static str, Self)] = &[("refused_at", Self::RefusedAt)];
}

/// List refused uploads
///
/// Of the account's tokens, also deleted and expired ones, the newest first. They are kept for 30 days and appear within seconds. If there are very
/// many, the list ends with the newest of them. A token that is bound to environments sees those to its environments.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/refused-uploads", tag = "Uploads", operation_id = "list_refused_uploads",
    params(("account_id" = i64, Path), RefusedFilters, PageOnly),
    responses((status = 200, description = "A page of refused uploads", body = Many<RefusedUpload>))
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    view: View,
    Ids(account): Ids<AccountId>,
    Query(filters): Query<RefusedFilters>,
    PageOnly(paging): PageOnly,
) -> Result<Many<RefusedUpload>, Error> {
    let visible = view.environments().map(<[i64]>::to_vec);
    // The bucket may be slow, and the connection is not needed any more.
    drop(view);
    let is_wanted = |record: &bucket::RefusedUpload| {
        let environment = record.environment_id.map(|id| id.0);
        let is_visible = visible
            .as_ref()
            .is_none_or(|visible| environment.is_some_and(|id| visible.contains(&id)));
        let is_asked_for = filters.environment_id.is_none_or(|id| environment == Some(id));
        record.account_id == Some(account) && is_visible && is_asked_for
    };
    let mut found = newest(&state.bucket, is_wanted).await?;
    found.sort_by_key(|record| std::cmp::Reverse(record.time));
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(paging.limit).unwrap_or(0);
    let page = found.into_iter().skip(offset).take(limit);
    let page = page.map(|record| RefusedUpload::new(account, record)).collect();
    let listing = Listing {
        order: Order {
            field: RefusedOrder::RefusedAt,
            descending: true,
        },
        paging,
    };
    Ok(many(page, total, listing, applied(account, &filters)))
}

/// Reads the newest records, as far as the limits allow, and returns the wanted ones.
async fn newest(
    bucket: &Bucket,
    is_wanted: impl Fn(&bucket::RefusedUpload) -> bool,
) -> Result<Vec<bucket::RefusedUpload>, Error> {
    let mut objects = bucket.list_refused(None).await?;
    objects.truncate(MAX_OBJECTS);
    let mut size = 0;
    let objects = objects.into_iter().take_while(|object| {
        size += object.size;
        size <= MAX_READ
    });
    let read = stream::iter(objects).map(|object| async move {
        match bucket.read_refused(&object).await {
            Ok(read) => Ok(read.unwrap_or_default()),
            Err(error) if error.is_unavailable() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "skipped refused uploads that cannot be read");
                Ok(RefusedOfHour::default())
            }
        }
    });
    let mut hours = read.buffered(READ_AT_ONCE);
    let mut found = Vec::new();
    while let Some(hour) = hours.try_next().await? {
        found.extend(hour.records.into_iter().filter(&is_wanted));
    }
    Ok(found)
}
