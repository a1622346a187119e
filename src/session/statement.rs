//! Prepares and runs one statement.

use super::{
    Outcome, Rows, RowsTag, Session,
    cancel::Pace,
    explain,
    running::{Running, SlowLog, watched},
    settings::Settings,
    utility,
};
use crate::{
    error::{Error, Result, SqlState},
    exec::{
        build::Limits,
        nearest::Knobs,
        relations::Sources,
        rows_stream, run,
        snapshot::Snapshot,
        targets,
        transaction::Transaction,
        update, with,
        write::{self, Env, Written},
    },
    ids::Oid,
    pgtype::PgType,
    sql::{self, Bound, Context, OutputColumn, Query, Refusal, Statement, Utility},
};
use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use parking_lot::Mutex;
use std::{borrow::Cow, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// A statement whose parameters and columns are known.
#[derive(Debug)]
pub struct Prepared {
    /// `None`: the empty statement.
    statement: Option<Statement>,
    declared: Vec<Option<PgType>>,
    parameters: Vec<PgType>,
    columns: Option<Arc<[OutputColumn]>>,
    /// Rows that it reads beside those of tables.
    given: Option<Given>,
    /// The statement bound to a version of the catalog; bound again when that changes.
    bound: Mutex<Option<Binding>>,
}

/// Rows that a statement reads as the relation `given`, without their being in a table.
#[derive(Debug, Clone)]
pub struct Given {
    /// Their columns.
    pub columns: Vec<OutputColumn>,
    /// The rows: columns of the Arrow types that their types have.
    pub rows: RecordBatch,
}

/// A bound statement, and what it was bound to.
#[derive(Debug)]
struct Binding {
    catalog: u64,
    /// Whose schema `"$user"` is, and who `current_user` is.
    role: Oid,
    settings: Arc<str>,
    bound: Arc<Bound>,
    /// Why that role may not run it, if so: it may be prepared all the same.
    refused: Option<Refusal>,
}

impl Binding {
    /// What is to be run, if the role may.
    fn allowed(&self) -> Result<Arc<Bound>> {
        match &self.refused {
            None => Ok(Arc::clone(&self.bound)),
            Some(refused) => Err(refused.error()),
        }
    }
}

/// What statements ask the settings for, read once until these change.
#[derive(Debug)]
pub(super) struct Derived {
    binding: Arc<str>,
    knobs: Knobs,
    limits: Limits,
    timeout: Option<Duration>,
    /// Which statements are logged.
    pub(super) slow: Option<SlowLog>,
}

impl Derived {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            binding: settings.binding(),
            knobs: knobs(settings),
            limits: limits(settings),
            timeout: settings.duration("statement_timeout"),
            slow: SlowLog::of(settings),
        }
    }
}

/// What a build of an index obeys.
fn limits(settings: &Settings) -> Limits {
    let number = |name| usize::try_from(settings.number(name)).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = number("max_parallel_maintenance_workers");
    Limits {
        memory_bytes: number("maintenance_work_mem") as u64 * 1024,
        threads: (workers + 1).min(cores),
    }
}

/// What a search obeys.
pub(super) fn knobs(settings: &Settings) -> Knobs {
    let number = |name| usize::try_from(settings.number(name)).unwrap_or(0);
    // pgvector's defaults ask for nothing; what lies above them does.
    let (ef_search, probes) = (number("hnsw.ef_search"), number("ivfflat.probes"));
    let raised = if ef_search > 40 { ef_search.div_ceil(16) } else { 0 };
    Knobs {
        recall_target: settings
            .given("nearlake.recall_target")
            .and_then(|share| share.parse().ok()),
        probes_min: raised.max(if probes > 1 { probes } else { 0 }),
        use_index: settings.is_on("enable_indexscan"),
    }
}

impl Prepared {
    /// The types of its parameters.
    #[must_use]
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }

    /// The columns of its result; `None` where it gives none.
    #[must_use]
    pub fn columns(&self) -> Option<&[OutputColumn]> {
        self.columns.as_deref()
    }

    /// The statement's text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.statement.as_ref().map_or("", |statement| statement.text())
    }
}

