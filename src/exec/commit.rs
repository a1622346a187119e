//! The commit task: the one writer of the log and of committed state.
//!
//! Whatever waits is taken as one group, and each group goes through four steps in this order:
//!
//! 1. *applied* to the newest picture, privately: each transaction gets its place in the log and
//!    its rows their ids;
//! 2. *durable*: the records of the group are written and synced together;
//! 3. *published*: the picture after the group becomes the newest;
//! 4. *acknowledged*: those who wait are told.
//!
//! When step 2 fails, nothing of the group was written: the private picture is dropped, those who
//! wait get the error, and the task goes on. Where an answer of the store was lost, it asks again
//! until it knows; they wait that long. If it cannot be known they get 08007, and the task takes
//! nothing more, since the next record's place is unknown too. After hand-over a commit cannot be
//! cancelled.

#[cfg(test)]
mod tests;

use super::{
    apply::apply,
    state::{DbState, States},
};
use crate::{
    catalog::{Catalog, Change},
    clock::SharedClock,
    error::{Error, ErrorKind, Result, SqlState},
    ids::{IndexId, Lsn, TableId},
    index::Index,
    storage::{
        segment::{Segment, SegmentStore},
        wal::{Record, TableChange, Wal},
    },
    telemetry::Metrics,
};
use arrow::{array::RecordBatch, compute::concat_batches};
use roaring::RoaringTreemap;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How many requests one group takes at most.
const GROUP_MAX: usize = 1024;
/// Bytes of rows after which a group is closed.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// For how long the store is asked what became of a group, and how long between two tries.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// What a transaction hands over to be committed.
#[derive(Debug, Default)]
pub struct Commit {
    /// Changes of names.
    pub changes: Vec<Change>,
    /// What they were made from: they are refused where another commit came between.
    pub bases: Vec<Base>,
    /// Changes of rows.
    pub tables: Vec<TableCommit>,
    /// Indexes that the transaction built over rows committed before it.
    pub built: HashMap<IndexId, Index>,
}

/// The first change that a transaction made of an object, and what it found in its place.
#[derive(Debug, Clone)]
pub struct Base {
    /// The change.
    pub change: Change,
    /// [`Catalog::replaced_by`](crate::catalog::Catalog::replaced_by) then.
    pub was: Option<Change>,
}

/// What a transaction did to one table.
#[derive(Debug)]
pub struct TableCommit {
    /// The table.
    pub table: TableId,
    /// Rows that it wrote before as segments; they come first. Open, so that their objects stay.
    pub segments: Vec<Arc<Segment>>,
    /// New rows, columns named `c<ColumnId>`.
    pub rows: Vec<RecordBatch>,
    /// Committed rows that are gone.
    pub deletes: RoaringTreemap,
    /// Rows of its own segments that are gone, counted from the first of them.
    pub own_deletes: RoaringTreemap,
    /// Whether all rows of before are gone.
    pub truncate: bool,
    /// What webhooks are told of the deletes, see [`TableChange::told`].
    pub told: Option<RecordBatch>,
}

/// A change of the picture that is not in the log: a flush, a new version of an index.
type Rearrange = Box<dyn FnOnce(&DbState) -> DbState + Send>;

enum Request {
    Commit(Commit, oneshot::Sender<Result<Lsn>>),
    Rearrange(Rearrange, oneshot::Sender<Result<Arc<DbState>>>),
    Release(Lsn, oneshot::Sender<Result<()>>),
}

/// A handle on the commit task.
#[derive(Debug, Clone)]
pub struct Committer {
    requests: mpsc::Sender<Request>,
    failure: Arc<OnceLock<Failure>>,
}

/// Why the log can no longer be written by this process.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whether another process writes to it.
    pub is_fenced: bool,
    /// The cause, in a sentence.
    pub reason: String,
}

/// The commit task itself, to be run by the node.
#[derive(Debug)]
pub struct CommitTask {
    requests: mpsc::Receiver<Request>,
    states: Arc<States>,
    segments: SegmentStore,
    wal: Wal,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    failure: Arc<OnceLock<Failure>>,
}

impl Committer {
    /// A handle and its task.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        segments: SegmentStore,
        wal: Wal,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> (Self, CommitTask) {
        let (sender, requests) = mpsc::channel(GROUP_MAX);
        let failure = Arc::<OnceLock<Failure>>::default();
        (
            Self { requests: sender, failure: Arc::clone(&failure) },
            CommitTask { requests, states, segments, wal, clock, metrics, failure },
        )
    }

