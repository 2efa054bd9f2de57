//! What all lists share: filters, ordering, and paging of lists that are small enough to be held in memory.

use std::cmp::Ordering;

use edge::{InvalidParam, OrderBy, Paging, Params, TimeRange};
use read_model::queries::Slice;
use schemas::AccountId;
use serde_json::{Map, Value};

/// Reads filters from the query and records which were applied, because the envelope lists them.
pub(crate) struct Filters<'a> {
    params: &'a Params,
    applied: Map<String, Value>,
}

impl<'a> Filters<'a> {
    pub(crate) fn new(params: &'a Params, account: AccountId) -> Self {
        let applied = Map::from_iter([("account_id".to_owned(), account.0.into())]);
        Self { params, applied }
    }

    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<i64>, InvalidParam> {
        let number = self.params.number(name)?;
        self.note(name, number);
        Ok(number)
    }

    pub(crate) fn numbers(&mut self, name: &'static str) -> Result<Option<Vec<i64>>, InvalidParam> {
        let numbers = self.params.numbers(name)?;
        self.note(name, numbers.clone());
        Ok(numbers)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.params.text(name).map(str::to_owned);
        self.note(name, text.clone());
        text
    }

    pub(crate) fn truth(&mut self, name: &'static str) -> Result<Option<bool>, InvalidParam> {
        let truth = self.params.truth(name)?;
        self.note(name, truth);
        Ok(truth)
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let texts = self.params.texts(name);
        self.note(name, texts.clone());
        texts
    }

    pub(crate) fn times(&mut self, name: &'static str) -> Result<Option<TimeRange>, InvalidParam> {
        let times = self.params.times(name)?;
        self.note(name, times.map(|(from, to)| vec![from.to_rfc3339(), to.to_rfc3339()]));
        Ok(times)
    }

    /// Reads a number, or a list of numbers under the name that ends in `__in`. If both are given, both must match.
    pub(crate) fn ids(&mut self, one: &'static str, many: &'static str) -> Result<Option<Vec<i64>>, InvalidParam> {
        let (one, many) = (self.number(one)?, self.numbers(many)?);
        Ok(match (one, many) {
            (None, many) => many,
            (Some(one), None) => Some(vec![one]),
            (Some(one), Some(many)) => Some(if many.contains(&one) { vec![one] } else { Vec::new() }),
        })
    }

    /// Reads `state`: 1 is active, 2 is deleted.
    pub(crate) fn state(&mut self) -> Result<Option<i64>, InvalidParam> {
        // dbt Cloud's clients also send `all`.
        if self.params.text("state") == Some("all") {
            return Ok(None);
        }
        self.number("state")
    }

    /// Returns the filters that were applied, for the envelope.
    pub(crate) fn applied(self) -> Map<String, Value> {
        self.applied
    }

    fn note(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.applied.insert(name.to_owned(), value.into());
        }
    }
}

/// Returns whether `include_related` lists this name, as `a,b`, `["a","b"]`, `['a','b']`, `[a]` or a repeated parameter.
pub(crate) fn includes(params: &Params, related: &str) -> bool {
    let is_quote = |letter: char| !letter.is_ascii_alphanumeric();
    params
        .all("include_related")
        .flat_map(|value| value.split(','))
        .any(|name| name.trim_matches(is_quote) == related)
}

/// Returns whether a name contains this text, ignoring case.
pub(crate) fn contains(name: &str, part: &str) -> bool {
    name.to_lowercase().contains(&part.to_lowercase())
}

/// Converts a page into the form that the read model's queries take.
pub(crate) fn slice(paging: Paging) -> Slice {
    Slice {
        limit: paging.limit,
        offset: paging.offset,
    }
}

/// The fields by which lists of directory records can be ordered.
pub(crate) const RECORD_FIELDS: &[&str] = &["id", "name", "created_at", "updated_at"];

