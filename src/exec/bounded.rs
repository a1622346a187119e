//! Joins that compare every pair of rows give way: they are fed so that one turn of the scheduler
//! is at most about [`PAIRS_MAX`] pairs, and a cancelled query leaves its thread at the next turn.
//!
//! ```text
//!   NestedLoopJoinExec            Cooperative
//!     build                  =>     NestedLoopJoinExec
//!     probe                           Counted   build      how many rows there are
//!                                     Sliced    probe      so many at a time, a turn each
//! ```

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        coop::CooperativeExec,
        execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
        joins::{CrossJoinExec, NestedLoopJoinExec},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many pairs of rows are compared in one turn.
const PAIRS_MAX: usize = 1_000_000;

/// The rule; it follows DataFusion's own.
#[derive(Debug)]
pub(super) struct BoundedJoins;

impl PhysicalOptimizerRule for BoundedJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if is::<CrossJoinExec>(&plan) {
                return Ok(Transformed::yes(cooperative(plan)));
            }
            if !is::<NestedLoopJoinExec>(&plan) {
                return Ok(Transformed::no(plan));
            }
            let built = Arc::new(AtomicUsize::new(0));
            let [build, probe] = plan.children()[..] else { return Ok(Transformed::no(plan)) };
            let fed = |input: &Arc<dyn ExecutionPlan>, side| -> Arc<dyn ExecutionPlan> {
                Arc::new(FedExec { input: Arc::clone(input), side, built: Arc::clone(&built) })
            };
            let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            let children = vec![fed(build, Side::Counted), fed(probe, Side::Sliced)];
            Ok(Transformed::yes(cooperative(plan.replace_children(children, recompute)?)))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "bounded_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn is<T: 'static>(plan: &Arc<dyn ExecutionPlan>) -> bool {
    (plan.as_ref() as &dyn Any).is::<T>()
}

fn cooperative(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(CooperativeExec::new(plan))
}

#[derive(Debug, Clone, Copy)]
enum Side {
    /// Its rows are counted: the other side waits until they are all there.
    Counted,
    /// Its rows come so many at a time as the count allows.
    Sliced,
}

/// An input of a join that compares every pair.
#[derive(Debug)]
struct FedExec {
    input: Arc<dyn ExecutionPlan>,
    side: Side,
    built: Arc<AtomicUsize>,
}

impl DisplayAs for FedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FedExec: {:?}", self.side)
    }
}

impl ExecutionPlan for FedExec {
    fn name(&self) -> &'static str {
        "FedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (side, built) = (self.side, Arc::clone(&self.built));
        Ok(Arc::new(Self { input: children.swap_remove(0), side, built }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let built = Arc::clone(&self.built);
        match self.side {
            Side::Counted => {
                let counted = input.inspect_ok(move |batch| {
                    built.fetch_add(batch.num_rows(), Ordering::Relaxed);
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
            }
            Side::Sliced => {
                let sliced = input
                    .map_ok(move |batch| {
                        let rows = PAIRS_MAX / built.load(Ordering::Relaxed).max(1);
                        stream::iter(slices(&batch, rows.max(1)).map(Ok))
                    })
                    .try_flatten()
                    .then(|slice| async {
                        // A turn each: whoever cancelled is heard in between.
                        tokio::task::yield_now().await;
                        slice
                    });
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), sliced)))
            }
        }
    }
}

fn slices(batch: &RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> + use<> {
    let batch = batch.clone();
    (0..batch.num_rows())
        .step_by(rows)
        .map(move |at| batch.slice(at, rows.min(batch.num_rows() - at)))
}