    /// Commits. When this returns, the transaction is durable and visible to the next snapshot.
    ///
    /// # Errors
    /// 08007 when it is not known whether the transaction is durable.
    pub async fn commit(&self, commit: Commit) -> Result<Lsn> {
        self.send(|reply| Request::Commit(commit, reply)).await
    }

    /// Rearranges the newest picture without changing what it means.
    ///
    /// # Errors
    /// 57P01 when the node is stopping.
    pub async fn rearrange(
        &self,
        change: impl FnOnce(&DbState) -> DbState + Send + 'static,
    ) -> Result<Arc<DbState>> {
        self.send(|reply| Request::Rearrange(Box::new(change), reply)).await
    }

    /// Says that a manifest contains the log up to `covered`.
    ///
    /// # Errors
    /// When the log cannot be released.
    pub async fn release(&self, covered: Lsn) -> Result<()> {
        self.send(|reply| Request::Release(covered, reply)).await
    }

    /// How many requests wait for the commit task.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    /// Whether the commit task still runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Why no commit is taken any more; `None` while they are.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    async fn send<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let stopping =
            || Error::new(SqlState::ADMIN_SHUTDOWN, "the node is stopping: nothing was committed");
        self.requests.send(request(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| unresolved("the commit task ended"))?
    }
}

impl CommitTask {
    /// Runs until it is stopped, or the log can no longer be written: then the cause. It wants a
    /// thread of its own, since it waits for the disk.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut waiting = Vec::new();
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.requests.recv_many(&mut waiting, GROUP_MAX) => taken,
                () = stop.cancelled() => 0,
            };
            if taken == 0 {
                return Ok(());
            }
            let mut requests = std::mem::take(&mut waiting).into_iter().peekable();
            while requests.peek().is_some() {
                self.group(&mut requests).await;
            }
            if let Some(Failure { reason, .. }) = self.failure.get() {
                return Err(Error::internal(format!("the log cannot be written: {reason}")));
            }
        }
    }

    /// Steps 1 to 4 for as many commits as one group takes, or for one other request.
    async fn group(&mut self, requests: &mut std::iter::Peekable<std::vec::IntoIter<Request>>) {
        let mut state = DbState::clone(&self.states.snapshot());
        let mut records = Vec::new();
        let mut replies = Vec::new();
        // The names before and after each record.
        let mut names = vec![Arc::clone(&state.catalog)];
        let mut bytes = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(Request::Commit(..)) = requests.peek()
            && let Some(Request::Commit(commit, reply)) = requests.next()
        {
            bytes += commit.bytes();
            match self.prepare(&state, records.len() as u64, commit).await {
                Ok((record, after)) => {
                    state = after;
                    names.push(Arc::clone(&state.catalog));
                    replies.push((reply, record.lsn));
                    records.push(record);
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        if !records.is_empty() {
            self.write(state, &records, &names, replies).await;
            return;
        }
        match requests.next() {
            Some(Request::Rearrange(change, reply)) => {
                let state = self.states.publish(change(&self.states.snapshot()));
                let _ = reply.send(Ok(state));
            }
            Some(Request::Release(covered, reply)) => {
                let _ = reply.send(self.wal.release(covered).await);
            }
            Some(Request::Commit(..)) | None => {}
        }
    }

    async fn write(
        &mut self,
        state: DbState,
        records: &[Record],
        names: &[Arc<Catalog>],
        replies: Vec<(oneshot::Sender<Result<Lsn>>, Lsn)>,
    ) {
        let (begun, bytes) = (self.clock.elapsed(), self.wal.stats().bytes);
        let error = match self.make_durable(records).await {
            Ok(()) => {
                self.count(records.len(), begun, bytes);
                let is_told = state.catalog.has_webhooks();
                self.states.publish(state);
                if is_told {
                    self.states.events().committed(records, names);
                }
                for (reply, lsn) in replies {
                    let _ = reply.send(Ok(lsn));
                }
                return;
            }
            Err(error) => error,
        };
        tracing::error!(%error, "the log cannot be written");
        let is_unknown = error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN;
        if is_unknown || matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Internal) {
            let is_fenced = error.kind() == ErrorKind::Fenced;
            // The first cause is the true one.
            let _ = self.failure.set(Failure { is_fenced, reason: error.to_string() });
        }
        for (reply, _) in replies {
            let error = match error.kind() {
                ErrorKind::Fenced => Error::fenced(error.message()),
                _ if self.failure.get().is_some() => unresolved(error.message()),
                // Nothing of the group is in the log: the writer took it back.
                _ => not_committed(&error),
            };
            let _ = reply.send(Err(error));
        }
    }

    fn count(&self, commits: usize, begun: Duration, bytes_before: u64) {
        let took = self.clock.elapsed().saturating_sub(begun);
        self.metrics.wal_groups.inc();
        self.metrics.wal_append_seconds.observe(took.as_secs_f64());
        self.metrics
            .wal_group_commits
            .observe(f64::from(u32::try_from(commits).unwrap_or(u32::MAX)));
        self.metrics.wal_bytes.inc_by(self.wal.stats().bytes.saturating_sub(bytes_before));
    }

    /// Step 2, as often as it takes to know how it ended.
    async fn make_durable(&mut self, records: &[Record]) -> Result<()> {
        if let Some(Failure { reason, .. }) = self.failure.get() {
            return Err(Error::internal(reason.clone()));
        }
        let start = self.clock.elapsed();
        let mut written = self.wal.append(records).await;
        while let Err(error) = &written
            && error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN
            && self.clock.elapsed().saturating_sub(start) < SETTLE_LIMIT
        {
            tracing::warn!(%error, "the store is asked again whether it has the last commits");
            self.clock.sleep(SETTLE_PAUSE).await;
            // The records that it gives back are those that the private picture already has.
            written = self.wal.settle().await.map(drop);
        }
        written
    }

    /// Gives a commit its place and its rows their ids, and applies it.
    async fn prepare(
        &self,
        state: &DbState,
        ahead: u64,
        commit: Commit,
    ) -> Result<(Record, DbState)> {
        let lsn = Lsn(self.wal.next_lsn().0 + ahead);
        if commit.bases.iter().any(|base| state.catalog.replaced_by(&base.change) != base.was) {
            return Err(changed_meanwhile());
        }
        let catalog = if commit.changes.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&commit.changes)
                .map_err(|error| Error::internal(format!("catalog changes: {error}")))?
        };
        let mut tables = Vec::with_capacity(commit.tables.len());
        // Held until the picture holds them.
        let mut uncommitted = Vec::new();
        for table in commit.tables {
            uncommitted.extend(table.segments.iter().cloned());
            tables.push(table.place(state)?);
        }
        let commit_id = u128::from(self.clock.random()) << 64 | u128::from(self.clock.random());
        let record =
            Record { lsn, commit_id, time_micros: self.clock.now_micros(), catalog, tables };
        let mut after = apply(&self.segments, state, &record).await?;
        for (id, index) in commit.built {
            if after.catalog.index(id).is_some() {
                after = after.with_index(id, index);
            }
        }
        Ok((record, after))
    }
}

