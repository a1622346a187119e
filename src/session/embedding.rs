//! The worker that gives rows their vectors behind statements: those of tables that defer them,
//! and those of columns whose expression is being replaced.
//!
//! It looks at every new state, works in lots through sessions of its own, and rests when there is
//! nothing to do. What it knows beside the tables it can find out again: a crash loses nothing.

use super::{Engine, Session, Start};
use crate::{
    catalog::{Column, POSTGRES_ROLE, Replacement, Table, pg::EmbeddingRow},
    error::{Error, Result, SqlState},
    exec::{
        embedding::{Lot, deferred, replacing},
        locks::{Mode, Target},
        transaction::Isolation,
    },
    ids::{ColumnId, Oid, RowId, TableId},
};
use parking_lot::Mutex;
use roaring::RoaringTreemap;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Rows of one lot of deferred vectors.
const LOT_ROWS: usize = 128;
/// Rest after something failed that may pass: the first, and the longest.
const REST_MIN: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(30);
/// Commits that come soon after each other are looked at together.
const GATHER: Duration = Duration::from_millis(10);
/// How long a lot waits for a lock that DDL holds; it tries again later.
const LOCK_LIMIT: Duration = Duration::from_secs(2);
/// The switch takes a table's lock only where it is free, since all who come later wait behind one
/// that waits. So many times; then, as there may always be someone, it waits for so long.
const TRIES: u32 = 8;
const SWITCH_WAIT: Duration = Duration::from_millis(100);
/// A session's number that no client has.
const PROCESS_ID: i32 = -2;

/// What is done to which column. A column whose vectors are both deferred and being replaced has
/// work of either kind, and neither may take the other's place in it for its own.
type Key = (TableId, ColumnId, How);

/// What is known of the work on each column.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<BTreeMap<Key, Known>>);

#[derive(Debug, Default, Clone)]
struct Known {
    pending: u64,
    failed: u64,
    error: Option<String>,
}

impl Progress {
    fn tell(&self, key: Key, known: Known) {
        self.0.lock().insert(key, known);
    }

    fn forget_others(&self, is_kept: impl Fn(&Key) -> bool) {
        self.0.lock().retain(|key, _| is_kept(key));
    }

    /// What a view shows: each column whose vectors models make.
    pub(super) fn rows(&self, engine: &Engine) -> Vec<EmbeddingRow> {
        let state = engine.states.snapshot();
        let known = self.0.lock();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let mut rows = Vec::new();
        for table in state.catalog.tables() {
            for column in &table.columns {
                let models = column
                    .models
                    .iter()
                    .chain(column.replacement.iter().flat_map(|replacement| &replacement.models));
                if models.count() == 0 {
                    continue;
                }
                let total = state.table(table.id).live_rows();
                let how = match column.replacement {
                    Some(_) => How::Replace,
                    None => How::Defer,
                };
                let known = known.get(&(table.id, column.id, how)).cloned().unwrap_or_default();
                let (phase, pending) = match &column.replacement {
                    Some(replacement) => {
                        let done = state.table(replacement.values).live_rows();
                        ("replacing", total.saturating_sub(done))
                    }
                    None if state.catalog.defers_embedding(table) => ("deferred", known.pending),
                    None => ("inline", known.pending),
                };
                rows.push(EmbeddingRow {
                    table: table.id,
                    column: column.id,
                    phase,
                    rows_total: count(total),
                    rows_pending: count(pending),
                    rows_failed: count(known.failed),
                    last_error: known.error,
                });
            }
        }
        rows
    }
}

/// The worker.
#[derive(Debug)]
pub struct EmbeddingWorker {
    engine: Arc<Engine>,
    columns: HashMap<Key, Work>,
    sessions: HashMap<Oid, Session>,
    /// The version of the catalog at which failures were last forgotten.
    seen: u64,
}

