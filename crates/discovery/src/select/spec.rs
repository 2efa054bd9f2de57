//! One part of a selection, such as `2+tag:daily+`.

use super::methods::Method;
use super::{Nodes, reach};
use crate::error::QueryError;

/// A method with a value, and how far to go from the nodes that match.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spec {
    method: Method,
    reach: Reach,
}

/// How far to go. `u32::MAX` means to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) parents: Option<u32>,
    pub(super) children: Option<u32>,
    /// `@`: all nodes that depend on it, and all that those depend on.
    pub(super) parents_of_children: bool,
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let (mut rest, mut reach) = (text, Reach::default());
        if let Some(after) = rest.strip_prefix('@') {
            (rest, reach.parents_of_children) = (after, true);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if rest[digits..].starts_with('+') {
            reach.parents = Some(depth(&rest[..digits], text)?);
            rest = &rest[digits + 1..];
        }
        let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
        let before = &rest[..rest.len() - digits];
        if let Some(before) = before.strip_suffix('+') {
            reach.children = Some(depth(&rest[rest.len() - digits..], text)?);
            rest = before;
        }
        if rest.is_empty() {
            let message =
                format!("invalid selection `{text}`: expected the name of a node or a method such as `tag:daily`");
            return Err(QueryError::invalid(message));
        }
        if reach.parents_of_children && reach.children.is_some() {
            let message = format!("invalid selection `{text}`: `@` cannot be combined with `+` at the end");
            return Err(QueryError::invalid(message));
        }
        Ok(Self {
            method: Method::parse(rest)?,
            reach,
        })
    }

    pub(super) fn needs_configs(&self) -> bool {
        self.method.needs_configs()
    }

    pub(super) fn apply(&self, nodes: &Nodes<'_>) -> Vec<bool> {
        let start: Vec<bool> = nodes
            .graph
            .indices()
            .map(|index| self.method.matches(nodes, index))
            .collect();
        if self.reach == Reach::default() {
            return start;
        }
        reach(nodes, &start, &self.reach)
    }
}

fn depth(digits: &str, text: &str) -> Result<u32, QueryError> {
    if digits.is_empty() {
        return Ok(u32::MAX);
    }
    digits.parse().map_err(|_| {
        QueryError::invalid(format!(
            "invalid selection `{text}`: expected a depth below {}, got `{digits}`",
            u32::MAX
        ))
    })
}