impl TableCommit {
    /// Nothing done to a table yet.
    #[must_use]
    pub fn new(table: TableId) -> Self {
        Self {
            table,
            segments: Vec::new(),
            rows: Vec::new(),
            deletes: RoaringTreemap::new(),
            own_deletes: RoaringTreemap::new(),
            truncate: false,
            told: None,
        }
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let rows = self.segments.is_empty() && self.rows.is_empty();
        rows && self.deletes.is_empty() && !self.truncate
    }

    fn place(self, state: &DbState) -> Result<TableChange> {
        let first_row = state.table(self.table).next_row();
        let rows = match self.rows.first() {
            None => None,
            Some(first) => Some(
                concat_batches(&first.schema(), &self.rows)
                    .map_err(|error| Error::internal("rows of one commit differ").source(error))?,
            ),
        };
        let (mut deletes, truncate, told) = (self.deletes, self.truncate, self.told);
        deletes.extend(self.own_deletes.iter().map(|ordinal| first_row.0 + ordinal));
        let segments = self.segments.iter().map(|segment| segment.meta().clone()).collect();
        Ok(TableChange { table: self.table, first_row, rows, segments, deletes, truncate, told })
    }
}

impl Commit {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.tables.is_empty() && self.built.is_empty()
    }

    fn bytes(&self) -> usize {
        let rows = self.tables.iter().flat_map(|table| &table.rows);
        rows.map(RecordBatch::get_array_memory_size).sum()
    }
}

/// 40001, for changes of names.
pub(super) fn changed_meanwhile() -> Error {
    Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent update",
    )
    .detail("Another transaction changed the definition of the same object.")
}

/// An error that several may get.
fn not_committed(error: &Error) -> Error {
    let own = Error::new(error.state(), error.message());
    let own = match &error.fields().detail {
        Some(detail) => own.detail(detail.clone()),
        None => own,
    };
    if error.state() == SqlState::DISK_FULL {
        return own.hint("Free some space and try again.");
    }
    own
}

fn unresolved(cause: &str) -> Error {
    Error::new(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "it is not known whether the transaction was committed",
    )
    .detail(cause)
    .hint("Look whether its rows are there before trying again.")
}