impl Session {
    /// Gives a statement its names and types. `None` is the empty statement.
    ///
    /// # Errors
    /// Those of binding; 25P02 in a failed transaction.
    pub async fn prepare(
        &mut self,
        statement: Option<Statement>,
        types: &[Option<PgType>],
    ) -> Result<Arc<Prepared>> {
        let mut prepared = Prepared {
            statement,
            declared: types.to_vec(),
            parameters: Vec::new(),
            columns: None,
            given: None,
            bound: Mutex::new(None),
        };
        let Some(statement) = &prepared.statement else { return Ok(Arc::new(prepared)) };
        self.check_not_failed(statement)?;
        statement.warn(self.context.as_ref());
        let statement = statement.clone();
        let snapshot = self.look(&statement);
        if let Some(known) = self.cache.prepared(&statement, types)
            && self.still_bound(&known, snapshot.catalog().version(), |_| ()).is_some()
        {
            return Ok(known);
        }
        let binding = self.bind(&statement, types, None)?;
        prepared.parameters = binding.bound.parameters().to_vec();
        prepared.columns = self.columns_of(&binding.bound)?;
        let is_utility = matches!(*binding.bound, Bound::Utility(_) | Bound::Explain { .. });
        let is_known = !self.has_own_names();
        prepared.bound = Mutex::new(is_known.then_some(binding));
        let prepared = Arc::new(prepared);
        if is_known && !is_utility {
            self.cache.keep(&statement, types, &prepared);
        }
        Ok(prepared)
    }

    /// The type of an oid by which a client declares a parameter.
    pub fn type_of_oid(&mut self, oid: u32) -> Option<PgType> {
        PgType::from_oid(oid, -1).or_else(|| self.snapshot().catalog().type_of_oid(oid))
    }

