//! A transaction: a private buffer of rows, deletes and names over a snapshot, with its locks.
//!
//! What a transaction did to a table is a [`Buffer`]: its own rows as a table state of their own,
//! numbered from 0, and the committed rows that it deleted. A statement sees the committed rows of
//! its snapshot with the buffer laid over; own rows then bear the ids from the snapshot's next row
//! on, which are provisional: the commit task gives the final ones.

mod work;

pub use work::Mark;

use super::{
    commit::{Base, Committer},
    events,
    locks::{Locks, Owner, Party, TransactionId},
    snapshot::Snapshot,
    state::{DbState, States},
};
use crate::{
    catalog::{Catalog, Change, Table},
    error::{Error, Result, SqlState},
    ids::{IndexId, Lsn, Oid, RowId, TableId},
    index::Index,
    storage::table::TableState,
};
use arrow::array::RecordBatch;
use roaring::RoaringTreemap;
use std::{collections::BTreeMap, sync::Arc};
use work::{Buffer, Work};

/// What a transaction sees of others' commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first.
    RepeatableRead,
}

/// A transaction. Its locks are released when it is dropped.
#[derive(Debug)]
pub struct Transaction {
    id: TransactionId,
    party: Party,
    isolation: Isolation,
    read_only: bool,
    states: Arc<States>,
    locks: Arc<Locks>,
    snapshot: Option<Arc<Snapshot>>,
    work: Work,
    savepoints: Vec<(String, Work)>,
}

impl Transaction {
    /// Begins, in a session.
    #[must_use]
    pub fn begin(
        states: Arc<States>,
        locks: Arc<Locks>,
        party: Party,
        isolation: Isolation,
        read_only: bool,
    ) -> Self {
        let id = TransactionId::next();
        let (work, savepoints) = (Work::default(), Vec::new());
        Self { id, party, isolation, read_only, states, locks, snapshot: None, work, savepoints }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Whose its locks are.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { party: self.party, transaction: Some(self.id) }
    }

