//! Runs a bound plan on the CPU runtime, batch by batch as the reader asks. A plan is optimised
//! and made physical when it first runs; later runs find it ready (`reuse.rs`).

use super::{
    bounded::BoundedJoins,
    errand,
    failure::snapshot_of,
    in_order::execute_in_order,
    nearest::{Answers, NearestPlanner, Pages, PiecemealPlanner},
    parameter::{self, Parameters},
    recall::Recall,
    relations::Viewpoint,
    reuse::{Ready, Reusable},
    snapshot::Snapshot,
    table::table_of,
    values::ValuesPlanner,
};
use crate::{
    catalog::pg::View,
    error::{Error, Result, SqlState},
    sql::{self, Plan, error::from_datafusion},
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
    execution::{
        SessionStateBuilder, TaskContext, context::QueryPlanner, memory_pool::MemoryPool,
        runtime_env::RuntimeEnv, session_state::SessionState,
    },
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
    prelude::SessionConfig,
};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Batches of a result, pulled by its reader; dropping it stops the query.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// What plans of one node share: rules, memory, and where they compute.
#[derive(Debug, Clone)]
pub struct Runner {
    template: Arc<SessionState>,
    metrics: Arc<Metrics>,
    recall: Arc<Recall>,
    answers: Arc<Answers>,
    pages: Arc<Pages>,
    cpu: Handle,
}

/// What one statement's plans run with.
#[derive(Debug, Clone)]
pub struct Run {
    runner: Runner,
    config: SessionConfig,
    cancel: CancellationToken,
    shown: Option<PlanSlot>,
    /// Whether models have answered to what the statement asks of them whatever its rows are.
    is_answered: bool,
}

