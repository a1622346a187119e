//! What is the same for every run of a search, and which way a run would go.

use super::{
    Knobs,
    filter::Filter,
    prune::Prune,
    radius::{Edge, Edges, Radius},
};
use crate::{
    catalog::{Index as IndexEntry, IndexKind, Table},
    exec::{
        constant::one_row,
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
use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::{common::Result, physical_expr::PhysicalExpr, prelude::SessionConfig};
use std::sync::Arc;

/// A search as it was planned. What it searches for comes from an outer row: of a join one of many,
/// else the one row that there is, which has no columns.
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
    /// Of these, how many come before the page that is wanted.
    pub(super) skip: usize,
    /// Whether all rows that tie with the k-th are wanted too.
    pub(super) ties: bool,
    pub(super) within: Option<Radius>,
    pub(super) beyond: Option<Radius>,
    pub(super) filter: Option<Filter>,
}

/// What a search is asked, for each of some outer rows.
pub(super) struct Questions {
    space: Space,
    /// What rows are to be near to.
    query: ArrayRef,
    within: Option<Edges>,
    beyond: Option<Edges>,
    outer: RecordBatch,
}

/// What a search is asked for one outer row.
pub(super) struct Question {
    pub(super) point: Option<Point<'static>>,
    pub(super) within: Option<Edge>,
    pub(super) beyond: Option<Edge>,
    /// The outer row.
    pub(super) outer: RecordBatch,
}

impl Questions {
    /// That of one of the rows.
    pub(super) fn at(&self, row: usize) -> Result<Question> {
        let point = if self.query.is_null(row) {
            None
        } else {
            let points = Points::new(self.space, &self.query).map_err(external)?;
            points.point(row).map(Point::into_owned)
        };
        let edge = |edges: &Option<Edges>| edges.as_ref().map(|edges| edges.at(row));
        let (within, beyond) = (edge(&self.within), edge(&self.beyond));
        Ok(Question { point, within, beyond, outer: self.outer.slice(row, 1) })
    }

    /// What two rows must have in common to ask the same, apart from outer columns by themselves.
    pub(super) fn columns(&self) -> Vec<ArrayRef> {
        let mut columns = vec![Arc::clone(&self.query)];
        let edges = self.within.iter().chain(&self.beyond);
        columns.extend(edges.map(|edges| Arc::new(edges.distances.clone()) as ArrayRef));
        columns
    }
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
        let question = one_row().and_then(|row| self.questions(&row)?.at(0));
        let Ok(question) = question else { return Ok("decided when it runs".to_owned()) };
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        Ok(self.said(&self.choose(&snapshot, knobs, &self.query_of(question.point)), knobs))
    }

    /// In words, how the searches of a join would go now, most of them.
    pub(super) fn ways(&self, config: &SessionConfig) -> Result<String> {
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        Ok(self.said(&self.serving(&snapshot, knobs), knobs))
    }

    fn said(&self, way: &Way, knobs: Knobs) -> String {
        match way {
            Way::Index { entry, target, .. } => {
                let said = match (knobs.recall_target, entry.recall_target()) {
                    (None, Some(_)) => " (the index's)",
                    _ => "",
                };
                let floor = match knobs.probes_min {
                    0 => String::new(),
                    least => format!(", at least {least} postings"),
                };
                let prunes = match self.prune(entry) {
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
        }
    }

    /// What is searched for, once its point is known.
    pub(super) fn query_of(&self, point: Option<Point<'static>>) -> Query {
        Query { space: self.space, metric: self.metric, point }
    }

    /// What is asked for some outer rows.
    pub(super) fn questions(&self, outer: &RecordBatch) -> Result<Questions> {
        let edges =
            |radius: &Option<Radius>| radius.as_ref().map(|radius| radius.edges(outer)).transpose();
        Ok(Questions {
            space: self.space,
            query: self.query.evaluate(outer)?.into_array(outer.num_rows())?,
            within: edges(&self.within)?,
            beyond: edges(&self.beyond)?,
            outer: outer.clone(),
        })
    }

    /// How postings would be pruned now, as far as the filter's values are known.
    fn prune(&self, entry: &IndexEntry) -> Option<Prune> {
        let bound = self.filter.as_ref()?.bind(&self.specs, &one_row().ok()?).ok()?;
        Prune::of(bound.conditions(), entry.included())
    }

    fn names(&self, columns: &[ColumnId]) -> String {
        let name = |&column: &ColumnId| Some(self.table.column_by_id(column)?.name.as_str());
        columns.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// The index to use for a query, or the reason for none.
    pub(super) fn choose(&self, snapshot: &Snapshot, knobs: Knobs, query: &Query) -> Way {
        let way = self.serving(snapshot, knobs);
        let Way::Index { index, .. } = &way else { return way };
        let Some(vector) = query.dense() else { return Way::Exact("the query vector is NULL") };
        // Other dimensions are told when the search runs.
        if vector.len() == index.options().dims as usize && !index.has_place(vector) {
            return Way::Exact("the query vector has no place");
        }
        way
    }

    /// The index to use for any query, or the reason for none.
    fn serving(&self, snapshot: &Snapshot, knobs: Knobs) -> Way {
        let wanted = self.table.columns[self.place].id;
        let serves = |entry: &&Arc<IndexEntry>| {
            matches!(entry.kind, IndexKind::Vector { column, metric, .. }
                if column == wanted && metric == self.metric)
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
        if indexed_metric(self.space, self.metric).is_none() {
            return Way::Exact("the index is recorded: searches by this distance are exact");
        }
        match snapshot.index(entry.id) {
            Some(index) if index.is_damaged() => {
                Way::Exact("the index is damaged and is being built again")
            }
            Some(index) => Way::Index { entry: Arc::clone(entry), index: index.clone(), target },
            None => Way::Exact("the index is being built"),
        }
    }
}
