//! Pages of a list: relay connections.

use std::sync::Arc;

use serde_json::json;

use crate::arguments::{argument, number, text};
use crate::error::QueryError;
use crate::plan::{Selected, TYPENAME};
use crate::tree::{Edge, Tree};

/// The maximum number of nodes in a page, and the default for lists that are not shown whole.
const MAX_FIRST: i64 = 500;

/// The position of a cursor in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The index of its node.
    At(usize),
    /// The node no longer exists; this is the index of the next one.
    Before(usize),
    /// The node no longer exists, and its position is unknown.
    Unknown,
}

impl From<Result<usize, usize>> for Position {
    fn from(found: Result<usize, usize>) -> Self {
        found.map_or_else(Self::Before, Self::At)
    }
}

impl From<Option<usize>> for Position {
    fn from(found: Option<usize>) -> Self {
        found.map_or(Self::Unknown, Self::At)
    }
}

/// The range of a list that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) total: usize,
}

impl Window {
    /// Cuts the page that is asked for out of a list of this length. `find` returns the position of a cursor in the list.
    pub(crate) fn of(selected: &Selected, total: usize, find: impl Fn(&str) -> Position) -> Result<Self, QueryError> {
        Self::cut(selected, total, usize::try_from(MAX_FIRST).unwrap_or_default(), find)
    }

    /// Cuts the page that is asked for out of a list of this length. The page is the whole list if the client does not set its length.
    pub(crate) fn of_whole(
        selected: &Selected,
        total: usize,
        find: impl Fn(&str) -> Position,
    ) -> Result<Self, QueryError> {
        Self::cut(selected, total, total, find)
    }

    fn cut(
        selected: &Selected,
        total: usize,
        default_first: usize,
        find: impl Fn(&str) -> Position,
    ) -> Result<Self, QueryError> {
        let first = limit(selected, "first")?;
        let last = limit(selected, "last")?;
        let (mut start, mut end) = (0, total);
        if let Some(after) = text(argument(selected, "after")).filter(|after| !after.is_empty()) {
            start = match find(after) {
                Position::At(index) => index + 1,
                Position::Before(index) => index,
                Position::Unknown => return Err(gone("after", after)),
            };
        }
        if let Some(before) = text(argument(selected, "before")).filter(|before| !before.is_empty()) {
            end = match find(before) {
                Position::At(index) | Position::Before(index) => index,
                Position::Unknown => return Err(gone("before", before)),
            };
        }
        end = end.max(start);
        match (first, last) {
            (first, Some(last)) => {
                if let Some(first) = first {
                    end = end.min(start.saturating_add(first));
                }
                start = start.max(end.saturating_sub(last));
            }
            (first, None) => {
                end = end.min(start.saturating_add(first.unwrap_or(default_first)));
            }
        }
        Ok(Self { start, end, total })
    }
}

fn gone(name: &str, cursor: &str) -> QueryError {
    QueryError::invalid(format!(
        "invalid `{name}`: expected a cursor of this list, got `{cursor}`; the list may have changed: start with the first page"
    ))
}

fn limit(selected: &Selected, name: &str) -> Result<Option<usize>, QueryError> {
    match number(selected, name) {
        None => Ok(None),
        Some(limit) if (0..=MAX_FIRST).contains(&limit) => Ok(usize::try_from(limit).ok()),
        Some(limit) => Err(QueryError::invalid(format!(
            "invalid `{name}`: expected a whole number from 0 to {MAX_FIRST}, got `{limit}`"
        ))),
    }
}