/// Where a plan that ran is put, for whoever wants to look at it.
pub type PlanSlot = Arc<OnceLock<Arc<dyn ExecutionPlan>>>;

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
        recall: Arc<Recall>,
        answers: Arc<Answers>,
    ) -> Self {
        let config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_information_schema(false)
            .set_str("datafusion.sql_parser.dialect", "postgres")
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
            // Scans and searches choose their partitions; dealing rows out would lose the order in
            // which a search found them.
            .set_bool("datafusion.optimizer.enable_round_robin_repartition", false)
            // A filter that a plan learns while it runs would stay with it for its next run.
            .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
        let mut builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(environment)
            // DISTINCT ON is planned with it, by its name.
            .with_aggregate_functions(vec![first_value_udaf()])
            .with_physical_optimizer_rule(Arc::new(BoundedJoins))
            .with_query_planner(Arc::new(Planner));
        errand::of_plans();
        for rule in sql::optimizer_rules(table_of) {
            builder = builder.with_optimizer_rule(rule);
        }
        let (template, pages) = (Arc::new(builder.build()), Arc::default());
        Self { template, metrics, recall, answers, pages, cpu }
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
        let config = self
            .template
            .config()
            .clone()
            .with_extension(snapshot)
            .with_extension(Arc::new(Viewpoint(view)))
            .with_extension(Arc::new(knobs))
            .with_extension(Arc::clone(&self.metrics))
            .with_extension(Arc::clone(&self.recall))
            .with_extension(Arc::clone(&self.answers))
            .with_extension(Arc::clone(&self.pages));
        Run { runner: self.clone(), config, cancel, shown: None, is_answered: false }
    }

    /// What is known of recall.
    #[must_use]
    pub fn recall(&self) -> &Recall {
        &self.recall
    }

    /// The memory that plans have.
    #[must_use]
    pub fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.template.runtime_env().memory_pool
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
        let config = self.config.clone().with_extension(snapshot);
        let (runner, cancel) = (self.runner.clone(), self.cancel.clone());
        Self { runner, config, cancel, shown: self.shown.clone(), is_answered: self.is_answered }
    }

    /// The same, which puts the first plan that it runs where it can be looked at.
    #[must_use]
    pub fn showing(self, plan: PlanSlot) -> Self {
        Self { shown: Some(plan), ..self }
    }

    /// The same, once models have answered to a statement's own texts.
    #[must_use]
    pub fn answered(self) -> Self {
        Self { is_answered: true, ..self }
    }

    /// The memory that plans have.
    #[must_use]
    pub fn memory(&self) -> &Arc<dyn MemoryPool> {
        self.runner.memory()
    }

    /// The node's counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.runner.metrics
    }

    /// What planning works with.
    fn state(&self) -> SessionState {
        let mut state = SessionState::clone(&self.runner.template);
        *state.config_mut() = self.config.clone();
        state
    }

    /// What running works with. Plans hold their functions; they look none up.
    fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::new(
            None,
            String::new(),
            self.config.clone(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            Arc::clone(self.runner.template.runtime_env()),
        ))
    }

    /// What stops this statement.
    #[must_use]
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The physical plan for these very parameters, as EXPLAIN shows it.
    ///
    /// # Errors
    /// Those of planning.
    pub async fn physical(
        &self,
        plan: &LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (plan, state) = (with_parameters(plan, parameters)?, self.state());
        self.compute(async move {
            let optimized = state.optimize(&plan).map_err(from_datafusion)?;
            planned(&state, &optimized).await
        })
        .await
    }

    /// A plan to run, from an earlier run or made now.
    async fn ready(
        &self,
        plan: &Arc<Plan>,
        reusable: &Arc<Reusable>,
        parameters: &[ScalarValue],
    ) -> Result<Ready> {
        let snapshot = snapshot_of(&self.config).map_err(from_datafusion)?;
        let ready = match reusable.take(parameters, &snapshot) {
            Some(ready) => ready,
            None => {
                let cell = Arc::new(Parameters::default());
                let known = reusable.known(parameters);
                let generic = match reusable.is_custom() {
                    true => None,
                    false => self.generic(plan, &known, &cell).await?,
                };
                let physical = match generic {
                    Some(physical) => physical,
                    None => {
                        reusable.make_custom();
                        self.physical(plan.logical(), parameters).await?
                    }
                };
                reusable.ready(physical, cell, known, &snapshot)
            }
        };
        ready.parameters.set(parameters);
        Ok(ready)
    }

    /// The physical plan for any parameters; `None` where there is none, because something needs
    /// the value of one to be planned.
    async fn generic(
        &self,
        plan: &Arc<Plan>,
        known: &[(usize, ScalarValue)],
        cell: &Arc<Parameters>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (plan, known, cell) = (Arc::clone(plan), known.to_vec(), Arc::clone(cell));
        let state = self.state();
        self.compute(async move {
            let (logical, held) =
                parameter::hold(plan.logical(), &known).map_err(from_datafusion)?;
            let made = async {
                let optimized = state.optimize(&logical)?;
                let released = held.release(optimized, &cell)?;
                state.query_planner().create_physical_plan(&released, &state).await
            };
            Ok(made.await.ok())
        })
        .await
    }

    /// The rows of a plan as a stream that its reader drives.
    ///
    /// # Errors
    /// Those of planning; those of running come in the stream.
    pub async fn stream(
        &self,
        plan: &Arc<Plan>,
        parameters: &[ScalarValue],
    ) -> Result<(SchemaRef, RowStream)> {
        let reusable = plan.kept(Reusable::new);
        let planned = self.ready(plan, &reusable, parameters);
        let ready = planned.instrument(tracing::debug_span!("plan")).await?;
        let (schema, physical) = (ready.plan.schema(), Arc::clone(&ready.plan));
        if let Some(shown) = &self.shown {
            // Those that follow belong to the same statement, and the first tells most.
            let _ = shown.set(Arc::clone(&physical));
        }
        let is_light = ready.is_light && (self.is_answered || !ready.asks);
        let ended_well = move || reusable.give_back(ready);
        Ok((
            schema,
            match is_light {
                true => self.run_here(physical, ended_well),
                false => self.run(physical, ended_well),
            },
        ))
    }

    /// The rows of a physical plan.
    #[must_use]
    pub fn execute(&self, plan: Arc<dyn ExecutionPlan>) -> RowStream {
        self.run(plan, || ())
    }

    /// The rows of a light plan, computed where they are read: for a few rows by key the way to
    /// the CPU runtime and back would take longer than the work.
    fn run_here(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        ended_well: impl FnOnce() + Send + 'static,
    ) -> RowStream {
        let (context, cancel) = (self.task_context(), self.cancel.clone());
        let work = async move {
            let collected =
                async { execute_in_order(&plan, &context)?.try_collect::<Vec<_>>().await };
            let collected = AssertUnwindSafe(collected).catch_unwind();
            let batches = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(cancelled()),
                batches = collected => match batches {
                    Ok(batches) => batches.map_err(from_datafusion)?,
                    Err(_) => return Err(Error::internal("a plan panicked")),
                },
            };
            ended_well();
            Ok(futures::stream::iter(batches.into_iter().map(Ok)))
        };
        Box::pin(work.into_stream().try_flatten())
    }

    /// The rows of a physical plan, and what is to be done once they have all been read.
    fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        ended_well: impl FnOnce() + Send + 'static,
    ) -> RowStream {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let context = self.task_context();
        let work = errand::errand(async move {
            let work = async {
                let mut batches = execute_in_order(&plan, &context).map_err(from_datafusion)?;
                while let Some(batch) = batches.next().await {
                    let batch = batch.map_err(from_datafusion)?;
                    if sender.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                drop(batches);
                ended_well();
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
        let task = self.runner.cpu.spawn(work);
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
        plan: &Arc<Plan>,
        parameters: &[ScalarValue],
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let (schema, mut rows) = self.stream(plan, parameters).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        Ok((schema, batches))
    }

    /// Begins a computation where plans compute. It goes on though its handle is dropped.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runner.cpu.spawn(work)
    }

    /// Runs a computation where plans compute, until it ends or is cancelled.
    ///
    /// # Errors
    /// 57014 when cancelled, and its own.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.runner.cpu.spawn(errand::errand(work));
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

async fn planned(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    state.query_planner().create_physical_plan(plan, state).await.map_err(from_datafusion)
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
        DefaultPhysicalPlanner::with_extension_planners(vec![
            Arc::new(NearestPlanner),
            Arc::new(PiecemealPlanner),
            Arc::new(ValuesPlanner),
        ])
        .create_physical_plan(plan, session)
        .await
    }
}
