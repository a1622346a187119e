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
    failure::{external, snapshot_of},
    rows::single_partition,
    snapshot::Snapshot,
    table::column_specs,
    topk::{Neighbour, Query, TopK, Vectors, different_dimensions, offer_rows, scan_group},
};
use crate::{
    catalog::{Index as IndexEntry, IndexKind, Table},
    ids::{RowId, RowSet},
    index::{Index, Search},
    pgtype::PgType,
    sql::nearest::Nearest,
    storage::{columns::ColumnSpec, table::TableState},
    telemetry::Metrics,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions},
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
        let snapshot = snapshot_of(session.config())?;
        let knobs = session.config().get_extension::<Knobs>().map(|k| *k).unwrap_or_default();
        let exec = NearestExec::new(node, snapshot, knobs, predicates, &query)?;
        Ok(Some(Arc::new(exec)))
    }
}

/// The physical top-k operator.
#[derive(Debug)]
pub struct NearestExec {
    table_name: String,
    column_name: String,
    rows: TableState,
    specs: Vec<ColumnSpec>,
    vector: ColumnSpec,
    projection: Vec<usize>,
    query: Query,
    k: usize,
    filter: Option<Filter>,
    way: Way,
    knobs: Knobs,
    committed_end: RowId,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
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
        snapshot: Arc<Snapshot>,
        knobs: Knobs,
        predicates: Vec<Arc<dyn PhysicalExpr>>,
        query: &Arc<dyn PhysicalExpr>,
    ) -> Result<Self> {
        let table = &node.table;
        let specs = column_specs(table).map_err(external)?;
        let place = table.position(node.column).ok_or_else(|| {
            DataFusionError::Internal(format!("no column {} to search", node.column))
        })?;
        let query = Query { metric: node.metric, vector: constant_vector(query)? };
        let way = choose(table, place, &snapshot, knobs, &query);
        let table_schema = node.source.schema();
        let filter = Filter::new(predicates, &table_schema)?;
        Ok(Self {
            table_name: table.name.clone(),
            column_name: table.columns[place].name.clone(),
            rows: snapshot.table(table.id),
            vector: specs[place].clone(),
            specs,
            projection: node.projection.clone(),
            query,
            k: node.k,
            filter,
            way,
            knobs,
            committed_end: snapshot.first_own_row(table.id),
            properties: single_partition(Arc::new(node.schema.as_arrow().clone())),
            metrics: ExecutionPlanMetricsSet::new(),
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
    let Some(vector) = &query.vector else { return Way::Exact("the query vector is NULL") };
    match snapshot.index(entry.id) {
        // Other dimensions are told when the search runs.
        Some(index)
            if vector.len() == index.options().dims as usize && !index.has_place(vector) =>
        {
            Way::Exact("the query vector has no place")
        }
        Some(index) => Way::Index { name: entry.name.clone(), index: index.clone() },
        None => Way::Exact("the index is being built"),
    }
}

/// The value of an expression without columns.
fn constant_vector(query: &Arc<dyn PhysicalExpr>) -> Result<Option<Vec<f32>>> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    let value = query.evaluate(&one_row)?.into_array(1)?;
    if !matches!(PgType::of_arrow(value.data_type()), PgType::Vector(_)) {
        if value.is_null(0) {
            return Ok(None);
        }
        return Err(DataFusionError::Internal(format!("{} is not a vector", value.data_type())));
    }
    Ok(Vectors::new(&value).get(0).map(<[f32]>::to_vec))
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
                let value = predicate.evaluate(&batch)?.into_array(group.len())?;
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

/// Everything that one run needs, apart from the plan that it came from.
struct Work {
    rows: TableState,
    specs: Vec<ColumnSpec>,
    vector: ColumnSpec,
    projection: Vec<usize>,
    query: Query,
    k: usize,
    filter: Option<Filter>,
    index: Option<Index>,
    knobs: Knobs,
    committed_end: RowId,
    schema: SchemaRef,
    counts: Counts,
}

impl Work {
    async fn run(self) -> Result<RecordBatch> {
        self.check_dimensions()?;
        let allowed = match &self.filter {
            None => Arc::clone(self.rows.live()),
            Some(filter) => Arc::new(filter.matching(&self.rows, &self.specs).await?),
        };
        let matching = allowed.len();
        self.counts.matching.add(usize::try_from(matching).unwrap_or(usize::MAX));
        let enough_for_index = matching > EXACT_ROWS_MAX && self.k as u64 <= matching / 4;
        let found = match &self.index {
            Some(index) if enough_for_index => self.by_index(index, &allowed).await?,
            _ => None,
        };
        let found = match found {
            Some(found) => {
                self.counts.ended(if self.filter.is_some() { "filtered" } else { "index" });
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

    fn check_dimensions(&self) -> Result<()> {
        let declared = match self.vector.kind {
            PgType::Vector(declared) => declared.map(usize::from),
            _ => None,
        };
        match (declared, &self.query.vector) {
            (Some(dims), Some(query)) if dims != query.len() && self.rows.live_rows() > 0 => {
                // As pgvector tells it: its index sees the query first.
                Err(external(match self.index {
                    Some(_) => different_dimensions(query.len(), dims),
                    None => different_dimensions(dims, query.len()),
                }))
            }
            _ => Ok(()),
        }
    }

    /// The nearest by the index and among the rows that it lacks; `None` when these are not k.
    async fn by_index(&self, index: &Index, allowed: &RowSet) -> Result<Option<Vec<Neighbour>>> {
        let Some(query) = &self.query.vector else { return Ok(None) };
        let search = Search {
            query,
            k: self.k,
            recall_target: self.knobs.recall_target,
            probes_min: self.knobs.probes_min,
            allowed: Some(allowed),
            below: self.committed_end,
        };
        let found = index.search(&search).await.map_err(external)?;
        self.counts.probes.add(found.probes);
        self.counts.scanned.add(usize::try_from(found.scanned).unwrap_or(usize::MAX));

        let mut top = self.exact(allowed, index.watermark()).await?;
        let rows: Vec<RowId> = found.hits.iter().map(|hit| hit.row).collect();
        let spec = std::slice::from_ref(&self.vector);
        let exact = self.rows.take(&rows, spec).await.map_err(external)?;
        let vectors = Vectors::new(exact.column(0));
        // A row above the watermark that the index has already was offered by the exact scan.
        let hits = rows.into_iter().enumerate().filter(|(_, row)| *row < index.watermark());
        offer_rows(&vectors, hits, &self.query, &mut top).map_err(external)?;
        if !top.is_full() {
            return Ok(None);
        }
        Ok(Some(top.into_sorted()))
    }

    /// The nearest of the allowed rows from a row on, by reading each.
    async fn exact(&self, allowed: &RowSet, from: RowId) -> Result<TopK> {
        let mut top = TopK::new(self.k);
        if self.k == 0 || allowed.is_empty() {
            return Ok(top);
        }
        let remaining = self.rows.groups().filter(|group| group.end_row() > from);
        if from == RowId(0) {
            for group in remaining {
                scan_group(&group, &self.vector, allowed, &self.query, &mut top).await?;
                self.counts.scanned.add(group.len());
                tokio::task::consume_budget().await;
            }
            return Ok(top);
        }
        // The group in which `from` lies has rows of both kinds.
        let mut newer = RowSet::empty(from, self.rows.next_row());
        allowed.iter_from(from).for_each(|row| newer.insert(row));
        for group in remaining {
            scan_group(&group, &self.vector, &newer, &self.query, &mut top).await?;
            self.counts.scanned.add(group.len());
            tokio::task::consume_budget().await;
        }
        Ok(top)
    }

    /// The projected columns of the rows found, and their distances.
    async fn rows_of(&self, found: &[Neighbour]) -> Result<RecordBatch> {
        let rows: Vec<RowId> = found.iter().map(|neighbour| neighbour.row).collect();
        let specs: Vec<ColumnSpec> =
            self.projection.iter().map(|&place| self.specs[place].clone()).collect();
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
        let (table, column, metric) = (&self.table_name, &self.column_name, self.query.metric);
        write!(f, "NearestExec: table={table}, column={column}, metric={metric}, k={}", self.k)?;
        match &self.way {
            Way::Index { name, .. } => {
                write!(f, ", index={name}, recall_target={}", self.knobs.recall_target)?;
                write!(f, " (exact when at most {EXACT_ROWS_MAX} rows match)")?;
            }
            Way::Exact(reason) => write!(f, ", exact ({reason})")?,
        }
        if let Some(filter) = &self.filter {
            let predicates: Vec<String> =
                filter.predicates.iter().map(|predicate| predicate.to_string()).collect();
            write!(f, ", filter={}", predicates.join(" AND "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for NearestExec {
    fn name(&self) -> &'static str {
        "NearestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let index = match &self.way {
            Way::Index { index, .. } => Some(index.clone()),
            Way::Exact(_) => None,
        };
        let work = Work {
            rows: self.rows.clone(),
            specs: self.specs.clone(),
            vector: self.vector.clone(),
            projection: self.projection.clone(),
            query: self.query.clone(),
            k: self.k,
            filter: self.filter.clone(),
            index,
            knobs: self.knobs,
            committed_end: self.committed_end,
            schema: self.schema(),
            counts: Counts::new(&self.metrics, context.session_config().get_extension()),
        };
        let batch = stream::once(work.run());
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batch)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
