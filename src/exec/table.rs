//! A table as DataFusion sees it: its columns, scanned in one snapshot.
//!
//! The provider knows the table's shape only; rows come from the [`Snapshot`] that the running
//! statement put among the extensions of its configuration. So a plan can be kept and run again
//! on another snapshot, as long as the catalog is the same.

use super::{
    failure::{external, snapshot_of},
    rows::{RowsExec, partitions},
};
use crate::{
    catalog::Table,
    error::Result as NearlakeResult,
    ids::{ColumnId, RowId},
    pgtype::{self, output::Style},
    storage::{
        columns::ColumnSpec,
        keys::key_hashes,
        table::{Group, TableState},
    },
};
use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, Statistics},
    common::{Result, ScalarValue, stats::Precision, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
        utils::split_conjunction,
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};
use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

/// The hidden column that bears a row's id: `UInt64`.
pub use crate::sql::ROW_COLUMN;

/// A table, scannable.
#[derive(Debug)]
pub struct TableScan {
    table: Arc<Table>,
    schema: SchemaRef,
    /// Whether [`ROW_COLUMN`] comes after the table's columns.
    with_rows: bool,
    specs: OnceLock<Vec<ColumnSpec>>,
}

impl TableScan {
    /// A table with or without the row id.
    #[must_use]
    pub fn new(table: Arc<Table>, with_rows: bool) -> Self {
        let mut fields = fields(&table);
        if with_rows {
            fields.push(Field::new(ROW_COLUMN, DataType::UInt64, false));
        }
        let schema = Arc::new(Schema::new(fields));
        Self { table, schema, with_rows, specs: OnceLock::new() }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn specs(&self) -> Result<&[ColumnSpec]> {
        if let Some(specs) = self.specs.get() {
            return Ok(specs);
        }
        let specs = column_specs(&self.table).map_err(external)?;
        Ok(self.specs.get_or_init(|| specs))
    }

    /// The rows that agree with `filters` in all columns of a unique key, if the filters say so.
    async fn by_key(
        &self,
        rows: &TableState,
        filters: &[Expr],
    ) -> NearlakeResult<Option<(String, Vec<RowId>)>> {
        let mut equal: Vec<(ColumnId, &ScalarValue)> = Vec::new();
        for conjunct in filters.iter().flat_map(split_conjunction) {
            if let Some((name, value)) = equality(conjunct)
                && let Some(column) = self.table.column(name)
                && column.kind.arrow() == value.data_type()
            {
                equal.push((column.id, value));
            }
        }
        for (key, columns) in self.table.keys() {
            let value = |id: &ColumnId| equal.iter().find(|(c, _)| c == id).map(|(_, v)| *v);
            let Some(values) = columns.iter().map(value).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let arrays = values.iter().map(|v| v.to_array()).collect::<Result<Vec<ArrayRef>, _>>();
            let Ok(arrays) = arrays else { continue };
            let label = format!("KeyLookup: table={}, key={}", self.table.name, key.name);
            let Some(hash) = key_hashes(&arrays)[0] else { return Ok(Some((label, Vec::new()))) };
            let candidates = rows.key_candidates(key.id, &[hash]).await?.swap_remove(0);
            return Ok(Some((label, candidates)));
        }
        Ok(None)
    }
}

/// The fields of a table's columns, which remember their types.
#[must_use]
pub fn fields(table: &Table) -> Vec<Field> {
    table.columns.iter().map(|column| column.kind.field(&column.name, !column.not_null)).collect()
}

/// What the storage must know to read a table's columns.
///
/// # Errors
/// When a column's value for older rows is not of its type.
pub fn column_specs(table: &Table) -> NearlakeResult<Vec<ColumnSpec>> {
    table
        .columns
        .iter()
        .map(|column| {
            let missing = match &column.missing {
                None => None,
                Some(text) => {
                    Some(pgtype::cast::parse_text(&column.kind, text, &Style::default())?)
                }
            };
            Ok(ColumnSpec { id: column.id, kind: column.kind.clone(), missing })
        })
        .collect()
}

/// `column = literal`, either way round.
fn equality(expr: &Expr) -> Option<(&str, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(column)) => Some((&column.name, value)),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // The scan finds rows by key where it can; a filter above checks all of them again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = snapshot_of(session.config())?.table(self.table.id);
        let specs = self.specs()?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let reader = Reader::new(&schema, specs, projection, self.with_rows);

        if let Some((label, candidates)) = self.by_key(&rows, filters).await.map_err(external)? {
            let live: Vec<RowId> = candidates.into_iter().filter(|&r| rows.is_live(r)).collect();
            let batch = reader.take(&rows, &live).await?;
            return Ok(Arc::new(RowsExec::new(label, schema, vec![batch])));
        }
        let fetch = limit.filter(|_| filters.is_empty());
        let parts = session.config().target_partitions().max(1);
        Ok(Arc::new(ScanExec::new(self.table.name.clone(), reader, &rows, parts, fetch)))
    }
}