    /// The types of a statement's parameters, as values are read now: types that users made may have changed
    /// since it was prepared.
    pub fn parameter_types<'p>(&mut self, prepared: &'p Prepared) -> Cow<'p, [PgType]> {
        if !prepared.parameters.iter().any(PgType::is_user_made) {
            return Cow::Borrowed(&prepared.parameters);
        }
        let snapshot = self.snapshot();
        let current = prepared.parameters.iter().map(|kind| snapshot.catalog().current(kind));
        Cow::Owned(current.collect())
    }

    /// Gives a statement that reads handed-in rows its names and types. It is run once.
    ///
    /// # Errors
    /// Those of binding; 25P02 in a failed transaction.
    pub fn prepare_given(
        &mut self,
        statement: Statement,
        types: &[Option<PgType>],
        given: Given,
    ) -> Result<Arc<Prepared>> {
        self.check_not_failed(&statement)?;
        self.look(&statement);
        let binding = self.bind(&statement, types, Some(&given))?;
        Ok(Arc::new(Prepared {
            statement: Some(statement),
            declared: types.to_vec(),
            parameters: binding.bound.parameters().to_vec(),
            columns: self.columns_of(&binding.bound)?,
            given: Some(given),
            bound: Mutex::new(Some(binding)),
        }))
    }

    /// Runs a statement. Rows come as a stream that the caller drives.
    ///
    /// # Errors
    /// Whatever the statement meets. The caller then calls [`Session::fail`].
    pub async fn execute(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ArrayRef>,
    ) -> Result<Outcome> {
        let Some(statement) = &prepared.statement else { return Ok(Outcome::Empty) };
        self.context.statement_starts(statement.text());
        self.check_not_failed(statement)?;
        self.settle();
        let stop = self.context.canceller.renew();
        let limit = self.derived.timeout.map(|limit| (limit, Arc::clone(&self.engine.clock)));
        let pace = Pace::begin(self.context.canceller.clone(), stop.clone(), limit);
        let mut running = Running::new(self, statement, prepared, &parameters, pace);
        let reads = Arc::clone(&running.reads);
        let work = reads.within(self.run(prepared, parameters, stop.token()));
        let outcome = work.instrument(running.span.clone()).await;
        let outcome = outcome.map_err(|error| {
            running.failed();
            stop.reason(error)
        })?;
        Ok(watched(outcome, stop, running))
    }

    async fn run(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ArrayRef>,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let bound = self.rebound(prepared)?;
        let parameters: Vec<ScalarValue> =
            parameters.iter().map(run::parameter).collect::<Result<_>>()?;
        if let Bound::Utility(statement) = bound.as_ref() {
            return utility::run(self, statement, cancel).await;
        }
        self.open_transaction();
        let env = self.env(parameters, cancel.clone());
        self.run_held(prepared, bound, env).await
    }

    /// Runs a statement in the open transaction, once the tables that it changes are held and are
    /// what it is bound to.
    pub(super) async fn run_held(
        &mut self,
        prepared: &Prepared,
        mut bound: Arc<Bound>,
        mut env: Env,
    ) -> Result<Outcome> {
        while !targets::hold(&bound, &env, self.open_transaction()).await? {
            bound = self.rebound(prepared)?;
            env = self.env(env.parameters, env.run.cancel().clone());
        }
        self.run_bound(&bound, &env).await
    }

    /// Runs a query or a change of rows in the open transaction.
    async fn run_bound(&mut self, bound: &Arc<Bound>, env: &Env) -> Result<Outcome> {
        match bound.as_ref() {
            Bound::Query(query) => self.run_query(query, env).await.map(Outcome::Rows),
            Bound::Explain { options, query } => {
                explain::run(self, *options, query, env).await.map(Outcome::Rows)
            }
            Bound::Insert(_) | Bound::Update(_) | Bound::Delete(_) | Bound::Merge(_) => {
                self.run_change(bound, env).await
            }
            Bound::With(statement) => {
                let transaction = self.transaction.as_mut().expect("a statement has a transaction");
                Ok(match (with::run(statement, env, transaction).await?, statement.main.as_ref()) {
                    (with::Ran::Rows(batches), main) => Outcome::Rows(Rows::new(
                        main.columns().unwrap_or_default().into(),
                        rows_stream(batches),
                        RowsTag::Counted("SELECT"),
                    )),
                    (with::Ran::Wrote(written), main) => changed(main, written),
                })
            }
            Bound::Copy(copy) => match &copy.file {
                Some(path) => self.copy_file(copy, path, env).await,
                None => self.run_copy(copy, env).await,
            },
            Bound::Utility(_) => Err(Error::internal("a utility is not run here")),
        }
    }

    /// The rows of a query.
    pub(super) async fn run_query(&mut self, query: &Query, env: &Env) -> Result<Rows> {
        let mut env = env.clone();
        let answered = self.ask_ahead(query, &env).await;
        if answered.is_some() {
            env.run = env.run.answered();
        }
        self.context.keep_answers(answered.unwrap_or_default());
        if let Some(locking) = &query.locking {
            let transaction = self.transaction.as_mut().expect("a statement has a transaction");
            transaction.check_writable("SELECT FOR UPDATE")?;
            let picture = update::lock_for_reading(locking, &env, transaction).await?;
            env = env.on(picture);
        }
        let (_, stream) = env.run.stream(&query.plan, &env.parameters).await?;
        let columns = query.columns.clone().into();
        Ok(Rows::new(columns, stream, RowsTag::Counted("SELECT")))
    }

    async fn run_change(&mut self, bound: &Bound, env: &Env) -> Result<Outcome> {
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        let mark = transaction.mark();
        match with::write(bound, env, transaction).await {
            Ok(written) => Ok(changed(bound, written)),
            Err(error) => {
                transaction.undo_to(mark);
                Err(error)
            }
        }
    }

    /// What a change of rows runs with.
    pub(super) fn env(&mut self, parameters: Vec<ScalarValue>, cancel: CancellationToken) -> Env {
        let snapshot = self.snapshot();
        self.settle();
        let knobs = self.derived.knobs;
        let view = self.context.view();
        let mut run = self.engine.runner.statement(snapshot, view, knobs, cancel);
        if let Some(plan) = &self.shown_plan {
            run = run.showing(plan.clone());
        }
        Env {
            run,
            context: self.context(),
            parameters,
            lock_timeout: self.context.lock_timeout(),
            spill: self.engine.services.spill.clone(),
            builds: Arc::clone(self.engine.builds()),
            limits: self.derived.limits,
            shared: None,
        }
    }

    /// The snapshot of the running statement, shown to functions too.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        let snapshot = match &mut self.transaction {
            Some(transaction) => transaction.snapshot(),
            None => Arc::new(Snapshot::committed(self.engine.states.snapshot())),
        };
        self.context.see(Arc::clone(&snapshot));
        snapshot
    }

    /// What a statement that is prepared now would see.
    fn look(&mut self, statement: &Statement) -> Arc<Snapshot> {
        let takes_none = statement.utility().is_some_and(Utility::takes_no_snapshot);
        if let Some(transaction) = &mut self.transaction {
            if takes_none {
                let snapshot = transaction.glance();
                self.context.see(Arc::clone(&snapshot));
                return snapshot;
            }
            transaction.start_statement();
        }
        self.snapshot()
    }

    /// Whether the open transaction has names of its own. They are numbered like those that others
    /// commit meanwhile, so nothing that was bound to them is kept.
    fn has_own_names(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::has_changed_names)
    }

    fn bind(
        &mut self,
        statement: &Statement,
        types: &[Option<PgType>],
        given: Option<&Given>,
    ) -> Result<Binding> {
        self.settle();
        let catalog = self.context.catalog();
        let context = self.context();
        let types: Vec<Option<PgType>> =
            types.iter().map(|kind| kind.as_ref().map(|kind| catalog.current(kind))).collect();
        let types = types.as_slice();
        let (bound, needs) = match given {
            None => sql::bind(statement, &context, &Sources, types)?,
            Some(Given { columns, rows }) => {
                let name = ("given", columns.as_slice());
                let (bound, needs, slot) =
                    sql::bind_given(statement, name, &context, &Sources, types)?;
                let columns = rows.columns();
                slot.fill([write::to_storage(slot.schema(), columns, rows.num_rows())?]);
                (bound, needs)
            }
        };
        let (role, settings) = (self.context.user(), Arc::clone(&self.derived.binding));
        let refused = needs.refusal(None, &catalog, role);
        Ok(Binding { catalog: catalog.version(), role, settings, bound: Arc::new(bound), refused })
    }

    /// What a statement was bound to before, if that is still what it would be bound to.
    fn still_bound<T>(
        &mut self,
        prepared: &Prepared,
        catalog: u64,
        take: impl FnOnce(&Binding) -> T,
    ) -> Option<T> {
        self.settle();
        let has_own_names = self.has_own_names();
        let binding = prepared.bound.lock();
        let binding = binding.as_ref().filter(|binding| {
            !has_own_names
                && (binding.catalog, binding.role) == (catalog, self.context.user())
                && binding.settings == self.derived.binding
        });
        binding.map(take)
    }

    /// The statement bound to the catalog of now, for a role that may run it.
    ///
    /// # Errors
    /// 42501, and those of binding.
    pub(super) fn rebound(&mut self, prepared: &Prepared) -> Result<Arc<Bound>> {
        let Some(statement) = &prepared.statement else {
            return Err(Error::internal("the empty statement is not bound"));
        };
        let snapshot = self.look(statement);
        let version = snapshot.catalog().version();
        if let Some(allowed) = self.still_bound(prepared, version, Binding::allowed) {
            return allowed.or_else(|refused| self.refused(prepared, refused));
        }
        let given = prepared.given.as_ref();
        let binding = self.bind(statement, &prepared.declared, given)?;
        if !same_shape(self.columns_of(&binding.bound)?.as_deref(), prepared.columns()) {
            return Err(Error::unsupported("cached plan must not change result type"));
        }
        let allowed = binding.allowed();
        if !self.has_own_names() {
            *prepared.bound.lock() = Some(binding);
        }
        allowed.or_else(|refused| self.refused(prepared, refused))
    }

    /// Why a role may not run a statement: before that it hears that its transaction only reads.
    fn refused(&mut self, prepared: &Prepared, refused: Error) -> Result<Arc<Bound>> {
        let changes = prepared.statement.as_ref().and_then(Statement::changes);
        if let Some(command) = changes {
            self.open_transaction().check_writable(command)?;
        }
        Err(refused)
    }

    fn columns_of(&self, bound: &Bound) -> Result<Option<Arc<[OutputColumn]>>> {
        match bound {
            Bound::Explain { options, .. } => Ok(Some(explain::columns(*options))),
            Bound::Utility(statement) => utility::columns(self, statement),
            other => Ok(other.columns().map(Into::into)),
        }
    }

    fn check_not_failed(&self, statement: &Statement) -> Result<()> {
        if self.failed && self.explicit && !ends_transaction(statement) {
            return Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }
}

/// Whether a statement is accepted in a failed transaction.
fn ends_transaction(statement: &Statement) -> bool {
    matches!(
        statement.utility(),
        Some(Utility::Commit { .. } | Utility::Rollback { .. } | Utility::RollbackTo(_))
    )
}

/// The answer to a change of rows.
fn changed(change: &Bound, written: Written) -> Outcome {
    let word = match change {
        Bound::Insert(_) => "INSERT 0",
        Bound::Update(_) => "UPDATE",
        Bound::Merge(_) => "MERGE",
        _ => "DELETE",
    };
    let tag = format!("{word} {}", written.rows);
    match (written.returned, change.columns()) {
        (Some(batches), Some(columns)) => {
            Outcome::Rows(Rows::new(columns.into(), rows_stream(batches), RowsTag::Fixed(tag)))
        }
        _ => Outcome::Done(tag),
    }
}

/// Whether rows have the names and types that a client was told; they may come from other tables.
fn same_shape(now: Option<&[OutputColumn]>, told: Option<&[OutputColumn]>) -> bool {
    let shape = |columns: &[OutputColumn]| -> Vec<_> {
        columns.iter().map(|column| (column.name.clone(), column.kind.clone())).collect()
    };
    now.map(shape) == told.map(shape)
}
