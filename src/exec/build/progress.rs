//! How far builds are: what `pg_stat_progress_create_index` shows.

use crate::{catalog::pg::BuildRow, ids::Oid};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

/// The builds that are under way.
#[derive(Debug, Default)]
pub struct Progress {
    builds: Mutex<BTreeMap<u64, Arc<Counts>>>,
    next: AtomicU64,
}

/// What a build does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// It waits for its turn or draws a sample.
    Initializing,
    /// Centroids are trained.
    Training,
    /// Rows are assigned to postings.
    Loading,
    /// Postings are split, merged and joined, and the stop rule is calibrated.
    Settling,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Initializing, Self::Training, Self::Loading, Self::Settling];

    /// In PostgreSQL's and pgvector's words, as far as they have any.
    fn name(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Training => "building index: performing k-means",
            Self::Loading => "building index: loading tuples",
            Self::Settling => "building index: settling postings",
        }
    }
}

/// A build that is shown until this is dropped.
#[derive(Debug)]
pub struct Building {
    progress: Arc<Progress>,
    number: u64,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    process_id: i32,
    table: Oid,
    index: Oid,
    command: &'static str,
    phase: AtomicU8,
    blocks_total: AtomicU64,
    blocks_done: AtomicU64,
    tuples_total: AtomicU64,
    tuples_done: AtomicU64,
}

/// Whose build it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The session's number; 0: none waits for it.
    pub process_id: i32,
    /// Of which table.
    pub table: Oid,
    /// Which index; 0 while it is no one's but its transaction's, as PostgreSQL has it.
    pub index: Oid,
    /// `CREATE INDEX`, `REINDEX` …
    pub command: &'static str,
}

impl Progress {
    /// A build begins.
    pub fn enter(self: &Arc<Self>, subject: Subject) -> Building {
        let number = self.next.fetch_add(1, Relaxed);
        let Subject { process_id, table, index, command } = subject;
        let counts = Arc::new(Counts {
            process_id,
            table,
            index,
            command,
            phase: AtomicU8::new(Phase::Initializing as u8),
            blocks_total: AtomicU64::new(0),
            blocks_done: AtomicU64::new(0),
            tuples_total: AtomicU64::new(0),
            tuples_done: AtomicU64::new(0),
        });
        self.builds.lock().insert(number, Arc::clone(&counts));
        Building { progress: Arc::clone(self), number, counts }
    }

    /// All of them, in the order of their beginning.
    #[must_use]
    pub fn rows(&self) -> Vec<BuildRow> {
        self.builds.lock().values().map(|counts| counts.row()).collect()
    }
}

impl Building {
    /// Another phase begins.
    pub fn phase(&self, phase: Phase) {
        self.counts.phase.store(phase as u8, Relaxed);
    }

    /// There are so many blocks and rows.
    pub fn total(&self, blocks: u64, tuples: u64) {
        self.counts.blocks_total.store(blocks, Relaxed);
        self.counts.tuples_total.store(tuples, Relaxed);
    }

    /// So many of them are done.
    pub fn done(&self, blocks: u64, tuples: u64) {
        self.counts.blocks_done.store(blocks, Relaxed);
        self.counts.tuples_done.store(tuples, Relaxed);
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        self.progress.builds.lock().remove(&self.number);
    }
}

impl Counts {
    fn row(&self) -> BuildRow {
        let count = |counter: &AtomicU64| i64::try_from(counter.load(Relaxed)).unwrap_or(i64::MAX);
        BuildRow {
            process_id: self.process_id,
            table: self.table,
            index: self.index,
            command: self.command,
            phase: Phase::ALL[usize::from(self.phase.load(Relaxed))].name(),
            blocks_total: count(&self.blocks_total),
            blocks_done: count(&self.blocks_done),
            tuples_total: count(&self.tuples_total),
            tuples_done: count(&self.tuples_done),
        }
    }
}
