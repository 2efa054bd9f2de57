//! Records of the directory: accounts, projects, environments and connections. There are few, so that their lists are filtered, ordered
//! and cut into pages in memory.

use schemas::RecordState;

use crate::listing::{Choice, Listing};

/// A field that records can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordField {
    Id,
    Name,
    CreatedAt,
    UpdatedAt,
}

impl Choice for RecordField {
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
    ];
}

/// A record, by the fields that it can be ordered by.
pub(crate) trait Record {
    fn id(&self) -> i64;
    fn name(&self) -> &str;
    /// As it is answered: these texts sort as the times do.
    fn created_at(&self) -> &str;
    fn updated_at(&self) -> &str;
}

/// A page of records, and how many there are in all pages.
pub(crate) fn page_of_records<T: Record>(mut records: Vec<T>, listing: Listing<RecordField>) -> (Vec<T>, i64) {
    let Listing { order, paging } = listing;
    records.sort_by(|one, other| {
        let by_field = match order.field {
            RecordField::Id => one.id().cmp(&other.id()),
            RecordField::Name => one.name().cmp(other.name()),
            RecordField::CreatedAt => one.created_at().cmp(other.created_at()),
            RecordField::UpdatedAt => one.updated_at().cmp(other.updated_at()),
        };
        let ascending = by_field.then(one.id().cmp(&other.id()));
        if order.descending {
            ascending.reverse()
        } else {
            ascending
        }
    });
    let total = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(paging.limit).unwrap_or(0);
    (records.into_iter().skip(offset).take(limit).collect(), total)
}

/// Whether a name contains this, ignoring case.
pub(crate) fn contains(name: &str, part: &str) -> bool {
    name.to_lowercase().contains(&part.to_lowercase())
}

/// dbt Cloud's number for the state of a record: 1 active, 2 deleted.
pub(crate) fn state_number(state: &str) -> i16 {
    RecordState::of_name(state).number()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(i64, &'static str);

    impl Record for Named {
        fn id(&self) -> i64 {
            self.0
        }
        fn name(&self) -> &str {
            self.1
        }
        fn created_at(&self) -> &str {
            "2026-01-01"
        }
        fn updated_at(&self) -> &str {
            "2026-01-01"
        }
    }

    #[test]
    fn records_are_ordered_with_ties_by_id() {
        let page = |query: &str| {
            let records = vec![Named(1, "b"), Named(2, "a"), Named(3, "b")];
            let (rows, total) = page_of_records(records, Listing::read(query).unwrap());
            (rows.into_iter().map(|row| row.0).collect::<Vec<_>>(), total)
        };
        assert_eq!(page(""), (vec![1, 2, 3], 3));
        assert_eq!(page("order_by=name"), (vec![2, 1, 3], 3));
        assert_eq!(page("order_by=-name&limit=2"), (vec![3, 1], 3));
        assert_eq!(page("order_by=-created_at&offset=2"), (vec![1], 3));
        assert_eq!(page("offset=9"), (vec![], 3));
    }
}
