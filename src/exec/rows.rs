//! Rows that are at hand when a plan runs: made by a system relation, or handed in by a statement.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;
use std::{fmt, sync::Arc};

/// What every plan without inputs says of itself.
macro_rules! leaf {
    ($name:literal) => {
        fn name(&self) -> &'static str {
            $name
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            Vec::new()
        }

        fn with_new_children(
            self: Arc<Self>,
            _: Vec<Arc<dyn ExecutionPlan>>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }
    };
}
pub(super) use leaf;

/// Where the rows come from, each time that the plan runs.
pub(super) type Source = Arc<dyn Fn(&TaskContext) -> Result<Arc<[RecordBatch]>> + Send + Sync>;

/// A physical plan that yields rows that are at hand.
pub(super) struct RowsExec {
    label: &'static str,
    projection: Option<Vec<usize>>,
    source: Source,
    properties: Arc<PlanProperties>,
}

impl RowsExec {
    /// Yields what `source` gives, whose batches are of `schema`; EXPLAIN shows `label`.
    ///
    /// # Errors
    /// When the projection is not of the schema.
    pub(super) fn new(
        label: &'static str,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
        source: Source,
    ) -> Result<Self> {
        let projected = match projection {
            None => Arc::clone(schema),
            Some(projection) => Arc::new(schema.project(projection)?),
        };
        let properties = single_partition(projected);
        Ok(Self { label, projection: projection.cloned(), source, properties })
    }
}

impl fmt::Debug for RowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsExec({})", self.label)
    }
}

/// The properties of a leaf with one partition in no particular order.
#[must_use]
pub(super) fn single_partition(schema: SchemaRef) -> Arc<PlanProperties> {
    partitions(schema, 1)
}

/// The properties of a leaf with some partitions in no particular order.
#[must_use]
pub(super) fn partitions(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for RowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsExec: {}", self.label)
    }
}

impl ExecutionPlan for RowsExec {
    leaf!("RowsExec");

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = (self.source)(&context)?;
        let batches = rows
            .iter()
            .map(|batch| match &self.projection {
                None => Ok(batch.clone()),
                Some(projection) => Ok(batch.project(projection)?),
            })
            .collect::<Vec<_>>();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::iter(batches))))
    }
}
