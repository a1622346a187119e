//! The top-k operator: candidates from the index, rows that the index does not have yet, exact
//! distances, and the rows themselves.
//!
//! The result is exactly min(k, matching rows) rows of the snapshot, nearest first. Which way it
//! is found depends on how many rows match the filter:
//!
//! - *exact*, over the matching rows: when there is no index, the recall target is 1, the table is
//!   small, or reading the rows that match costs less than the index is expected to;
//! - *index*: the matching rows are pushed into the index as a set; rows newer than the index are
//!   searched exactly beside it.
//!
//! When the index finds fewer than k (rows with NULL or NaN distances match too and sort last),
//! the exact way fills up.

use super::{
    failure::{external, snapshot_of},
    neighbours::{Effort, Found, Neighbours},
    recall::{Band, Recall, Sample},
    rows::{leaf, single_partition},
    snapshot::Snapshot,
    table::column_specs,
    topk::{Neighbour, Query},
};
use crate::{
    catalog::{Index as IndexEntry, IndexKind, RECALL_TARGET, Table},
    ids::{RowId, RowSet},
    index::{Index, indexed_metric},
    pgtype::vector::different_dimensions,
    sql::{
        functions::points::{Point, Points},
        nearest::{Nearest, Within},
    },
    storage::{columns::ColumnSpec, segment::RowIds, table::TableState},
    telemetry::Metrics,
    vector::{Metric, Space},
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions,
    },
    compute::cast,
    datatypes::{DataType, Float64Type, Schema, SchemaRef},
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
use std::{cmp::Ordering, fmt, sync::Arc};
use tracing::Instrument as _;

/// Up to this many rows a table is searched exactly even where there is an index: an answer that
/// is right takes no time to speak of.
const EXACT_ROWS_MAX: u64 = 5_000;

/// The settings of a session that a search obeys.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// `nearlake.recall_target` where it was set: it goes before what an index says. 1 is exact.
    pub recall_target: Option<f32>,
    /// The least number of postings to read: what `hnsw.ef_search` and `ivfflat.probes` raise.
    pub probes_min: usize,
    /// `enable_indexscan`.
    pub use_index: bool,
}

impl Knobs {
    fn of(config: &SessionConfig) -> Self {
        config.get_extension::<Self>().map(|knobs| *knobs).unwrap_or_default()
    }

    /// The share of the nearest rows that a search by this index is to find.
    #[must_use]
    pub fn target(&self, entry: &IndexEntry) -> f32 {
        self.recall_target.or_else(|| entry.recall_target()).unwrap_or(RECALL_TARGET)
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self { recall_target: None, probes_min: 0, use_index: true }
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
        let alone = |expr: &_| planner.create_physical_expr(expr, &nothing, session, context);
        let query = alone(&node.query)?;
        let within = match &node.within {
            Some(Within { bound, inclusive }) => {
                Some(Radius { bound: alone(bound)?, inclusive: *inclusive })
            }
            None => None,
        };
        let exec = NearestExec::new(node, predicates, query, within, session.config())?;
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
    /// Whether all rows that tie with the k-th are wanted too.
    ties: bool,
    within: Option<Radius>,
    filter: Option<Filter>,
}

/// How far rows may be at most.
#[derive(Debug)]
struct Radius {
    bound: Arc<dyn PhysicalExpr>,
    inclusive: bool,
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
    Index { entry: Arc<IndexEntry>, index: Index, target: f32 },
    Exact(&'static str),
}

impl NearestExec {
    fn new(
        node: &Nearest,
        predicates: Vec<Arc<dyn PhysicalExpr>>,
        query: Arc<dyn PhysicalExpr>,
        within: Option<Radius>,
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
            ties: node.ties,
            within,
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
            Way::Index { entry, target, .. } => {
                let said = match (knobs.recall_target, entry.recall_target()) {
                    (None, Some(_)) => " (the index's)",
                    _ => "",
                };
                let floor = match knobs.probes_min {
                    0 => String::new(),
                    least => format!(", at least {least} postings"),
                };
                format!(
                    "index={}, recall_target={target}{said}{floor} \
                     (exact where reading the matching rows costs less)",
                    entry.name
                )
            }
            Way::Exact(reason) => format!("exact ({reason})"),
        })
    }

