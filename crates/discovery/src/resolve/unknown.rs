//! `column` and `recommendations`: what dbt Cloud knows and dbt-api does not is empty.

use std::sync::Arc;

use serde_json::json;

use super::{Resolver, required};
use crate::error::Error;
use crate::page::{Position, Window, connection};
use crate::plan::Selected;
use crate::tree::Tree;

impl Resolver<'_> {
    /// Column lineage: there is none, and the answer says so.
    pub(super) async fn column(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        self.data_of_environment(required(selected, "environmentId")?).await?;
        self.extensions = Some(json!({
            "columnLineage": {
                "isAvailable": false,
                "reason": "dbt-api does not compute column lineage: an empty list says nothing about where columns come from",
            },
        }));
        self.empty(selected)
    }

    /// Recommendations: dbt-api makes none.
    pub(super) async fn recommendations(&mut self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        self.data_of_environment(required(selected, "environmentId")?).await?;
        self.empty(selected)
    }

    /// An object whose lists and pages are empty.
    fn empty(&self, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let mut fields = Vec::new();
        for field in &selected.only().fields {
            let is_page = field.ty.is_some_and(|ty| ty.base.ends_with("Connection"));
            let value = if is_page {
                let window = Window::of(field, 0, |_| Position::Before(0))?;
                connection(field, window, Vec::new())
            } else {
                Self::typename_or_null(selected, field)
            };
            fields.push((field.key.clone(), value));
        }
        Ok(Tree::Object(fields))
    }
}
