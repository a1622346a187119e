//! The top-k operator: candidates from the index, rows that the index does not have yet, exact
//! distances, and the rows themselves.
//!
//! The result is exactly min(k, matching rows) rows of the snapshot, nearest first. Which way it
//! is found depends on how many rows match the filter:
//!
//! - *exact*, over the matching rows: when there is no index, few rows match, or the recall target
//!   is 1;
//! - *index*: the matching rows are pushed into the index as a set; rows newer than the index are
//!   searched exactly beside it.
//!
//! When the index finds fewer than k (rows with NULL or NaN distances match too and sort last),
//! the exact way fills up.

use super::{
    build::indexed_metric,
    failure::{external, snapshot_of},
    rows::{leaf, single_partition},
    snapshot::Snapshot,
    table::column_specs,
    topk::{Neighbour, Query, TopK, offer_rows, scan_group},
};
use crate::{
    catalog::{Index as IndexEntry, IndexKind, Table},
    ids::{RowId, RowSet},
    index::{self, Index},
    pgtype::vector::different_dimensions,
    sql::{
        functions::points::{Point, Points},
        nearest::Nearest,
    },
    storage::{columns::ColumnSpec, table::TableState},
    telemetry::Metrics,
    vector::{Metric, Space},
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions,
    },
    datatypes::{Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
    prelude::SessionConfig,
};
use futures::stream;
use std::{fmt, sync::Arc};

/// Up to this many matching rows are searched exactly even where there is an index: reading them
/// costs less than probing.
const EXACT_ROWS_MAX: u64 = 5_000;

/// The settings of a session that a search obeys.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// `nearlake.recall_target`; 1 is exact.
    pub recall_target: f32,
    /// The least number of postings to read: what `hnsw.ef_search` and `ivfflat.probes` raise.
    pub probes_min: usize,
    /// `enable_indexscan`.
    pub use_index: bool,
}

impl Knobs {
    fn of(config: &SessionConfig) -> Self {
        config.get_extension::<Self>().map(|knobs| *knobs).unwrap_or_default()
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self { recall_target: 0.95, probes_min: 0, use_index: true }
    }
}

/// Makes [`NearestExec`] of [`Nearest`].
#[derive(Debug)]
pub struct NearestPlanner;

#[async_trait]
impl ExtensionPlanner for NearestPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<Nearest>() else { return Ok(None) };
        let full =
            DFSchema::try_from_qualified_schema(node.name.clone(), node.source.schema().as_ref())?;
        let predicates = node
            .filters
            .iter()
            .map(|filter| planner.create_physical_expr(filter, &full, session, context))
            .collect::<Result<Vec<_>>>()?;
        let nothing = DFSchema::empty();
        let query = planner.create_physical_expr(&node.query, &nothing, session, context)?;
        let exec = NearestExec::new(node, predicates, query, session.config())?;
        Ok(Some(Arc::new(exec)))
    }
}

