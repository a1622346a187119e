//! Sessions that requests borrow: a request is one transaction of one of them.

use super::{
    fault::{Answer, Fault, FaultKind},
    names::literal,
    sql::Sql,
};
use crate::{
    clock::SharedClock,
    session::{Engine, Given, Outcome, OutputColumn, Session, Start, TransactionStatus},
    storage::reads::ReadCounts,
};
use arrow::array::{ArrayRef, RecordBatch};
use futures::TryStreamExt;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many requests are worked on at a time; others wait.
const WORKERS_MAX: usize = 64;
/// An answer is held until it is whole; one that is larger is refused.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// So many idle sessions of a role are kept, with what they have planned.
const IDLE_MAX: usize = 16;

/// Sessions by the roles that they act as.
#[derive(Debug)]
pub(super) struct Pool {
    engine: Arc<Engine>,
    clock: SharedClock,
    slots: Arc<Semaphore>,
    idle: Mutex<HashMap<Arc<str>, Vec<Session>>>,
    /// Backends of clients of the other wire count up from 1, these down from the top.
    next_process_id: AtomicI32,
}

impl Pool {
    pub(super) fn new(engine: Arc<Engine>, clock: SharedClock) -> Self {
        Self {
            engine,
            clock,
            slots: Arc::new(Semaphore::new(WORKERS_MAX)),
            idle: Mutex::default(),
            next_process_id: AtomicI32::new(i32::MAX),
        }
    }

    /// A session in a transaction of its own, as soon as there is room.
    pub(super) async fn work(self: &Arc<Self>, role: &Arc<str>) -> Answer<Work> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        let slot = tokio::select! {
            slot = slot => slot,
            () = self.clock.sleep(WAIT_MAX) => {
                return Err(Fault::new(FaultKind::Busy, "too many requests at a time; try again"));
            }
        };
        let slot =
            slot.map_err(|_| Fault::new(FaultKind::Unavailable, "the server is stopping"))?;
        let kept = self.idle.lock().get_mut(role).and_then(Vec::pop);
        let mut session = match kept {
            Some(session) => session,
            None => self.engine.session(Start {
                role: role.to_string(),
                database: "postgres".to_owned(),
                parameters: vec![("application_name".to_owned(), "http".to_owned())],
                process_id: self.next_process_id.fetch_sub(1, Relaxed),
                client: None,
            })?,
        };
        session.begin_implicit_block();
        let (pool, role) = (Arc::clone(self), Arc::clone(role));
        let reads = ReadCounts::default();
        Ok(Work { session: Some(session), role, pool, reads, is_broken: false, _slot: slot })
    }

    /// An error that SQL raised is one that a client is told.
    fn count(&self, fault: &Fault) {
        if let Some(state) = fault.state {
            self.engine.count_error(state);
        }
    }

    /// Takes no more work, and lets the idle sessions go.
    pub(super) fn close(&self) {
        self.slots.close();
        self.idle.lock().clear();
    }
}

/// A transaction. Dropped before its commit, it did nothing.
pub(super) struct Work {
    /// There until the end.
    session: Option<Session>,
    role: Arc<str>,
    pool: Arc<Pool>,
    /// What its statements read.
    reads: ReadCounts,
    /// Whether a statement failed, or its future was dropped.
    is_broken: bool,
    _slot: OwnedSemaphorePermit,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("role", &self.role).finish_non_exhaustive()
    }
}

/// Rows of a statement.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) columns: Arc<[OutputColumn]>,
    pub(super) batches: Vec<RecordBatch>,
}

impl Rows {
    pub(super) fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What a statement did.
#[derive(Debug)]
pub(super) enum Done {
    Rows(Rows),
    /// So many rows were changed.
    Changed(u64),
}

impl Work {
    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is taken at the end alone")
    }

    /// What its statements read up to now.
    pub(super) fn reads(&self) -> ReadCounts {
        self.reads
    }

    /// One picture for all statements that follow, none of which writes.
    pub(super) async fn freeze(&mut self) -> Answer<()> {
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        self.run(begin.to_owned().into(), None).await.map(drop)
    }

    /// Sets a setting until the transaction ends.
    pub(super) async fn set(&mut self, name: &str, value: &str) -> Answer<()> {
        let set = format!("SELECT set_config({}, {}, true)", literal(name), literal(value));
        self.run(set.into(), None).await.map(drop)
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, sql: Sql) -> Answer<Rows> {
        match self.run(sql, None).await? {
            Done::Rows(rows) => Ok(rows),
            Done::Changed(_) => Err(Fault::new(FaultKind::Internal, "a query gave no rows")),
        }
    }

    /// Runs a statement, which may read the rows that are given as the relation `given`.
    pub(super) async fn run(&mut self, sql: Sql, given: Option<Given>) -> Answer<Done> {
        // What is dropped in the middle is not used again.
        self.is_broken = true;
        let done = self.try_run(sql, given).await.inspect_err(|fault| self.pool.count(fault))?;
        self.reads = self.reads.and(self.session().reads());
        self.is_broken = false;
        Ok(done)
    }

    async fn try_run(&mut self, sql: Sql, given: Option<Given>) -> Answer<Done> {
        let session = self.session();
        let mut statements = session.parse(&sql.text)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(Fault::new(FaultKind::Internal, "expected one statement"));
        };
        let kinds = &sql.parameters.kinds;
        let prepared = match given {
            None => session.prepare(Some(statement), kinds).await?,
            Some(given) => session.prepare_given(statement, kinds, given)?,
        };
        let outcome = session.execute(&prepared, sql.parameters.values).await?;
        session.take_events();
        match outcome {
            Outcome::Rows(mut rows) => {
                let (mut batches, mut bytes) = (Vec::new(), 0);
                while let Some(batch) = rows.stream.try_next().await? {
                    bytes += batch.get_array_memory_size();
                    if bytes > ANSWER_BYTES_MAX {
                        return Err(Fault::invalid(format!(
                            "the answer is larger than {} MiB: ask for fewer documents, or for \
                             fewer of their attributes",
                            ANSWER_BYTES_MAX >> 20
                        )));
                    }
                    batches.push(batch);
                }
                Ok(Done::Rows(Rows { columns: rows.columns, batches }))
            }
            Outcome::Done(tag) => {
                let count = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
                Ok(Done::Changed(count.unwrap_or(0)))
            }
            Outcome::Empty | Outcome::CopyIn(_) | Outcome::CopyOut(_) => {
                Err(Fault::new(FaultKind::Internal, "a statement of another kind"))
            }
        }
    }

    /// Makes what was done last.
    pub(super) async fn commit(mut self) -> Answer<()> {
        self.is_broken = true;
        self.try_commit().await.inspect_err(|fault| self.pool.count(fault))?;
        self.is_broken = false;
        Ok(())
    }

    async fn try_commit(&mut self) -> Answer<()> {
        let session = self.session();
        if session.status() == TransactionStatus::Idle {
            session.commit_implicit().await?;
        } else {
            let commit = session.parse("COMMIT")?.pop();
            let commit = session.prepare(commit, &[]).await?;
            session.execute(&commit, Vec::<ArrayRef>::new()).await?;
            session.commit_implicit().await?;
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        if self.is_broken || session.status() != TransactionStatus::Idle {
            return;
        }
        // Nothing is left of what was not committed.
        session.fail();
        if self.pool.slots.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.lock();
        let sessions = idle.entry(Arc::clone(&self.role)).or_default();
        if sessions.len() < IDLE_MAX {
            sessions.push(session);
        }
    }
}
