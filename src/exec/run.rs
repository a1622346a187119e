//! Runs a bound plan: optimised, made physical, and executed on the CPU runtime, batch by batch as
//! the reader asks.

use super::{
    bounded::BoundedJoins, nearest::NearestPlanner, relations::Viewpoint, snapshot::Snapshot,
    table::as_table,
};
use crate::{
    catalog::{Table, pg::View},
    error::{Error, Result, SqlState},
    sql::{self, error::from_datafusion},
    telemetry::Metrics,
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{ParamValues, Result as DataFusionResult, ScalarValue},
    datasource::source_as_provider,
    execution::{
        SessionStateBuilder, context::QueryPlanner, runtime_env::RuntimeEnv,
        session_state::SessionState,
    },
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{LogicalPlan, TableSource},
    physical_plan::{ExecutionPlan, execute_stream},
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
    prelude::SessionConfig,
};
use futures::{FutureExt, Stream, StreamExt};
use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Batches of a result, pulled by its reader; dropping it stops the query.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// What plans of one node share: rules, memory, and where they compute.
#[derive(Debug, Clone)]
pub struct Runner {
    template: Arc<SessionState>,
    metrics: Arc<Metrics>,
    cpu: Handle,
}

/// What one statement's plans run with.
#[derive(Debug, Clone)]
pub struct Run {
    runner: Runner,
    state: Arc<SessionState>,
    cancel: CancellationToken,
}

/// How many batches wait between a query and its reader.
const BATCHES_AHEAD: usize = 2;

impl Runner {
    /// Plans of this node run on `cpu` within `environment`'s memory.
    #[must_use]
    pub fn new(
        environment: Arc<RuntimeEnv>,
        cpu: Handle,
        partitions: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_information_schema(false)
            .set_str("datafusion.sql_parser.dialect", "postgres")
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
            // Scans and searches choose their partitions; dealing rows out would lose the order in
            // which a search found them.
            .set_bool("datafusion.optimizer.enable_round_robin_repartition", false);
        let mut builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(environment)
            // DISTINCT ON is planned with it, by its name.
            .with_aggregate_functions(vec![first_value_udaf()])
            .with_physical_optimizer_rule(Arc::new(BoundedJoins))
            .with_query_planner(Arc::new(Planner));
        for rule in sql::optimizer_rules(table_of) {
            builder = builder.with_optimizer_rule(rule);
        }
        Self { template: Arc::new(builder.build()), metrics, cpu }
    }

    /// For one statement: on a snapshot, until cancelled.
    #[must_use]
    pub fn statement(
        &self,
        snapshot: Arc<Snapshot>,
        view: View,
        knobs: super::nearest::Knobs,
        cancel: CancellationToken,
    ) -> Run {
        let mut state = SessionState::clone(&self.template);
        state.config_mut().set_extension(snapshot);
        state.config_mut().set_extension(Arc::new(Viewpoint(view)));
        state.config_mut().set_extension(Arc::new(knobs));
        state.config_mut().set_extension(Arc::clone(&self.metrics));
        Run { runner: self.clone(), state: Arc::new(state), cancel }
    }

    /// Where plans compute.
    #[must_use]
    pub fn cpu(&self) -> &Handle {
        &self.cpu
    }
}

impl Run {
    /// The same on another snapshot.
    #[must_use]
    pub fn on(&self, snapshot: Arc<Snapshot>) -> Self {
        let mut state = SessionState::clone(&self.state);
        state.config_mut().set_extension(snapshot);
        Self { runner: self.runner.clone(), state: Arc::new(state), cancel: self.cancel.clone() }
    }

    /// What stops this statement.
    #[must_use]
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The optimised plan with its parameters in place.
    ///
    /// # Errors
    /// Those of the expressions that can be computed before any row is read.
    pub fn optimize(&self, plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
        let plan = with_parameters(plan, parameters)?;
        self.state.optimize(&plan).map_err(from_datafusion)
    }

    /// The physical plan.
    ///
    /// # Errors
    /// Those of planning.
    pub async fn physical(
        &self,
        plan: &LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (run, plan, parameters) = (self.clone(), plan.clone(), parameters.to_vec());
        self.compute(async move {
            let optimized = run.optimize(&plan, &parameters)?;
            let planner = run.state.query_planner();
            planner
                .create_physical_plan(&optimized, run.state.as_ref())
                .await
                .map_err(from_datafusion)
        })
        .await
    }

    /// The rows of a plan as a stream that its reader drives.
    ///
    /// # Errors
    /// Those of planning; those of running come in the stream.
    pub async fn stream(
        &self,
        plan: &LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<(SchemaRef, RowStream)> {
        let physical = self.physical(plan, parameters).await?;
        Ok((physical.schema(), self.execute(physical)))
    }

    /// The rows of a physical plan.
    #[must_use]
    pub fn execute(&self, plan: Arc<dyn ExecutionPlan>) -> RowStream {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let context = self.state.task_ctx();
        let task = self.runner.cpu.spawn(async move {
            let work = async {
                let mut batches = execute_stream(plan, context).map_err(from_datafusion)?;
                while let Some(batch) = batches.next().await {
                    if sender.send(batch.map_err(from_datafusion)).await.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            let ended = AssertUnwindSafe(work)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Error::internal("a plan panicked")));
            if let Err(error) = ended {
                let _ = sender.send(Err(error)).await;
            }
        });
        let guard = AbortOnDrop(task.abort_handle());
        let rows = Rows { receiver, cancel: self.cancel.clone(), ended: false, _guard: guard };
        Box::pin(futures::stream::unfold(rows, Rows::next))
    }

    /// All rows of a plan, for those that are needed whole: changes of rows.
    ///
    /// # Errors
    /// Those of planning and running.
    pub async fn collect(
        &self,
        plan: &LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let (schema, mut rows) = self.stream(plan, parameters).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        Ok((schema, batches))
    }

    /// Runs a computation where plans compute, until it ends or is cancelled.
    ///
    /// # Errors
    /// 57014 when cancelled, and its own.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.runner.cpu.spawn(work);
        let _guard = AbortOnDrop(task.abort_handle());
        tokio::select! {
            () = self.cancel.cancelled() => Err(cancelled()),
            ended = task => ended.unwrap_or_else(|error| {
                Err(Error::internal(format!("a computation ended: {error}")))
            }),
        }
    }
}

/// What a cancelled statement tells.
#[must_use]
pub fn cancelled() -> Error {
    Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// The table of a source of ours.
fn table_of(source: &Arc<dyn TableSource>) -> Option<Arc<Table>> {
    let provider = source_as_provider(source).ok()?;
    as_table(provider.as_ref()).map(|scan| Arc::clone(scan.table()))
}

/// A plan with `$1`, `$2` … replaced.
fn with_parameters(plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan.clone());
    }
    plan.clone()
        .replace_params_with_values(&ParamValues::from(parameters.to_vec()))
        .map_err(from_datafusion)
}

/// A parameter as a value of a plan.
///
/// # Errors
/// When the array is not of one value.
pub fn parameter(array: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(array, 0).map_err(from_datafusion)
}

struct Rows {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    cancel: CancellationToken,
    ended: bool,
    _guard: AbortOnDrop,
}

impl Rows {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        if self.ended {
            return None;
        }
        let batch = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Some(Err(cancelled())),
            batch = self.receiver.recv() => batch,
        }?;
        self.ended = batch.is_err();
        Some((batch, self))
    }
}

/// Stops a task when its reader is gone.
#[derive(Debug)]
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Our nodes first, then DataFusion's.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NearestPlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