/// The physical top-k operator. What it searches, and how, is settled when it runs.
#[derive(Debug, Clone)]
pub struct NearestExec {
    search: Arc<Search>,
    /// The way that it would go now, for EXPLAIN.
    way: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What is the same for every run.
#[derive(Debug)]
struct Search {
    table: Arc<Table>,
    /// The place of the vector column among the table's.
    place: usize,
    specs: Vec<ColumnSpec>,
    projection: Vec<usize>,
    space: Space,
    metric: Metric,
    query: Arc<dyn PhysicalExpr>,
    k: usize,
    filter: Option<Filter>,
}

/// The WHERE clause over the columns that it names.
#[derive(Debug, Clone)]
struct Filter {
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// The places of its columns among the table's.
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// Whether there is an index to use, or why not.
#[derive(Debug)]
enum Way {
    Index { name: String, index: Index },
    Exact(&'static str),
}

impl NearestExec {
    fn new(
        node: &Nearest,
        predicates: Vec<Arc<dyn PhysicalExpr>>,
        query: Arc<dyn PhysicalExpr>,
        config: &SessionConfig,
    ) -> Result<Self> {
        let table = Arc::clone(&node.table);
        let table_space = |table: &Table, place: usize| {
            table.columns[place].kind.space().ok_or_else(|| {
                DataFusionError::Internal(format!("no points in column {}", node.column))
            })
        };
        let place = table.position(node.column).ok_or_else(|| {
            DataFusionError::Internal(format!("no column {} to search", node.column))
        })?;
        let space = table_space(&table, place)?;
        let search = Search {
            space,
            specs: column_specs(&table).map_err(external)?,
            table,
            place,
            projection: node.projection.clone(),
            metric: node.metric,
            query,
            k: node.k,
            filter: Filter::new(predicates, &node.source.schema())?,
        };
        Ok(Self {
            way: search.way(config)?,
            search: Arc::new(search),
            properties: single_partition(Arc::new(node.schema.as_arrow().clone())),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl Search {
    /// In words, how a run would go now.
    fn way(&self, config: &SessionConfig) -> Result<String> {
        // A parameter, or a subquery, has a value only when the plan runs.
        let Ok(point) = self.point() else { return Ok("decided when it runs".to_owned()) };
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        let query = Query { space: self.space, metric: self.metric, point };
        Ok(match choose(&self.table, self.place, &snapshot, knobs, &query) {
            Way::Index { name, .. } => format!(
                "index={name}, recall_target={} (exact when at most {EXACT_ROWS_MAX} rows match)",
                knobs.recall_target
            ),
            Way::Exact(reason) => format!("exact ({reason})"),
        })
    }

    /// The point that is searched for: the value of an expression without columns.
    fn point(&self) -> Result<Option<Point<'static>>> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        let value = self.query.evaluate(&one_row)?.into_array(1)?;
        if value.is_null(0) {
            return Ok(None);
        }
        let points = Points::new(self.space, &value).map_err(external)?;
        Ok(points.point(0).map(Point::into_owned))
    }

    /// One run, on the snapshot of its statement.
    fn work(
        self: &Arc<Self>,
        config: &SessionConfig,
        schema: SchemaRef,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Work> {
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        let query = Query { space: self.space, metric: self.metric, point: self.point()? };
        let index = match choose(&self.table, self.place, &snapshot, knobs, &query) {
            Way::Index { index, .. } => Some(index),
            Way::Exact(_) => None,
        };
        Ok(Work {
            search: Arc::clone(self),
            rows: snapshot.table(self.table.id),
            query,
            index,
            knobs,
            committed_end: snapshot.first_own_row(self.table.id),
            schema,
            counts: Counts::new(metrics, config.get_extension()),
        })
    }
}

/// The index to use, or the reason for none.
fn choose(table: &Table, place: usize, snapshot: &Snapshot, knobs: Knobs, query: &Query) -> Way {
    let wanted = table.columns[place].id;
    let serves = |entry: &&Arc<IndexEntry>| {
        matches!(entry.kind, IndexKind::Vector { column, metric, .. }
            if column == wanted && metric == query.metric)
    };
    let Some(entry) = snapshot.catalog().indexes_of(table.id).find(serves) else {
        return Way::Exact("no index for this distance");
    };
    if !knobs.use_index {
        return Way::Exact("enable_indexscan is off");
    }
    if knobs.recall_target >= 1.0 {
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
        Some(index) => Way::Index { name: entry.name.clone(), index: index.clone() },
        None => Way::Exact("the index is being built"),
    }
}

impl Filter {
    fn new(predicates: Vec<Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Result<Option<Self>> {
        if predicates.is_empty() {
            return Ok(None);
        }
        let mut columns: Vec<usize> =
            predicates.iter().flat_map(collect_columns).map(|column| column.index()).collect();
        columns.sort_unstable();
        columns.dedup();
        let projected = Arc::new(schema.project(&columns)?);
        let predicates = predicates
            .into_iter()
            .map(|predicate| {
                datafusion::physical_expr::utils::reassign_expr_columns(predicate, &projected)
            })
            .collect::<Result<_>>()?;
        Ok(Some(Self { predicates, columns, schema: projected }))
    }

    /// The live rows that match.
    async fn matching(&self, rows: &TableState, specs: &[ColumnSpec]) -> Result<RowSet> {
        let specs: Vec<ColumnSpec> = self.columns.iter().map(|&c| specs[c].clone()).collect();
        let first = rows.groups().next().map_or(rows.next_row(), |group| group.first_row());
        let mut matching = RowSet::empty(first, rows.next_row());
        for group in rows.groups() {
            let columns = group.columns(&specs).await.map_err(external)?;
            let options = RecordBatchOptions::new().with_row_count(Some(group.len()));
            let batch =
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            let mut mask = group.live_mask();
            for predicate in &self.predicates {
                // Of rows that are gone nothing is asked: for them it may fail.
                let value = match &mask {
                    Some(mask) => {
                        let live = BooleanArray::new(mask.clone(), None);
                        predicate.evaluate_selection(&batch, &live)?
                    }
                    None => predicate.evaluate(&batch)?,
                };
                let value = value.into_array(group.len())?;
                let value = value.as_boolean();
                // NULL is not true.
                let bits = match value.nulls() {
                    Some(nulls) => value.values() & nulls.inner(),
                    None => value.values().clone(),
                };
                mask = Some(mask.map_or_else(|| bits.clone(), |mask| &mask & &bits));
            }
            let ids = group.row_ids();
            if let Some(mask) = mask {
                for place in mask.set_indices() {
                    matching.insert(ids.row(place));
                }
            } else {
                ids.iter().for_each(|row| matching.insert(row));
            }
            tokio::task::consume_budget().await;
        }
        Ok(matching)
    }
}

/// What a run counts, for EXPLAIN ANALYZE.
#[derive(Debug, Clone)]
struct Counts {
    matching: Count,
    scanned: Count,
    probes: Count,
    node: Option<Arc<Metrics>>,
}

impl Counts {
    fn new(metrics: &ExecutionPlanMetricsSet, node: Option<Arc<Metrics>>) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, 0);
        Self {
            matching: counter("rows_matching"),
            scanned: counter("vectors_scanned"),
            probes: counter("postings_probed"),
            node,
        }
    }

    /// A search ended: the node's counters learn of it.
    fn ended(&self, strategy: &str) {
        let Some(node) = &self.node else { return };
        #[expect(clippy::cast_precision_loss, reason = "a histogram's bucket is as near as needed")]
        let float = |count: &Count| count.value() as f64;
        node.searches.with_label_values(&[strategy]).inc();
        node.search_postings.observe(float(&self.probes));
        node.search_vectors.observe(float(&self.scanned));
    }
}

/// Everything that one run needs.
struct Work {
    search: Arc<Search>,
    rows: TableState,
    query: Query,
    index: Option<Index>,
    knobs: Knobs,
    committed_end: RowId,
    schema: SchemaRef,
    counts: Counts,
}

impl Work {
    async fn run(self) -> Result<RecordBatch> {
        let _timed = self.counts.node.as_ref().map(|node| node.search_seconds.start_timer());
        self.check_dimensions()?;
        let allowed = match &self.search.filter {
            None => Arc::clone(self.rows.live()),
            Some(filter) => Arc::new(filter.matching(&self.rows, &self.search.specs).await?),
        };
        let matching = allowed.len();
        self.counts.matching.add(usize::try_from(matching).unwrap_or(usize::MAX));
        let enough_for_index = matching > EXACT_ROWS_MAX && self.search.k as u64 <= matching / 4;
        let found = match &self.index {
            Some(index) if enough_for_index => self.by_index(index, &allowed).await?,
            _ => None,
        };
        let found = match found {
            Some(found) => {
                self.counts.ended(if self.search.filter.is_some() { "filtered" } else { "index" });
                found
            }
            None => {
                let found = self.exact(&allowed, RowId(0)).await?.into_sorted();
                self.counts.ended("exact");
                found
            }
        };
        self.rows_of(&found).await
    }

    fn vector(&self) -> &ColumnSpec {
        &self.search.specs[self.search.place]
    }

    fn check_dimensions(&self) -> Result<()> {
        // Others are told of at the first row that differs.
        let declared = self.vector().kind.typmod();
        let (Ok(dims @ 1..), Some(query)) = (usize::try_from(declared), self.query.dense()) else {
            return Ok(());
        };
        if dims == query.len() || self.rows.live_rows() == 0 {
            return Ok(());
        }
        let name = self.query.space.name();
        // As pgvector tells it: its index sees the query first.
        Err(external(match self.index {
            Some(_) => different_dimensions(name, query.len(), dims),
            None => different_dimensions(name, dims, query.len()),
        }))
    }

    /// The nearest by the index and among the rows that it lacks; `None` when these are not k.
    async fn by_index(&self, index: &Index, allowed: &RowSet) -> Result<Option<Vec<Neighbour>>> {
        let Some(query) = self.query.dense() else { return Ok(None) };
        let wanted = index::Search {
            query,
            k: self.search.k,
            recall_target: self.knobs.recall_target,
            probes_min: self.knobs.probes_min,
            allowed: Some(allowed),
            below: self.committed_end,
        };
        let found = match index.search(&wanted).await {
            Ok(found) => found,
            // It is built again; until then the rows themselves answer.
            Err(error) if index.is_damaged() => {
                tracing::warn!(table = %self.search.table.name, %error, "an index is damaged");
                return Ok(None);
            }
            Err(error) => return Err(external(error)),
        };
        self.counts.probes.add(found.probes);
        self.counts.scanned.add(usize::try_from(found.scanned).unwrap_or(usize::MAX));

        let mut top = self.exact(allowed, index.watermark()).await?;
        let rows: Vec<RowId> = found.hits.iter().map(|hit| hit.row).collect();
        let spec = std::slice::from_ref(self.vector());
        let exact = self.rows.take(&rows, spec).await.map_err(external)?;
        let points = Points::new(self.query.space, exact.column(0)).map_err(external)?;
        // A row above the watermark that the index has already was offered by the exact scan.
        let hits = rows.into_iter().enumerate().filter(|(_, row)| *row < index.watermark());
        offer_rows(&points, hits, &self.query, &mut top).map_err(external)?;
        if !top.is_full() {
            return Ok(None);
        }
        Ok(Some(top.into_sorted()))
    }

    /// The nearest of the allowed rows from a row on, by reading each.
    async fn exact(&self, allowed: &RowSet, from: RowId) -> Result<TopK> {
        let mut top = TopK::new(self.search.k);
        if self.search.k == 0 || allowed.is_empty() {
            return Ok(top);
        }
        let remaining = self.rows.groups().filter(|group| group.end_row() > from);
        if from == RowId(0) {
            for group in remaining {
                scan_group(&group, self.vector(), allowed, &self.query, &mut top).await?;
                self.counts.scanned.add(group.len());
                tokio::task::consume_budget().await;
            }
            return Ok(top);
        }
        // The group in which `from` lies has rows of both kinds.
        let mut newer = RowSet::empty(from, self.rows.next_row());
        allowed.iter_from(from).for_each(|row| newer.insert(row));
        for group in remaining {
            scan_group(&group, self.vector(), &newer, &self.query, &mut top).await?;
            self.counts.scanned.add(group.len());
            tokio::task::consume_budget().await;
        }
        Ok(top)
    }

    /// The projected columns of the rows found, and their distances.
    async fn rows_of(&self, found: &[Neighbour]) -> Result<RecordBatch> {
        let rows: Vec<RowId> = found.iter().map(|neighbour| neighbour.row).collect();
        let specs: Vec<ColumnSpec> =
            self.search.projection.iter().map(|&place| self.search.specs[place].clone()).collect();
        let taken = self.rows.take(&rows, &specs).await.map_err(external)?;
        let mut columns: Vec<ArrayRef> = taken.columns().to_vec();
        let distances: Float64Array = found.iter().map(|neighbour| neighbour.distance).collect();
        columns.push(Arc::new(distances));
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

impl DisplayAs for NearestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Search { table, place, metric, k, filter, .. } = self.search.as_ref();
        let (name, column, way) = (&table.name, &table.columns[*place].name, &self.way);
        write!(f, "NearestExec: table={name}, column={column}, metric={metric}, k={k}, {way}")?;
        if let Some(filter) = filter {
            let predicates: Vec<String> =
                filter.predicates.iter().map(|predicate| predicate.to_string()).collect();
            write!(f, ", filter={}", predicates.join(" AND "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for NearestExec {
    leaf!("NearestExec");

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        see(&self.search.query)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // The query vector may come from a subquery, which has run by the time of the first poll.
        let (search, schema, metrics) =
            (Arc::clone(&self.search), self.schema(), self.metrics.clone());
        let batch = stream::once(async move {
            search.work(context.session_config(), schema, &metrics)?.run().await
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batch)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
