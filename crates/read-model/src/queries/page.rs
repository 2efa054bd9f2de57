//! A page of a list.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row};

/// The range of rows to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The maximum number of rows.
    pub limit: i64,
    /// The number of rows to skip.
    pub offset: i64,
}

/// The order of rows. Ties are broken by id in the same direction, and nulls always come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<F> {
    /// The field to sort by.
    pub field: F,
    /// Whether the highest value comes first.
    pub descending: bool,
}

impl<F> Order<F> {
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>, (column, has_nulls): (&'static str, bool)) {
        let direction = if self.descending { "DESC" } else { "ASC" };
        // On a column without nulls, the clause would keep PostgreSQL from reading an index backwards.
        let nulls = if has_nulls { " NULLS LAST" } else { "" };
        query.push(format_args!(" ORDER BY {column} {direction}{nulls}"));
        if column != "id" {
            query.push(format_args!(", id {direction}"));
        }
    }
}

/// A range of rows of a list, and the length of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows in the range.
    pub rows: Vec<T>,
    /// The number of rows in the whole list.
    pub total: i64,
}

impl Paging {
    /// The limit is part of the SQL text. If it were a parameter, PostgreSQL would not know that few rows are wanted, and would plan the
    /// query every time.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(format_args!(" LIMIT {}", self.limit));
        if self.offset != 0 {
            query.push(" OFFSET ").push_bind(self.offset);
        }
    }

    /// Returns the length of the list if this page shows it: a page that is not full is the last one.
    pub(super) fn total_if_last(&self, rows: usize) -> Option<i64> {
        let rows = i64::try_from(rows).ok()?;
        let is_last = rows < self.limit && (rows > 0 || self.offset == 0);
        is_last.then_some(self.offset + rows)
    }

    /// Fetches the page, and the length of the list in the same statement. PostgreSQL counts only if the page does not show the length.
    ///
    /// `list` adds the query of the whole list in its order, whose rows have an `id`; `count` adds the query that counts it.
    pub(super) async fn fetch<T>(
        &self,
        connection: &mut PgConnection,
        list: impl FnOnce(&mut QueryBuilder<Postgres>),
        count: impl FnOnce(&mut QueryBuilder<Postgres>),
    ) -> sqlx::Result<Page<T>>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let mut query = QueryBuilder::new("WITH page AS MATERIALIZED (");
        list(&mut query);
        self.push(&mut query);
        query.push(format_args!(
            ") SELECT page.*, total FROM (SELECT CASE WHEN (SELECT count(*) FROM page) = {}",
            self.limit
        ));
        if self.offset != 0 {
            query.push(" OR NOT EXISTS (SELECT FROM page)");
        }
        query.push(" THEN (");
        count(&mut query);
        // An empty page still has a row, which shows the length.
        query.push(") END AS total) AS length LEFT JOIN page ON true");
        let rows = query.build().fetch_all(connection).await?;
        let total = match rows.first() {
            Some(row) => row.try_get("total")?,
            None => None,
        };
        let is_row = |row: &&PgRow| !matches!(row.try_get::<Option<i64>, _>("id"), Ok(None));
        let rows = rows
            .iter()
            .filter(is_row)
            .map(T::from_row)
            .collect::<sqlx::Result<Vec<T>>>()?;
        let total = total.or_else(|| self.total_if_last(rows.len())).unwrap_or_default();
        Ok(Page { rows, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_page_shows_the_total() {
        let paging = Paging { limit: 3, offset: 6 };
        assert_eq!(paging.total_if_last(2), Some(8));
        assert_eq!(paging.total_if_last(3), None);
        assert_eq!(paging.total_if_last(0), None);
        assert_eq!(Paging { offset: 0, ..paging }.total_if_last(0), Some(0));
    }
}
