//! VALUES whose cells are computed each time that the plan runs.

use super::{
    constant::value_of,
    rows::{leaf, single_partition},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::concat,
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, DFSchemaRef, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
};
use futures::stream;
use std::{cmp::Ordering, fmt, sync::Arc};

/// The logical node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RowValues {
    pub(super) schema: DFSchemaRef,
    /// Row by row, over no columns.
    pub(super) values: Vec<Vec<Expr>>,
}

impl PartialOrd for RowValues {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for RowValues {
    fn name(&self) -> &str {
        "RowValues"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// For the planner, which looks for subqueries among them.
    fn expressions(&self) -> Vec<Expr> {
        self.values.iter().flatten().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowValues: rows={}", self.values.len())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        let width = self.schema.fields().len().max(1);
        let values = exprs.chunks(width).map(<[Expr]>::to_vec).collect();
        Ok(Self { schema: Arc::clone(&self.schema), values })
    }
}

/// Makes [`ValuesExec`] of [`RowValues`].
#[derive(Debug)]
pub(super) struct ValuesPlanner;

#[async_trait]
impl ExtensionPlanner for ValuesPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<RowValues>() else { return Ok(None) };
        let nothing = DFSchema::empty();
        let cell = |expr| planner.create_physical_expr(expr, &nothing, session, context);
        let rows = node
            .values
            .iter()
            .map(|row| row.iter().map(cell).collect::<Result<Vec<_>>>())
            .collect::<Result<Vec<_>>>()?;
        let schema: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let properties = single_partition(schema);
        Ok(Some(Arc::new(ValuesExec { rows: rows.into(), properties })))
    }
}

/// Up to so many rows are computed without more ado.
const FEW_ROWS: usize = 64;

/// The physical node.
#[derive(Debug)]
pub(super) struct ValuesExec {
    rows: Arc<[Vec<Arc<dyn PhysicalExpr>>]>,
    properties: Arc<PlanProperties>,
}

impl ValuesExec {
    /// Whether it computes a few rows.
    pub(super) fn is_light(&self) -> bool {
        self.rows.len() <= FEW_ROWS
    }
}

impl DisplayAs for ValuesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValuesExec: rows={}", self.rows.len())
    }
}

impl ExecutionPlan for ValuesExec {
    leaf!("ValuesExec");

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for cell in self.rows.iter().flatten() {
            see(cell)?;
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, schema) = (Arc::clone(&self.rows), self.schema());
        let batch = stream::once(async move { computed(&rows, &schema) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batch)))
    }
}

fn computed(rows: &[Vec<Arc<dyn PhysicalExpr>>], schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<Vec<ArrayRef>> =
        vec![Vec::with_capacity(rows.len()); schema.fields().len()];
    for row in rows {
        for (cells, cell) in columns.iter_mut().zip(row) {
            cells.push(value_of(cell)?);
        }
    }
    let columns = columns
        .into_iter()
        .map(|cells| {
            let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
            Ok(concat(&cells)?)
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
