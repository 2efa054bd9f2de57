//! `lineage`: nodes with the ids of their parents, chosen by dbt's node selection.

use std::sync::Arc;

use super::Resolver;
use super::filter::Filter;
use crate::arguments::{argument, field, text};
use crate::error::Error;
use crate::graph::NodeIndex;
use crate::kind::{Kind, Shape};
use crate::plan::Selected;
use crate::related::kinds;
use crate::select::Selector;
use crate::tree::Tree;

impl Resolver<'_> {
    pub(super) async fn lineage(&mut self, data: usize, selected: &Arc<Selected>) -> Result<Tree, Error> {
        let filter = argument(selected, "filter");
        let types = field(filter, "types").map(kinds);
        let (select, exclude) = (text(field(filter, "select")), text(field(filter, "exclude")));
        let all: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| Shape::Lineage.type_name(*kind).is_some())
            .collect();
        let mut indices = self
            .chosen(data, types.as_ref().unwrap_or(&all), &Filter::of(filter))
            .await?;
        let is_selection = [select, exclude]
            .into_iter()
            .flatten()
            .any(|text| !text.trim().is_empty());
        if is_selection {
            let chosen = self.selected(data, select, exclude).await?;
            indices.retain(|index| chosen.binary_search(index).is_ok());
        } else if types.is_none() {
            // Macros are part of a lineage only if they are asked for.
            let graph = Arc::clone(&self.datas[data].scope.graph);
            indices.retain(|index| graph.node(*index).kind != Some(Kind::Macro));
        }
        self.want(data, &indices, Shape::Lineage, selected).await?;
        let graph = self.datas[data].graph();
        if indices.iter().any(|index| graph.node(*index).kind == Some(Kind::Macro)) {
            self.datas[data].want_macros(&indices);
        }
        Ok(Tree::Nodes {
            data,
            shape: Shape::Lineage,
            indices,
            selected: Arc::clone(selected),
        })
    }

    /// The nodes of a selection, sorted by id.
    async fn selected(
        &mut self,
        data: usize,
        select: Option<&str>,
        exclude: Option<&str>,
    ) -> Result<Vec<NodeIndex>, Error> {
        let selector = Selector::parse(select, exclude)?;
        self.datas[data].choose(self.connection, selector, self.until).await
    }
}