/// Makes a connection of edges.
pub(crate) fn connection(selected: &Selected, window: Window, edges: Vec<Edge>) -> Tree {
    let cursor = |edge: Option<&Edge>| edge.map(|edge| edge.cursor.clone());
    let page_info = json!({
        "startCursor": cursor(edges.first()),
        "endCursor": cursor(edges.last()),
        "hasNextPage": window.end < window.total,
        "hasPreviousPage": window.start > 0,
    });
    let edges: Arc<[Edge]> = edges.into();
    let fields = selected.only().fields.iter().map(|field| {
        let value = match field.name.as_str() {
            "edges" => Tree::Edges(Arc::clone(&edges), Arc::clone(field)),
            "pageInfo" => Tree::Json(page_info.clone(), Arc::clone(field)),
            "totalCount" => Tree::Json(json!(window.total), Arc::clone(field)),
            TYPENAME => type_name(selected, field),
            _ => Tree::Json(serde_json::Value::Null, Arc::clone(field)),
        };
        (field.key.clone(), value)
    });
    Tree::Object(fields.collect())
}

/// The name of a field's type, for `__typename` in an object of it.
pub(crate) fn type_name(of: &Selected, field: &Arc<Selected>) -> Tree {
    let name = of.ty.map(|ty| ty.base.as_str()).unwrap_or_default();
    Tree::Json(json!(name), Arc::clone(field))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use async_graphql_value::ConstValue;

    use super::*;

    fn selected(arguments: &[(&str, ConstValue)]) -> Selected {
        let arguments = arguments.iter();
        let arguments: HashMap<String, ConstValue> = arguments
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Selected {
            arguments: arguments.into(),
            ..Selected::named("models")
        }
    }

    fn window(arguments: &[(&str, ConstValue)]) -> Result<(usize, usize), QueryError> {
        let list = ["b", "d", "f", "h"];
        let window = Window::of(&selected(arguments), list.len(), |cursor| {
            list.binary_search(&cursor).into()
        })?;
        Ok((window.start, window.end))
    }

    #[test]
    fn pages_are_cut_from_both_ends() {
        let is = |arguments: &[(&str, ConstValue)]| window(arguments).unwrap();
        assert_eq!(is(&[]), (0, 4));
        assert_eq!(is(&[("first", 2.into())]), (0, 2));
        assert_eq!(is(&[("first", 2.into()), ("after", "b".into())]), (1, 3));
        assert_eq!(
            is(&[("first", 2.into()), ("after", "c".into())]),
            (1, 3),
            "a node that is gone"
        );
        assert_eq!(is(&[("first", 2.into()), ("after", "h".into())]), (4, 4));
        assert_eq!(is(&[("first", ConstValue::Null), ("after", "".into())]), (0, 4));
        assert_eq!(is(&[("last", 2.into())]), (2, 4));
        assert_eq!(is(&[("last", 2.into()), ("before", "f".into())]), (0, 2));
        assert_eq!(is(&[("first", 3.into()), ("last", 1.into())]), (2, 3));
        assert_eq!(is(&[("after", "f".into()), ("before", "d".into())]), (3, 3));
    }

    #[test]
    fn a_list_is_whole_unless_a_page_is_asked_for() {
        let is = |arguments: &[(&str, ConstValue)]| {
            let window = Window::of_whole(&selected(arguments), 600, |cursor| Position::At(cursor.len())).unwrap();
            (window.start, window.end)
        };
        assert_eq!(is(&[]), (0, 600));
        assert_eq!(is(&[("after", "abc".into())]), (4, 600));
        assert_eq!(is(&[("first", 2.into()), ("after", "abc".into())]), (4, 6));
    }

    #[test]
    fn a_cursor_without_a_position_is_refused() {
        for name in ["after", "before"] {
            let cut = Window::of(&selected(&[(name, "x".into())]), 4, |_| None.into());
            let expected = format!("invalid `{name}`: expected a cursor of this list, got `x`; ");
            let message = cut.unwrap_err().message;
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn pages_are_limited() {
        let error = window(&[("first", 501.into())]).unwrap_err();
        assert_eq!(
            error.message,
            "invalid `first`: expected a whole number from 0 to 500, got `501`"
        );
        assert!(window(&[("last", (-1).into())]).is_err());
    }
}
