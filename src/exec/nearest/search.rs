//! What is the same for every run of a search, and which way a run would go.

use super::{Knobs, filter::Filter, prune::Prune, radius::Radius};
use crate::{
    catalog::{Index as IndexEntry, IndexKind, Table},
    exec::{
        constant::value_of,
        failure::{external, snapshot_of},
        snapshot::Snapshot,
        topk::Query,
    },
    ids::ColumnId,
    index::{Index, indexed_metric},
    sql::functions::points::{Point, Points},
    storage::columns::ColumnSpec,
    vector::{Metric, Space},
};
use arrow::array::Array;
use datafusion::{common::Result, physical_expr::PhysicalExpr, prelude::SessionConfig};
use std::sync::Arc;

/// A search as it was planned.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) table: Arc<Table>,
    /// The place of the vector column among the table's.
    pub(super) place: usize,
    pub(super) specs: Vec<ColumnSpec>,
    pub(super) projection: Vec<usize>,
    pub(super) space: Space,
    pub(super) metric: Metric,
    pub(super) query: Arc<dyn PhysicalExpr>,
    pub(super) k: usize,
    /// Whether all rows that tie with the k-th are wanted too.
    pub(super) ties: bool,
    pub(super) within: Option<Radius>,
    pub(super) beyond: Option<Radius>,
    pub(super) filter: Option<Filter>,
}

/// Whether there is an index to use, or why not.
#[derive(Debug)]
pub(super) enum Way {
    Index { entry: Arc<IndexEntry>, index: Index, target: f32 },
    Exact(&'static str),
}

impl Search {
    /// In words, how a run would go now.
    pub(super) fn way(&self, config: &SessionConfig) -> Result<String> {
        // A parameter, or a subquery, has a value only when the plan runs.
        let Ok(point) = self.point() else { return Ok("decided when it runs".to_owned()) };
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        let query = Query { space: self.space, metric: self.metric, point };
        Ok(match self.choose(&snapshot, knobs, &query) {
            Way::Index { entry, target, .. } => {
                let said = match (knobs.recall_target, entry.recall_target()) {
                    (None, Some(_)) => " (the index's)",
                    _ => "",
                };
                let floor = match knobs.probes_min {
                    0 => String::new(),
                    least => format!(", at least {least} postings"),
                };
                let prunes = match self.prune(&entry) {
                    Some(prune) => format!(", prunes postings by {}", self.names(prune.columns())),
                    None => String::new(),
                };
                format!(
                    "index={}, recall_target={target}{said}{floor}{prunes} \
                     (exact where reading the matching rows costs less)",
                    entry.name
                )
            }
            Way::Exact(reason) => format!("exact ({reason})"),
        })
    }

    /// The point that is searched for: the value of an expression without columns.
    pub(super) fn point(&self) -> Result<Option<Point<'static>>> {
        let value = value_of(&self.query)?;
        if value.is_null(0) {
            return Ok(None);
        }
        let points = Points::new(self.space, &value).map_err(external)?;
        Ok(points.point(0).map(Point::into_owned))
    }

    /// How postings would be pruned now, as far as the filter's values are known.
    fn prune(&self, entry: &IndexEntry) -> Option<Prune> {
        let bound = self.filter.as_ref()?.bind(&self.specs).ok()?;
        Prune::of(bound.conditions(), entry.included())
    }

    fn names(&self, columns: &[ColumnId]) -> String {
        let name = |&column: &ColumnId| Some(self.table.column_by_id(column)?.name.as_str());
        columns.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// The index to use, or the reason for none.
    pub(super) fn choose(&self, snapshot: &Snapshot, knobs: Knobs, query: &Query) -> Way {
        let wanted = self.table.columns[self.place].id;
        let serves = |entry: &&Arc<IndexEntry>| {
            matches!(entry.kind, IndexKind::Vector { column, metric, .. }
                if column == wanted && metric == query.metric)
        };
        // Of several, one that can be searched; the others are being built.
        let mut serving = snapshot.catalog().indexes_of(self.table.id).filter(serves).peekable();
        let Some(first) = serving.peek().copied() else {
            return Way::Exact("no index for this distance");
        };
        let is_sound = |entry: &&Arc<IndexEntry>| {
            snapshot.index(entry.id).is_some_and(|index| !index.is_damaged())
        };
        let entry = serving.find(is_sound).unwrap_or(first);
        if !knobs.use_index {
            return Way::Exact("enable_indexscan is off");
        }
        let target = knobs.target(entry);
        if target >= 1.0 {
            return Way::Exact("recall_target is 1");
        }
        if indexed_metric(query.space, query.metric).is_none() {
            return Way::Exact("the index is recorded: searches by this distance are exact");
        }
        let Some(vector) = query.dense() else { return Way::Exact("the query vector is NULL") };
        match snapshot.index(entry.id) {
            // Other dimensions are told when the search runs.
            Some(index)
                if vector.len() == index.options().dims as usize && !index.has_place(vector) =>
            {
                Way::Exact("the query vector has no place")
            }
            Some(index) if index.is_damaged() => {
                Way::Exact("the index is damaged and is being built again")
            }
            Some(index) => Way::Index { entry: Arc::clone(entry), index: index.clone(), target },
            None => Way::Exact("the index is being built"),
        }
    }
}
