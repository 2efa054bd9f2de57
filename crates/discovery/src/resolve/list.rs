//! Lists of nodes, in pages or whole.

use std::sync::Arc;

use super::Resolver;
use super::filter::Filter;
use crate::arguments::{argument, field, text};
use crate::error::Error;
use crate::graph::NodeIndex;
use crate::kind::{Kind, Shape};
use crate::needs::Needs;
use crate::page::{Window, connection};
use crate::plan::Selected;
use crate::tree::{Edge, EdgeNode, Tree};

/// The sort order of a list: field and direction.
#[derive(Clone, Copy)]
enum Order {
    Id,
    IdDescending,
    Other,
}

impl Resolver<'_> {
    /// A page of nodes of these kinds, filtered and sorted as the field's arguments say.
    pub(super) async fn connection(
        &mut self,
        data: usize,
        shape: Shape,
        kinds: &[Kind],
        selected: &Arc<Selected>,
    ) -> Result<Tree, Error> {
        let filter = Filter::of(argument(selected, "filter"));
        let mut indices = self.chosen(data, kinds, &filter).await?;
        let order = self.sort(data, &mut indices, selected).await?;
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let window = Window::of(selected, indices.len(), |cursor| {
            let by_id = |index: &NodeIndex| graph.id(*index).cmp(cursor);
            match order {
                Order::Id => indices.binary_search_by(by_id).into(),
                Order::IdDescending => indices.binary_search_by(|index| by_id(index).reverse()).into(),
                Order::Other => indices.iter().position(|index| by_id(index).is_eq()).into(),
            }
        })?;
        let page = &indices[window.start..window.end];
        for edges in selected.only().fields.iter().filter(|field| field.name == "edges") {
            for node in edges.only().fields.iter().filter(|field| field.name == "node") {
                self.want(data, page, shape, node).await?;
            }
        }
        let edges = page.iter().map(|index| {
            let node = EdgeNode::Node {
                data,
                shape,
                index: *index,
            };
            Edge {
                cursor: graph.id(*index).to_owned(),
                node,
            }
        });
        Ok(connection(selected, window, edges.collect()))
    }

    /// Notes what is needed of nodes. What needs the attributes of all nodes gets them at once, since it decides which nodes are related.
    pub(super) async fn want(
        &mut self,
        data: usize,
        indices: &[NodeIndex],
        shape: Shape,
        selected: &Selected,
    ) -> Result<(), Error> {
        if selected.needs(Needs::ATTRIBUTES) || selected.sub.contains_key("GroupNode") {
            self.datas[data].read_attributes(self.connection).await?;
        }
        self.datas[data].want(indices, shape, selected)?;
        Ok(())
    }

    /// The nodes of these kinds that a filter lets through, sorted by id.
    pub(super) async fn chosen(
        &mut self,
        data: usize,
        kinds: &[Kind],
        filter: &Filter,
    ) -> Result<Vec<NodeIndex>, Error> {
        let data = &mut self.datas[data];
        let graph = Arc::clone(&data.scope.graph);
        let is_kind = |index: &NodeIndex| graph.node(*index).kind.is_some_and(|kind| kinds.contains(&kind));
        let mut indices: Vec<NodeIndex> = match &filter.unique_ids {
            Some(ids) => {
                let mut indices: Vec<NodeIndex> = ids.iter().filter_map(|id| graph.find(id)).filter(is_kind).collect();
                indices.sort_unstable();
                indices.dedup();
                indices
            }
            None => graph.indices().filter(is_kind).collect(),
        };
        if filter.needs_attributes() {
            data.read_attributes(self.connection).await?;
            if let Some(attributes) = graph.attributes() {
                indices.retain(|index| filter.lets_in(graph.node(*index), &attributes[*index as usize]));
            }
        }
        if let Some(status) = &filter.status {
            data.read_results(self.connection, self.memory, &indices).await?;
            indices.retain(|index| data.last.get(index).is_some_and(|last| status.is(&last.status)));
        }
        if let Some(wanted) = &filter.last_known_results {
            data.read_results(self.connection, self.memory, &indices).await?;
            let is_wanted = |known: &str| wanted.iter().any(|wanted| wanted == known);
            indices.retain(|index| data.last_known_result(*index).is_some_and(is_wanted));
        }
        if filter.needs_freshness() {
            data.read_freshness(self.connection, self.memory, &indices).await?;
            indices.retain(|index| filter.lets_freshness_in(data.stored.freshness.get(index)));
        }
        Ok(indices)
    }

    /// Sorts nodes, which are sorted by id. Returns their new order.
    async fn sort(&mut self, data: usize, indices: &mut [NodeIndex], selected: &Selected) -> Result<Order, Error> {
        let sort = argument(selected, "sort");
        let is_descending = text(field(sort, "direction")) == Some("desc");
        let data = &mut self.datas[data];
        match text(field(sort, "field")) {
            Some("executeCompletedAt") => {
                data.read_results(self.connection, self.memory, indices).await?;
                // Nodes that were never built come last in both directions.
                indices.sort_by_key(|index| {
                    let at = data.success(*index).map(|success| success.at.timestamp_micros());
                    (at.is_none(), at.map(|at| if is_descending { -at } else { at }))
                });
                Ok(Order::Other)
            }
            Some("uniqueId") if is_descending => {
                indices.reverse();
                Ok(Order::IdDescending)
            }
            // How often a model is queried is not known here, and how many rows it has only where the adapter says so.
            _ => Ok(Order::Id),
        }
    }

    /// The nodes of a kind that a filter lets through: all, or the page that is asked for.
    pub(super) async fn nodes(
        &mut self,
        data: usize,
        shape: Shape,
        kind: Kind,
        filter: &Filter,
        selected: &Arc<Selected>,
    ) -> Result<Tree, Error> {
        let mut indices = self.chosen(data, &[kind], filter).await?;
        let graph = Arc::clone(&self.datas[data].scope.graph);
        let window = Window::of_whole(selected, indices.len(), |cursor| {
            indices.binary_search_by(|index| graph.id(*index).cmp(cursor)).into()
        })?;
        indices.truncate(window.end);
        indices.drain(..window.start);
        self.want(data, &indices, shape, selected).await?;
        Ok(Tree::Nodes {
            data,
            shape,
            indices,
            selected: Arc::clone(selected),
        })
    }

    /// One node, or null.
    pub(super) async fn node(
        &mut self,
        data: usize,
        shape: Shape,
        index: Option<NodeIndex>,
        selected: &Arc<Selected>,
    ) -> Result<Tree, Error> {
        self.want(data, index.as_slice(), shape, selected).await?;
        Ok(Tree::Node {
            data,
            shape,
            index,
            selected: Arc::clone(selected),
        })
    }
}
