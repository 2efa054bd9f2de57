//! A page of a list.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

/// Which rows of a list are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// How many at most.
    pub limit: i64,
    /// How many to pass over.
    pub offset: i64,
}

/// In what order. Ties are broken by id the same way, and nulls come last whichever way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<F> {
    /// By what.
    pub field: F,
    /// The highest first.
    pub descending: bool,
}

impl<F> Order<F> {
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>, (column, has_nulls): (&'static str, bool)) {
        let direction = if self.descending { "DESC" } else { "ASC" };
        // Said of a column without nulls, it would keep PostgreSQL from reading an index backwards.
        let nulls = if has_nulls { " NULLS LAST" } else { "" };
        query.push(format_args!(" ORDER BY {column} {direction}{nulls}"));
        if column != "id" {
            query.push(format_args!(", id {direction}"));
        }
    }
}

/// Some rows of a list, and how many it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Those asked for.
    pub rows: Vec<T>,
    /// Of the whole list.
    pub total: i64,
}

impl Paging {
    /// The limit is part of the text: of a parameter PostgreSQL does not know that few rows are wanted, and plans anew each time.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(format_args!(" LIMIT {}", self.limit));
        if self.offset != 0 {
            query.push(" OFFSET ").push_bind(self.offset);
        }
    }

    /// How many rows the list has, if this page of it tells: one that is not full is the last.
    pub(super) fn total_if_last(&self, rows: usize) -> Option<i64> {
        let rows = i64::try_from(rows).ok()?;
        let is_last = rows < self.limit && (rows > 0 || self.offset == 0);
        is_last.then_some(self.offset + rows)
    }

    /// Fetches the page; rows are counted only where it does not tell their number.
    pub(super) async fn fetch<T>(
        &self,
        connection: &mut PgConnection,
        mut page: QueryBuilder<Postgres>,
        mut count: QueryBuilder<Postgres>,
    ) -> sqlx::Result<Page<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = page.build_query_as().fetch_all(&mut *connection).await?;
        let total = match self.total_if_last(rows.len()) {
            Some(total) => total,
            None => count.build_query_scalar().fetch_one(connection).await?,
        };
        Ok(Page { rows, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_page_tells_the_total() {
        let paging = Paging { limit: 3, offset: 6 };
        assert_eq!(paging.total_if_last(2), Some(8));
        assert_eq!(paging.total_if_last(3), None);
        assert_eq!(paging.total_if_last(0), None);
        assert_eq!(Paging { offset: 0, ..paging }.total_if_last(0), Some(0));
    }
}
