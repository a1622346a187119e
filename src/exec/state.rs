//! `DbState`: one immutable picture of everything committed, published by swapping one `Arc`.
//!
//! A snapshot is a clone of that `Arc`: readers take no locks. The published pictures that
//! someone still holds are known ([`States::horizon`]), so that an index forgets a dead row, and
//! the collector an object, only when nobody can ask for it any more.

use super::events::Events;
use crate::{
    catalog::Catalog,
    ids::{IndexId, Lsn, Oid, TableId},
    index::Index,
    storage::table::TableState,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::watch;

/// Everything committed up to a place in the log.
#[derive(Debug, Clone)]
pub struct DbState {
    /// The last commit that is in it.
    pub lsn: Lsn,
    /// The names.
    pub catalog: Arc<Catalog>,
    /// The rows.
    pub tables: Arc<HashMap<TableId, TableState>>,
    /// The vector indexes that are built; each says itself which rows it has.
    pub indexes: Arc<HashMap<IndexId, Index>>,
}

impl DbState {
    /// Nothing but the initial role and database.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            lsn: Lsn(0),
            catalog: Arc::default(),
            tables: Arc::default(),
            indexes: Arc::default(),
        }
    }

    /// The rows of a table; none where nothing was ever written.
    #[must_use]
    pub fn table(&self, id: TableId) -> TableState {
        self.tables.get(&id).cloned().unwrap_or_else(TableState::empty)
    }

    /// The same with another state of one table.
    #[must_use]
    pub fn with_table(mut self, id: TableId, table: TableState) -> Self {
        Arc::make_mut(&mut self.tables).insert(id, table);
        self
    }

    /// The same with another version of one index.
    #[must_use]
    pub fn with_index(mut self, id: IndexId, index: Index) -> Self {
        Arc::make_mut(&mut self.indexes).insert(id, index);
        self
    }

    /// Bytes of rows that are not in segments yet.
    #[must_use]
    pub fn memtable_bytes(&self) -> u64 {
        self.tables.values().map(TableState::memtable_bytes).sum()
    }
}

/// The newest picture, and those before it that someone still holds.
#[derive(Debug)]
pub struct States {
    newest: ArcSwap<DbState>,
    alive: Mutex<VecDeque<Weak<DbState>>>,
    published: watch::Sender<Lsn>,
    next_oid: AtomicU32,
    events: Arc<Events>,
}

impl States {
    /// Starts from a picture.
    #[must_use]
    pub fn new(state: DbState) -> Self {
        let state = Arc::new(state);
        let alive = Mutex::new([Arc::downgrade(&state)].into());
        let published = watch::Sender::new(state.lsn);
        let next_oid = AtomicU32::new(state.catalog.next_oid().0);
        let events = Arc::new(Events::new(state.lsn));
        Self { newest: ArcSwap::new(state), alive, published, next_oid, events }
    }

    /// A snapshot of now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<DbState> {
        self.newest.load_full()
    }

    /// An oid for a new object, given once: one whose transaction does not commit is left out.
    pub fn fresh_oid(&self) -> Oid {
        Oid(self.next_oid.fetch_add(1, Ordering::Relaxed))
    }

    /// What webhooks are to be told, and how they do.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Makes a picture the newest. Only the commit task calls this.
    pub(super) fn publish(&self, state: DbState) -> Arc<DbState> {
        let state = Arc::new(state);
        let mut alive = self.alive.lock();
        alive.retain(|weak| weak.strong_count() > 0);
        alive.push_back(Arc::downgrade(&state));
        drop(alive);
        self.newest.store(Arc::clone(&state));
        self.published.send_replace(state.lsn);
        state
    }

    /// The oldest picture that someone may still ask.
    #[must_use]
    pub fn horizon(&self) -> Arc<DbState> {
        let alive = self.alive.lock();
        alive.iter().find_map(Weak::upgrade).unwrap_or_else(|| self.snapshot())
    }

    /// Every picture that someone may still ask.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<DbState>> {
        self.alive.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells of every new picture.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Lsn> {
        self.published.subscribe()
    }
}
