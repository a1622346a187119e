//! A table as DataFusion sees it: its columns, scanned in one snapshot.
//!
//! The provider knows the table's shape only; rows come from the [`Snapshot`] that the running
//! statement put among the extensions of its configuration. So a plan can be kept and run again
//! on another snapshot, as long as the catalog is the same.

use super::{
    failure::{external, snapshot_of},
    key_lookup::{KeyLookup, KeyLookupExec},
    reader::Reader,
    rows::{leaf, partitions},
};
use crate::{
    catalog::Table,
    error::Result as NearlakeResult,
    ids::TableId,
    pgtype::{self, style::Style},
    storage::{
        columns::ColumnSpec,
        table::{Group, TableState},
    },
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        ColumnStatistics, Result, Statistics, stats::Precision, tree_node::TreeNodeRecursion,
    },
    datasource::source_as_provider,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown, TableSource, TableType},
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

    fn specs(&self) -> Result<&[ColumnSpec]> {
        if let Some(specs) = self.specs.get() {
            return Ok(specs);
        }
        let specs = column_specs(&self.table).map_err(external)?;
        Ok(self.specs.get_or_init(|| specs))
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
        // Only for the shape of the plan: when it runs, it reads the snapshot of that time.
        let rows = snapshot_of(session.config())?.table(self.table.id);
        let specs = self.specs()?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let reader = Reader::new(&schema, specs, projection, self.with_rows);

        if let Some(lookup) = KeyLookup::of(&self.table, filters, session) {
            return Ok(Arc::new(KeyLookupExec::new(&self.table, lookup, reader)));
        }
        let fetch = limit.filter(|_| filters.is_empty());
        let parts = session.config().target_partitions().max(1);
        Ok(Arc::new(ScanExec::new(&self.table, reader, &rows, parts, fetch)))
    }
}

/// A scan of all live rows of a table, group by group.
#[derive(Debug, Clone)]
pub struct ScanExec {
    table: TableId,
    table_name: String,
    reader: Reader,
    partitions: usize,
    /// How many rows there were when the plan was made.
    rows: usize,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    fn new(
        table: &Table,
        reader: Reader,
        rows: &TableState,
        parts: usize,
        fetch: Option<usize>,
    ) -> Self {
        let parts = parts.min(rows.groups().take(parts).count()).max(1);
        let properties = partitions(Arc::clone(reader.schema()), parts);
        Self {
            table: table.id,
            table_name: table.name.clone(),
            reader,
            partitions: parts,
            rows: usize::try_from(rows.live_rows()).unwrap_or(usize::MAX),
            fetch,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The groups of a partition. Neighbours stay together, so that a partition reads on in the
    /// same objects.
    fn groups(&self, rows: &TableState, partition: usize) -> Vec<Group> {
        let groups: Vec<Group> = rows.groups().collect();
        let share = groups.len().div_ceil(self.partitions).max(1);
        groups.into_iter().skip(partition * share).take(share).collect()
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.reader.schema().fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "ScanExec: table={}, columns=[{}]", self.table_name, names.join(", "))?;
        match self.fetch {
            Some(fetch) => write!(f, ", fetch={fetch}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ScanExec {
    leaf!("ScanExec");

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = snapshot_of(context.session_config())?.table(self.table);
        let reader = self.reader.clone();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let groups = stream::iter(self.groups(&rows, partition));
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

    /// Never exact: the plan may run again when there are more rows, or fewer.
    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows = match partition {
            None => self.rows.min(self.fetch.unwrap_or(usize::MAX)),
            Some(_) => self.rows / self.partitions,
        };
        let column_statistics =
            vec![ColumnStatistics::new_unknown(); self.reader.schema().fields().len()];
        Ok(Arc::new(Statistics {
            num_rows: Precision::Inexact(rows),
            total_byte_size: Precision::Absent,
            column_statistics,
        }))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch: limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        // Each partition stops there; only one partition is a limit of the whole.
        self.fetch.filter(|_| self.partitions == 1)
    }
}

/// The table of a source of ours.
pub(super) fn table_of(source: &Arc<dyn TableSource>) -> Option<Arc<Table>> {
    let provider = source_as_provider(source).ok()?;
    let scan = (provider.as_ref() as &dyn Any).downcast_ref::<TableScan>()?;
    Some(Arc::clone(&scan.table))
}