/// What is left to do in one column.
#[derive(Debug, Default)]
struct Work {
    /// Rows before this one were looked at.
    from: RowId,
    /// Rows that lack their vectors.
    pending: RoaringTreemap,
    /// Rows whose vectors cannot be made, until the catalog changes.
    failed: RoaringTreemap,
    error: Option<String>,
    /// Whether it rests after a failure, and for how long.
    rest: Duration,
    rests_until: Duration,
    /// How often the switch found the table locked.
    tries: u32,
    /// The table of the replacement's values that `from` is about.
    values: Option<TableId>,
}

impl EmbeddingWorker {
    /// For a node.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, columns: HashMap::new(), sessions: HashMap::new(), seen: 0 }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work_on() => {}
        }
        // What a model is still being asked for is not waited for.
        self.sessions.values().for_each(|session| session.canceller().cancel());
    }

    async fn work_on(&mut self) {
        let clock = Arc::clone(&self.engine.clock);
        let mut changes = self.engine.states.changes();
        loop {
            changes.mark_unchanged();
            if self.round().await {
                continue;
            }
            let rest = self.shortest_rest().unwrap_or(REST_MAX);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = clock.sleep(rest) => {}
            }
            clock.sleep(GATHER).await;
        }
    }

    /// One lot of each column that has something to do; whether there was any.
    async fn round(&mut self) -> bool {
        let state = self.engine.states.snapshot();
        if state.catalog.version() != self.seen {
            self.seen = state.catalog.version();
            // A model or an expression may have been mended.
            for work in self.columns.values_mut() {
                work.pending |= std::mem::take(&mut work.failed);
                (work.rest, work.rests_until) = (Duration::ZERO, Duration::ZERO);
            }
            let is_kept = |&(table, column, how): &Key| {
                let table = state.catalog.table(table);
                table.is_some_and(|table| how.columns(table).any(|kept| kept.id == column))
            };
            self.columns.retain(|key, _| is_kept(key));
            self.engine.embedding.forget_others(is_kept);
            self.sessions.retain(|database, _| state.catalog.database(*database).is_some());
            forget_orphans(&self.engine, &state.catalog).await;
        }
        let mut worked = false;
        for table in state.catalog.tables() {
            if state.catalog.is_temporary(table.schema) {
                continue;
            }
            for how in [How::Replace, How::Defer] {
                for column in how.columns(table) {
                    worked |= self.work(table, column, how).await;
                }
            }
        }
        let pending = self.columns.values().map(|work| work.pending.len()).sum::<u64>();
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.engine.metrics.embed_pending_rows.set(pending);
        worked
    }

    /// One lot of a column; whether there was anything to do.
    async fn work(&mut self, table: &Arc<Table>, column: &Column, how: How) -> bool {
        let key = (table.id, column.id, how);
        let now = self.engine.clock.elapsed();
        let mut work = self.columns.remove(&key).unwrap_or_default();
        if work.rests_until > now {
            self.columns.insert(key, work);
            return false;
        }
        let done = match how {
            How::Defer => self.fill(table, column, &mut work).await,
            How::Replace => self.replace(table, column, &mut work).await,
        };
        let worked = match done {
            Ok(worked) => {
                if worked || work.failed.is_empty() {
                    work.rest = Duration::ZERO;
                }
                worked
            }
            Err(error) => {
                if work.error.as_deref() != Some(error.message()) {
                    tracing::warn!(table = %table.name, column = %column.name, %error, "vectors cannot be made");
                }
                work.error = Some(error.message().to_owned());
                work.rest = (work.rest * 2).clamp(REST_MIN, REST_MAX);
                work.rests_until = self.engine.clock.elapsed() + work.rest;
                false
            }
        };
        self.engine.embedding.tell(
            key,
            Known {
                pending: work.pending.len(),
                failed: work.failed.len(),
                error: work.error.clone(),
            },
        );
        self.columns.insert(key, work);
        worked
    }

    fn shortest_rest(&self) -> Option<Duration> {
        let now = self.engine.clock.elapsed();
        let rests = self.columns.values().filter(|work| work.rests_until > now);
        rests.map(|work| work.rests_until.saturating_sub(now)).min()
    }

    /// A lot of rows that were written without their vectors.
    async fn fill(&mut self, table: &Arc<Table>, column: &Column, work: &mut Work) -> Result<bool> {
        let state = self.engine.states.snapshot();
        let rows = state.table(table.id);
        if rows.next_row() > work.from {
            work.pending |= deferred::lacking(table, column, &rows, work.from).await?;
            work.from = rows.next_row();
            work.failed = work.failed.iter().filter(|&row| rows.is_live(RowId(row))).collect();
        }
        let lot: Vec<RowId> = work.pending.iter().take(LOT_ROWS).map(RowId).collect();
        if lot.is_empty() {
            work.error = work.error.take().filter(|_| !work.failed.is_empty());
            return Ok(false);
        }
        let (id, asked) = (column.id, lot.clone());
        let fill = async move |lot: Lot<'_>| {
            deferred::fill(lot.table, id, &asked, lot.env, lot.transaction).await
        };
        let filled = self.lot(table, Hold::Shared, fill).await?;
        for row in &lot {
            work.pending.remove(row.0);
        }
        for (row, error) in &filled.failed {
            work.failed.insert(row.0);
            work.error = Some(error.message().to_owned());
        }
        let is_held = !filled.held.is_empty();
        work.pending |= filled.held;
        // What others hold is waited for, but not by asking all the time.
        if is_held && filled.rows == 0 {
            work.rests_until = self.engine.clock.elapsed() + REST_MIN;
            return Ok(false);
        }
        Ok(true)
    }

    /// A lot of a replacement, or its end.
    async fn replace(
        &mut self,
        table: &Arc<Table>,
        column: &Column,
        work: &mut Work,
    ) -> Result<bool> {
        let Some(replacement) = &column.replacement else { return Ok(false) };
        let state = self.engine.states.snapshot();
        if work.values != Some(replacement.values) {
            let gathered = replacing::gathered_to(&state.table(replacement.values)).await?;
            work.from = gathered.map_or(RowId(0), |row| RowId(row.0 + 1));
            work.values = Some(replacement.values);
        }
        let rows = state.table(table.id);
        if rows.next_row() > work.from {
            let (from, replacement) = (work.from, Replacement::clone(replacement));
            let id = column.id;
            let gather = async move |lot: Lot<'_>| {
                replacing::gather_checked((id, &replacement), from, lot).await
            };
            let (next, gathered) = self.lot(table, Hold::Not, gather).await?;
            work.from = next;
            work.error = None;
            if gathered > 0 {
                return Ok(true);
            }
        }
        let (from, id) = (work.from, (column.id, replacement.values));
        let wait = (work.tries >= TRIES).then_some(SWITCH_WAIT);
        let switch = async move |lot: Lot<'_>| replacing::switch(id, from, lot).await;
        match self.lot(table, Hold::Alone(wait), switch).await {
            Ok(switched) => {
                work.tries = 0;
                if switched {
                    tracing::info!(table = %table.name, column = %column.name, "vectors are replaced");
                    *work = Work::default();
                }
                Ok(true)
            }
            // The table is busy: later.
            Err(error) if error.state() == SqlState::LOCK_NOT_AVAILABLE => {
                work.tries += 1;
                let rest = (REST_MIN / TRIES) * (1 << work.tries.min(TRIES));
                work.rests_until = self.engine.clock.elapsed() + rest.min(REST_MAX);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A transaction of its own, as the superuser in the table's database.
    async fn lot<T>(
        &mut self,
        table: &Arc<Table>,
        hold: Hold,
        work: impl AsyncFnOnce(Lot<'_>) -> Result<T>,
    ) -> Result<T> {
        let catalog = self.engine.catalog();
        let database = catalog.schema(table.schema).and_then(|schema| schema.database);
        let database = database.ok_or_else(|| Error::internal("a table of no database"))?;
        if !self.sessions.contains_key(&database) {
            let name = |id| catalog.database(id).map(|database| database.name.clone());
            let role = catalog.role(POSTGRES_ROLE).map(|role| role.name.clone());
            let start = Start {
                role: role.unwrap_or_default(),
                database: name(database).unwrap_or_default(),
                parameters: vec![("application_name".to_owned(), "embedding worker".to_owned())],
                process_id: PROCESS_ID,
                client: None,
            };
            self.sessions.insert(database, self.engine.session(start)?);
        }
        let session = self.sessions.get_mut(&database).expect("it was put there");
        session.lot(table, hold, work).await
    }
}

/// Values whose column is gone, or has another replacement, are dropped.
async fn forget_orphans(engine: &Engine, catalog: &crate::catalog::Catalog) {
    let kept = |id: TableId| {
        let mut columns = catalog.tables().flat_map(|table| &table.columns);
        columns.any(|column| column.replacement.as_ref().is_some_and(|r| r.values == id))
    };
    let is_orphan = |table: &&Arc<Table>| {
        table.schema == crate::catalog::PG_CATALOG
            && table.name.starts_with(replacing::VALUES_PREFIX)
            && !kept(table.id)
    };
    let orphans: Vec<_> = catalog.tables().filter(is_orphan).map(|table| table.id).collect();
    if let Err(error) = engine.drop_tables(orphans).await {
        tracing::warn!(%error, "vectors that nobody waits for stay until later");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum How {
    Defer,
    Replace,
}

impl How {
    /// The columns of a table that it is done to.
    fn columns(self, table: &Table) -> impl Iterator<Item = &Column> {
        table.columns.iter().filter(move |column| match self {
            Self::Defer => deferred::is_completed(table, column),
            Self::Replace => column.replacement.is_some(),
        })
    }
}

/// How a lot holds its table.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Not,
    /// Against DDL.
    Shared,
    /// Against all; waits for it if at all for so long.
    Alone(Option<Duration>),
}

impl Session {
    async fn lot<T>(
        &mut self,
        table: &Arc<Table>,
        hold: Hold,
        work: impl AsyncFnOnce(Lot<'_>) -> Result<T>,
    ) -> Result<T> {
        let stop = self.context.canceller.renew();
        // Whatever the database sets: what is read after a lock must be what is there by then.
        let transaction = self.open_transaction();
        transaction.set_isolation(Isolation::ReadCommitted)?;
        transaction.set_read_only(false);
        let (locks, owner) = (Arc::clone(transaction.locks()), transaction.owner());
        let target = Target::Table(table.id);
        let held = match hold {
            Hold::Not => Ok(()),
            Hold::Shared => {
                locks.acquire(owner, target, Mode::Shared, Some(LOCK_LIMIT)).await.map(drop)
            }
            Hold::Alone(None) => {
                let held = locks.try_acquire(owner, &target, Mode::Exclusive);
                let busy = || Error::new(SqlState::LOCK_NOT_AVAILABLE, "the table is busy");
                held.map(drop).ok_or_else(busy)
            }
            Hold::Alone(limit) => {
                locks.acquire(owner, target, Mode::Exclusive, limit).await.map(drop)
            }
        };
        if let Err(error) = held {
            self.fail();
            return Err(error);
        }
        // Names and rows are read after the lock, not before.
        self.open_transaction().start_statement();
        let mut env = self.env(Vec::new(), stop.token().clone());
        env.lock_timeout = Some(LOCK_LIMIT);
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a lot has a transaction");
        let now = transaction.catalog().table(table.id).cloned();
        let done = match &now {
            Some(now) => work(Lot { table: now, env: &env, transaction, see: &see }).await,
            None => Err(Error::new(SqlState::UNDEFINED_TABLE, "the table is gone")),
        };
        match done {
            Ok(done) => {
                self.commit_implicit().await?;
                Ok(done)
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }
}