/// Which columns are read, and what shape they are given.
#[derive(Debug, Clone)]
pub struct Reader {
    schema: SchemaRef,
    specs: Vec<ColumnSpec>,
    /// Where in the schema the row id goes.
    row_column: Vec<usize>,
}

impl Reader {
    /// Reads the columns at `projection` of a table's columns followed by the row id.
    #[must_use]
    pub fn new(
        schema: &SchemaRef,
        specs: &[ColumnSpec],
        projection: &[usize],
        with_rows: bool,
    ) -> Self {
        let is_row = |place: &usize| with_rows && projection[*place] == specs.len();
        let row_column = (0..projection.len()).filter(is_row).collect();
        let specs = projection.iter().filter_map(|&i| specs.get(i).cloned()).collect();
        Self { schema: Arc::clone(schema), specs, row_column }
    }

    /// The live rows of a group, in order.
    async fn group(&self, group: &Group) -> Result<RecordBatch> {
        let columns = group.columns(&self.specs).await.map_err(external)?;
        let rows = || UInt64Array::from_iter_values(group.row_ids().iter().map(|row| row.0));
        let batch = self.batch(columns, group.len(), rows)?;
        match group.live_mask() {
            None => Ok(batch),
            Some(mask) => Ok(filter_record_batch(&batch, &BooleanArray::new(mask, None))?),
        }
    }

    /// Some rows in the order given.
    async fn take(&self, rows: &TableState, ids: &[RowId]) -> Result<RecordBatch> {
        let taken = rows.take(ids, &self.specs).await.map_err(external)?;
        let id_column = || UInt64Array::from_iter_values(ids.iter().map(|row| row.0));
        self.batch(taken.columns().to_vec(), ids.len(), id_column)
    }

    fn batch(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        ids: impl Fn() -> UInt64Array,
    ) -> Result<RecordBatch> {
        for &place in &self.row_column {
            columns.insert(place, Arc::new(ids()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// A scan of all live rows of a table, group by group.
#[derive(Debug)]
pub struct ScanExec {
    table: String,
    reader: Reader,
    partitions: Vec<Vec<Group>>,
    live_rows: usize,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    fn new(
        table: String,
        reader: Reader,
        rows: &TableState,
        parts: usize,
        fetch: Option<usize>,
    ) -> Self {
        let groups: Vec<Group> = rows.groups().collect();
        // Neighbours stay together, so that a partition reads on in the same objects.
        let parts = parts.min(groups.len()).max(1);
        let share = groups.len().div_ceil(parts).max(1);
        let mut chunks: Vec<Vec<Group>> = groups.chunks(share).map(<[Group]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let properties = partitions(Arc::clone(&reader.schema), chunks.len());
        Self {
            table,
            reader,
            partitions: chunks,
            live_rows: usize::try_from(rows.live_rows()).unwrap_or(usize::MAX),
            fetch,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.reader.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "ScanExec: table={}, columns=[{}]", self.table, names.join(", "))?;
        match self.fetch {
            Some(fetch) => write!(f, ", fetch={fetch}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
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

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reader = self.reader.clone();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let groups = stream::iter(self.partitions[partition].clone());
        let batches = groups
            .then(move |group| {
                let reader = reader.clone();
                async move { reader.group(&group).await }
            })
            .inspect(move |batch| {
                if let Ok(batch) = batch {
                    metrics.record_output(batch.num_rows());
                }
            })
            .filter(|batch| {
                let wanted = batch.as_ref().map_or(true, |batch| batch.num_rows() > 0);
                async move { wanted }
            })
            .scan((), move |(), batch| {
                let next = match batch {
                    _ if left == 0 => None,
                    Ok(batch) => {
                        let rows = batch.num_rows().min(left);
                        left -= rows;
                        Some(Ok(batch.slice(0, rows)))
                    }
                    Err(error) => Some(Err(error)),
                };
                async move { next }
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let num_rows = match partition {
            None => Precision::Exact(self.live_rows.min(self.fetch.unwrap_or(usize::MAX))),
            Some(_) => Precision::Inexact(self.live_rows / self.partitions.len()),
        };
        let column_statistics =
            vec![ColumnStatistics::new_unknown(); self.reader.schema.fields().len()];
        Ok(Arc::new(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self {
            table: self.table.clone(),
            reader: self.reader.clone(),
            partitions: self.partitions.clone(),
            live_rows: self.live_rows,
            fetch: limit,
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn fetch(&self) -> Option<usize> {
        // Each partition stops there; only one partition is a limit of the whole.
        self.fetch.filter(|_| self.partitions.len() == 1)
    }
}

/// Whether a provider is a table of ours.
#[must_use]
pub fn as_table(provider: &dyn TableProvider) -> Option<&TableScan> {
    (provider as &dyn Any).downcast_ref()
}