    /// The point that is searched for: the value of an expression without columns.
    fn point(&self) -> Result<Option<Point<'static>>> {
        let value = value_of(&self.query)?;
        if value.is_null(0) {
            return Ok(None);
        }
        let points = Points::new(self.space, &value).map_err(external)?;
        Ok(points.point(0).map(Point::into_owned))
    }

    /// Of rows found, nearest first, those that are within the radius.
    fn within(&self, mut found: Vec<Neighbour>) -> Result<Vec<Neighbour>> {
        let Some(radius) = &self.within else { return Ok(found) };
        let bound = cast(&value_of(&radius.bound)?, &DataType::Float64)?;
        let Some(bound) = bound.as_primitive::<Float64Type>().iter().next().flatten() else {
            return Ok(Vec::new());
        };
        // NaN is above all numbers and equals itself.
        let order = |distance: f64| match distance.partial_cmp(&bound) {
            Some(order) => order,
            None => distance.is_nan().cmp(&bound.is_nan()),
        };
        found.retain(|neighbour| match neighbour.distance.map(order) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => radius.inclusive,
            Some(Ordering::Greater) | None => false,
        });
        Ok(found)
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
        let way = choose(&self.table, self.place, &snapshot, knobs, &query);
        Ok(Work {
            search: Arc::clone(self),
            rows: snapshot.table(self.table.id),
            query,
            way,
            probes_min: knobs.probes_min,
            recall: config.get_extension(),
            committed_end: snapshot.first_own_row(self.table.id),
            schema,
            counts: Counts::new(metrics, config.get_extension()),
        })
    }
}

/// What an expression without columns is.
fn value_of(expr: &Arc<dyn PhysicalExpr>) -> Result<ArrayRef> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    expr.evaluate(&one_row)?.into_array(1)
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
            match (group.row_ids(), mask) {
                (RowIds::Contiguous { first, len }, None) => {
                    matching.insert_range(first, RowId(first.0 + len as u64));
                }
                (RowIds::Contiguous { first, .. }, Some(mask)) => {
                    matching.insert_bits(first, mask.bit_chunks().iter_padded());
                }
                (ids, None) => ids.iter().for_each(|row| matching.insert(row)),
                (ids, Some(mask)) => {
                    mask.set_indices().for_each(|place| matching.insert(ids.row(place)));
                }
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
    way: Way,
    probes_min: usize,
    recall: Option<Arc<Recall>>,
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
        let search = Neighbours {
            rows: &self.rows,
            column: self.vector(),
            query: &self.query,
            k: self.search.k,
            ties: self.search.ties,
            allowed: &allowed,
        };
        let live = self.rows.live_rows();
        let is_small = live <= EXACT_ROWS_MAX || self.search.k as u64 > matching / 4;
        let found = match &self.way {
            Way::Index { entry, index, target } if !is_small && !search.is_cheap_to_read(index) => {
                let effort = Effort {
                    recall_target: *target,
                    probes_min: self.probes_min,
                    committed_end: self.committed_end,
                };
                let found = search.by_index(index, effort).await.map_err(external)?;
                found.inspect(|found| {
                    index.learn_scan(self.search.k, matching, live, found.scanned);
                    self.sample(entry, *target, &allowed, found);
                })
            }
            _ => None,
        };
        let found = match found {
            Some(found) => {
                self.count(&found);
                self.counts.ended(if self.search.filter.is_some() { "filtered" } else { "index" });
                found.rows
            }
            None => {
                let found = search.by_reading().await.map_err(external)?;
                self.count(&found);
                self.counts.ended("exact");
                found.rows
            }
        };
        self.rows_of(&self.search.within(found)?).await
    }

    fn count(&self, found: &Found) {
        self.counts.probes.add(found.probes);
        self.counts.scanned.add(usize::try_from(found.scanned).unwrap_or(usize::MAX));
    }

    /// Hands a search over to be answered a second time, exactly, if it is its turn.
    fn sample(&self, entry: &Arc<IndexEntry>, target: f32, allowed: &Arc<RowSet>, found: &Found) {
        let Some(recall) = &self.recall else { return };
        let is_filtered = self.search.filter.is_some();
        recall.offer(|| Sample {
            index: entry.id,
            name: entry.name.clone(),
            band: Band::of(is_filtered, allowed.len(), self.rows.live_rows()),
            target,
            rows: self.rows.clone(),
            column: self.vector().clone(),
            query: self.query.clone(),
            allowed: Arc::clone(allowed),
            found: found.rows.iter().take(self.search.k).copied().collect(),
        });
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
        Err(external(match self.way {
            Way::Index { .. } => different_dimensions(name, query.len(), dims),
            Way::Exact(_) => different_dimensions(name, dims, query.len()),
        }))
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
        let Search { table, place, metric, k, ties, within, filter, .. } = self.search.as_ref();
        let (name, column, way) = (&table.name, &table.columns[*place].name, &self.way);
        write!(f, "NearestExec: table={name}, column={column}, metric={metric}, k={k}")?;
        if *ties {
            f.write_str(" and ties")?;
        }
        if let Some(Radius { bound, inclusive }) = within {
            write!(f, ", distance {} {bound}", if *inclusive { "<=" } else { "<" })?;
        }
        write!(f, ", {way}")?;
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
        let seen = see(&self.search.query)?;
        match &self.search.within {
            Some(radius) if seen != TreeNodeRecursion::Stop => see(&radius.bound),
            _ => Ok(seen),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // The query vector may come from a subquery, which has run by the time of the first poll.
        let (search, schema, metrics) =
            (Arc::clone(&self.search), self.schema(), self.metrics.clone());
        let batch = stream::once(async move {
            let work = search.work(context.session_config(), schema, &metrics)?;
            work.run().instrument(tracing::debug_span!("search")).await
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batch)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