    /// What it sees of others.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// `SET TRANSACTION ISOLATION LEVEL`, before its first statement.
    ///
    /// # Errors
    /// 25001 afterwards.
    pub fn set_isolation(&mut self, isolation: Isolation) -> Result<()> {
        if self.snapshot.is_some() && self.isolation != isolation {
            return Err(Error::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION ISOLATION LEVEL must be called before any query",
            ));
        }
        self.isolation = isolation;
        Ok(())
    }

    /// Whether it may not write.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// `SET TRANSACTION READ ONLY` and READ WRITE.
    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    /// Refuses a statement that writes in a transaction that may not.
    ///
    /// # Errors
    /// 25006.
    pub fn check_writable(&self, statement: &str) -> Result<()> {
        if self.read_only {
            return Err(Error::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute {statement} in a read-only transaction"),
            ));
        }
        Ok(())
    }

    /// The locks of the node, for this transaction to take.
    #[must_use]
    pub fn locks(&self) -> &Arc<Locks> {
        &self.locks
    }

    /// Whether it has written anything.
    #[must_use]
    pub fn has_written(&self) -> bool {
        !self.work.tables.is_empty() || !self.work.changes.is_empty()
    }

    /// Whether it has changed names.
    #[must_use]
    pub fn has_changed_names(&self) -> bool {
        !self.work.changes.is_empty()
    }

    /// A statement begins: under READ COMMITTED it sees what is committed by now.
    pub fn start_statement(&mut self) -> Arc<Snapshot> {
        if self.isolation == Isolation::ReadCommitted {
            self.snapshot = None;
        }
        self.snapshot()
    }

    /// The snapshot of the running statement, own work included.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(snapshot) = &self.snapshot {
            return Arc::clone(snapshot);
        }
        let snapshot = Arc::new(self.over(self.states.snapshot()));
        self.snapshot = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// What a statement sees that reads no rows: it does not make the transaction take its snapshot.
    #[must_use]
    pub fn glance(&self) -> Arc<Snapshot> {
        self.snapshot.clone().unwrap_or_else(|| Arc::new(self.newest()))
    }

    /// Whether others committed a change of a table, or of its rows, that this transaction does not
    /// see.
    #[must_use]
    pub fn is_behind(&self, table: TableId) -> bool {
        let Some(snapshot) = &self.snapshot else { return false };
        let (seen, newest) = (snapshot.committed_state(), self.states.snapshot());
        let rows = |state: &DbState| {
            let rows = state.table(table);
            (rows.next_row(), rows.live_rows())
        };
        rows(seen) != rows(&newest) || seen.catalog.table(table) != newest.catalog.table(table)
    }

    /// Own work over the newest committed picture, whatever the isolation: for checks of keys,
    /// which must see what others committed.
    #[must_use]
    pub fn newest(&self) -> Snapshot {
        self.over(self.states.snapshot())
    }

    /// The names as they are by now, its own changes over them.
    #[must_use]
    pub fn newest_catalog(&self) -> Arc<Catalog> {
        self.names_over(&self.states.snapshot())
    }

    fn names_over(&self, state: &DbState) -> Arc<Catalog> {
        match self.work.changes.is_empty() {
            true => Arc::clone(&state.catalog),
            false => Arc::new(state.catalog.with(&self.work.changes)),
        }
    }

    fn over(&self, state: Arc<DbState>) -> Snapshot {
        let catalog = self.names_over(&state);
        let overlay = |(&id, buffer): (&TableId, &Buffer)| (id, buffer.over(&state.table(id)));
        let overlays = self.work.tables.iter().map(overlay).collect();
        Snapshot::under(state, catalog, overlays, self.work.built.clone())
    }

    /// Own work changed: the running statement's snapshot shows it from now on.
    fn refresh(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            let state = Arc::clone(snapshot.committed_state());
            self.snapshot = Some(Arc::new(self.over(state)));
        }
    }

    fn buffer(&mut self, table: &Table) -> &mut Buffer {
        self.work.tables.entry(table.id).or_insert_with(|| Buffer {
            rows: super::apply::with_keys(TableState::empty(), table),
            deletes: RoaringTreemap::new(),
            truncate: false,
            replaced: BTreeMap::new(),
        })
    }

    /// Adds rows, columns named `c<ColumnId>`.
    pub fn insert(&mut self, table: &Table, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            let buffer = self.buffer(table);
            buffer.rows = buffer.rows.append(&rows);
            self.refresh();
        }
    }

    /// Says that the rows that are inserted next take the places of these, in this order. Wanted
    /// only where webhooks are told of it.
    pub fn replacing(&mut self, table: &Table, first_own: RowId, old: &[RowId]) {
        let buffer = self.buffer(table);
        let next = buffer.rows.next_row().0;
        for (&row, ordinal) in old.iter().zip(next..) {
            let origin = match row < first_own {
                true => Some(row),
                false => buffer.replaced.remove(&(row.0 - first_own.0)),
            };
            if let Some(origin) = origin {
                buffer.replaced.insert(ordinal, origin);
            }
        }
    }

    /// Deletes rows, named as a snapshot names them in which own rows begin at `first_own`.
    pub fn delete(&mut self, table: &Table, first_own: RowId, rows: &RoaringTreemap) {
        if rows.is_empty() {
            return;
        }
        let first_own = first_own.0;
        let buffer = self.buffer(table);
        let mut own = RoaringTreemap::new();
        for row in rows {
            if row < first_own {
                buffer.deletes.insert(row);
            } else {
                own.insert(row - first_own);
            }
        }
        if !own.is_empty() {
            buffer.rows = buffer.rows.delete(&own);
        }
        self.refresh();
    }

    /// Deletes all rows of a table.
    pub fn truncate(&mut self, table: &Table) {
        let buffer = self.buffer(table);
        buffer.rows = buffer.rows.truncate();
        buffer.deletes.clear();
        buffer.replaced.clear();
        buffer.truncate = true;
        self.refresh();
    }

    /// Bytes of own rows in memory.
    #[must_use]
    pub fn buffered_bytes(&self, table: TableId) -> u64 {
        self.work.tables.get(&table).map_or(0, |buffer| buffer.rows.memtable_bytes())
    }

    /// Own rows of a table, by ordinal.
    #[must_use]
    pub fn own_rows(&self, table: TableId) -> Option<&TableState> {
        self.work.tables.get(&table).map(|buffer| &buffer.rows)
    }

    /// Puts other storage under own rows that stay the same: they were written as segments.
    pub fn replace_own_rows(&mut self, table: TableId, rows: TableState) {
        if let Some(buffer) = self.work.tables.get_mut(&table) {
            buffer.rows = rows;
            self.refresh();
        }
    }

    /// What webhooks are to be told, and how they do.
    #[must_use]
    pub fn events(&self) -> &Arc<events::Events> {
        self.states.events()
    }

    /// An oid for a new object.
    #[must_use]
    pub fn fresh_oid(&self) -> Oid {
        self.states.fresh_oid()
    }

    /// Changes names.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.remember_base(&change);
            match &change {
                Change::DropTable(id) => drop(self.work.tables.remove(id)),
                Change::DropIndex(id) => drop(self.work.built.remove(id)),
                _ => {}
            }
            self.work.changes.push(change);
        }
        self.refresh();
    }

    /// The commit is refused when what a change was made from is not there any more.
    fn remember_base(&mut self, change: &Change) {
        let own = self.catalog();
        let committed = Arc::clone(&self.snapshot().committed_state().catalog);
        let was = committed.replaced_by(change);
        // A later change of the same object is made from the transaction's own.
        if own.replaced_by(change) == was {
            self.work.bases.push(Base { change: change.clone(), was });
        }
    }

    /// Keeps an index that this transaction built.
    pub fn built(&mut self, id: IndexId, index: Index) {
        self.work.built.insert(id, index);
        self.refresh();
    }

    /// The names as this transaction sees them now.
    pub fn catalog(&mut self) -> Arc<Catalog> {
        Arc::clone(self.snapshot().catalog())
    }

    /// `SAVEPOINT`.
    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.work.clone()));
    }

    /// `ROLLBACK TO`: back to the savepoint, which stays.
    ///
    /// # Errors
    /// 3B001 when there is no savepoint of that name.
    pub fn rollback_to(&mut self, name: &str) -> Result<()> {
        let place = self.find_savepoint(name)?;
        self.savepoints.truncate(place + 1);
        self.work = self.savepoints[place].1.clone();
        self.refresh();
        Ok(())
    }

    /// `RELEASE`: forgets the savepoint and those after it.
    ///
    /// # Errors
    /// 3B001 when there is no savepoint of that name.
    pub fn release_savepoint(&mut self, name: &str) -> Result<()> {
        let place = self.find_savepoint(name)?;
        self.savepoints.truncate(place);
        Ok(())
    }

    /// Whether there are savepoints: a failed transaction can then be taken up again.
    #[must_use]
    pub fn has_savepoint(&self, name: &str) -> bool {
        self.find_savepoint(name).is_ok()
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        self.savepoints.iter().rposition(|(other, _)| other == name).ok_or_else(|| {
            Error::new(
                SqlState::SAVEPOINT_EXCEPTION,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
    }

    /// What was done to the running statement so far is undone by going back to this.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.work.clone())
    }

    /// Undoes what was done since a mark. Locks are kept.
    pub fn undo_to(&mut self, mark: Mark) {
        self.work = mark.0;
        self.refresh();
    }

    /// The changes of names so far, to be completed before they are committed.
    pub fn changes_mut(&mut self) -> &mut [Change] {
        &mut self.work.changes
    }

    /// The tables that it adds rows to.
    #[must_use]
    pub fn growing(&self) -> Vec<TableId> {
        let grows = |buffer: &Buffer| buffer.rows.live_rows() > 0;
        self.work.tables.iter().filter(|(_, buffer)| grows(buffer)).map(|(&id, _)| id).collect()
    }

    /// Commits; `None` when there was nothing to commit.
    ///
    /// # Errors
    /// Those of [`Committer::commit`].
    pub async fn commit(mut self, committer: &Committer) -> Result<Option<Lsn>> {
        let work = std::mem::take(&mut self.work);
        let commit = work.into_commit(&self.states).await?;
        if commit.is_empty() {
            return Ok(None);
        }
        // Locks are released only now that others see the rows.
        let lsn = committer.commit(commit).await?;
        drop(self);
        Ok(Some(lsn))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.locks.release_all(self.owner());
    }
}
