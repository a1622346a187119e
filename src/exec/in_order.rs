//! The branches of UNION ALL one after the other, as PostgreSQL gives them, though they are computed at
//! the same time.

use datafusion::{
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties as _,
        coalesce_partitions::CoalescePartitionsExec,
        common::spawn_buffered,
        execute_stream,
        limit::{GlobalLimitExec, LimitStream},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet},
        stream::RecordBatchStreamAdapter,
        union::UnionExec,
    },
};
use futures::{StreamExt as _, stream};
use std::{any::Any, sync::Arc};

/// Batches of a branch that are computed before it is its turn.
const AHEAD: usize = 2;

/// The rows of a plan: of a union branch by branch, of others as they come.
pub(super) fn execute_in_order(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let Some((union, skip, fetch)) = union_of(plan) else {
        return execute_stream(Arc::clone(plan), Arc::clone(context));
    };
    let parts = (0..union.output_partitioning().partition_count())
        .map(|part| Ok(spawn_buffered(union.execute(part, Arc::clone(context))?, AHEAD)))
        .collect::<Result<Vec<_>>>()?;
    let rows = stream::iter(parts).flatten();
    let rows = Box::pin(RecordBatchStreamAdapter::new(union.schema(), rows));
    if (skip, fetch) == (0, None) {
        return Ok(rows);
    }
    let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    Ok(Box::pin(LimitStream::new(rows, skip, fetch, metrics)))
}

/// The union that a plan gives the rows of, how many of them it skips, and how many it gives.
fn union_of(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<(&Arc<dyn ExecutionPlan>, usize, Option<usize>)> {
    if let Some(limit) = as_plan::<GlobalLimitExec>(plan) {
        let (union, ..) = gathered(limit.input())?;
        return Some((union, limit.skip(), limit.fetch()));
    }
    gathered(plan).or_else(|| is_union(plan).then_some((plan, 0, None)))
}

/// The union whose branches a plan takes as they come.
fn gathered(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<(&Arc<dyn ExecutionPlan>, usize, Option<usize>)> {
    let gather = as_plan::<CoalescePartitionsExec>(plan)?;
    is_union(gather.input()).then(|| (gather.input(), 0, gather.fetch()))
}

/// Whether what a union gives is only computed with, row by row.
fn is_union(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut plan = plan;
    loop {
        if as_plan::<UnionExec>(plan).is_some() {
            return true;
        }
        // What follows the input of the last are subqueries.
        const ROW_BY_ROW: [&str; 4] =
            ["ProjectionExec", "FilterExec", "CooperativeExec", "ScalarSubqueryExec"];
        if !ROW_BY_ROW.contains(&plan.name()) {
            return false;
        }
        let Some(child) = plan.children().first().copied() else { return false };
        plan = child;
    }
}

fn as_plan<T: 'static>(plan: &Arc<dyn ExecutionPlan>) -> Option<&T> {
    (plan.as_ref() as &dyn Any).downcast_ref()
}