/// The values of a directory record by which it can be ordered.
pub(crate) struct RecordKey<'a> {
    pub(crate) id: i64,
    pub(crate) name: &'a str,
    /// The time as answered. These texts sort in the order of their times.
    pub(crate) created_at: &'a str,
    pub(crate) updated_at: &'a str,
}

/// Orders records that are all in memory. Returns one page of them and their total number.
pub(crate) fn page_of_records<T>(
    mut records: Vec<T>,
    order: OrderBy,
    paging: Paging,
    key: impl for<'r> Fn(&'r T) -> RecordKey<'r>,
) -> (Vec<T>, i64) {
    records.sort_by(|one, other| {
        let (one, other) = (key(one), key(other));
        let by_field = match order.field {
            "name" => one.name.cmp(other.name),
            "created_at" => one.created_at.cmp(other.created_at),
            "updated_at" => one.updated_at.cmp(other.updated_at),
            _ => Ordering::Equal,
        };
        let rising = by_field.then(one.id.cmp(&other.id));
        if order.descending { rising.reverse() } else { rising }
    });
    let total = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(paging.limit).unwrap_or(0);
    (records.into_iter().skip(offset).take(limit).collect(), total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn related_objects_can_be_listed_in_many_forms() {
        for query in [
            "job,run_steps",
            "[\"job\",\"run_steps\"]",
            "['job', 'run_steps']",
            "[run_steps]",
            "run_steps",
        ] {
            let query: String = format!("include_related={}", query.replace(' ', "+"));
            assert!(includes(&Params::read(&query), "run_steps"), "{query}");
        }
        assert!(includes(
            &Params::read("include_related=run_steps&include_related=job"),
            "run_steps"
        ));
        assert!(!includes(&Params::read("include_related=steps"), "run_steps"));
        assert!(!includes(&Params::read("include_related="), "run_steps"));
        assert!(!includes(&Params::read(""), "run_steps"));
    }

    #[test]
    fn absent_filters_are_not_listed_as_applied() {
        let params = Params::read("project_id=7&status__in=[10,20]&other=1");
        let mut filters = Filters::new(&params, AccountId(1));
        assert_eq!(filters.number("project_id").unwrap(), Some(7));
        assert_eq!(filters.number("environment_id").unwrap(), None);
        assert_eq!(filters.numbers("status__in").unwrap(), Some(vec![10, 20]));
        let expected = serde_json::json!({"account_id": 1, "project_id": 7, "status__in": [10, 20]});
        assert_eq!(Value::from(filters.applied()), expected);
        let params = Params::read("pk=7&pk__in=[7,8]&project_id__in=[1]&state=all");
        let mut filters = Filters::new(&params, AccountId(1));
        assert_eq!(filters.ids("pk", "pk__in").unwrap(), Some(vec![7]));
        assert_eq!(filters.ids("project_id", "project_id__in").unwrap(), Some(vec![1]));
        assert_eq!(filters.state().unwrap(), None);
    }

    #[test]
    fn records_are_ordered_and_ties_are_broken_by_id() {
        let page = |order: &str, paging: &str| {
            let order = OrderBy::read(&Params::read(order), RECORD_FIELDS).unwrap();
            let paging = Paging::read(&Params::read(paging)).unwrap();
            let records = vec![(1, "b"), (2, "a"), (3, "b")];
            let (rows, total) = page_of_records(records, order, paging, |(id, name)| RecordKey {
                id: *id,
                name,
                created_at: "2026-01-01",
                updated_at: "2026-01-01",
            });
            (rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), total)
        };
        assert_eq!(page("", ""), (vec![1, 2, 3], 3));
        assert_eq!(page("order_by=name", ""), (vec![2, 1, 3], 3));
        assert_eq!(page("order_by=-name", "limit=2"), (vec![3, 1], 3));
        assert_eq!(page("order_by=-created_at", "offset=2"), (vec![1], 3));
        assert_eq!(page("", "offset=9"), (vec![], 3));
    }
}
