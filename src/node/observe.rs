//! Tells the metrics what only a look at the parts can tell: once a second, for as long as the
//! node runs.

use crate::{
    clock::SharedClock,
    exec::{commit::Committer, nearest::Answers},
    server::Counters,
    session::Engine,
    storage::{columns::ColumnCache, segment::SegmentStore, store::Store},
    telemetry::Metrics,
};
use prometheus::IntCounter;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often the parts are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Observed {
    pub(super) metrics: Arc<Metrics>,
    pub(super) counters: Arc<Counters>,
    pub(super) engine: Arc<Engine>,
    pub(super) segments: SegmentStore,
    pub(super) answers: Arc<Answers>,
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) clock: SharedClock,
}

impl Observed {
    /// Looks until it is told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            self.connections();
            self.ranges();
            self.metrics.wal_queue.set(gauge(self.committer.waiting() as u64));
            self.indexes();
            self.memory(self.segments.cache());
            self.filters();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

    fn connections(&self) {
        let open = self.counters.connections_open.load(Ordering::Relaxed);
        self.metrics.connections.set(gauge(open));
        follow(&self.metrics.connections_accepted, &self.counters.connections_total);
        follow(&self.metrics.connections_refused, &self.counters.connections_refused_total);
    }

    /// What the range cache answered, and what the store had to.
    fn ranges(&self) {
        let Some(cache) = self.store.cache() else { return };
        let counts = cache.counters();
        for (tier, reads, bytes) in [
            ("memory", &counts.memory_hits, &counts.memory_bytes),
            ("disk", &counts.disk_hits, &counts.disk_bytes),
            ("store", &counts.misses, &counts.missed_bytes),
        ] {
            follow(&self.metrics.cache_reads.with_label_values(&[tier]), reads);
            follow(&self.metrics.cache_read_bytes.with_label_values(&[tier]), bytes);
        }
    }

    /// Rows that are searched exactly since their index does not have them yet.
    fn indexes(&self) {
        let state = self.engine.states().snapshot();
        let pending = state.indexes.iter().filter_map(|(id, index)| {
            let table = state.catalog.index(*id)?.table;
            Some(state.table(table).next_row().0.saturating_sub(index.watermark().0))
        });
        self.metrics.index_pending_rows.set(gauge(pending.sum()));
        let builds = self.engine.builds().progress().rows().len() as u64;
        self.metrics.index_builds_running.set(gauge(builds));
        let memtables = self.metrics.memory_bytes.with_label_values(&["memtables"]);
        memtables.set(gauge(state.memtable_bytes()));
        let resident = state.indexes.values().map(|index| index.stats().resident_bytes).sum();
        self.metrics.memory_bytes.with_label_values(&["postings"]).set(gauge(resident));
    }

    /// What searches asked of their filters.
    fn filters(&self) {
        let (hits, misses) = self.answers.counters();
        for (outcome, count) in [("hit", hits), ("miss", misses)] {
            follow(&self.metrics.filter_answers.with_label_values(&[outcome]), count);
        }
        let memory = self.metrics.memory_bytes.with_label_values(&["filters"]);
        memory.set(gauge(self.answers.bytes()));
    }

    fn memory(&self, columns: &ColumnCache) {
        let counts = columns.counts();
        self.metrics.memory_bytes.with_label_values(&["columns"]).set(gauge(counts.bytes));
    }
}

/// Lets a counter follow a number that only grows.
fn follow(counter: &IntCounter, total: &AtomicU64) {
    counter.inc_by(total.load(Ordering::Relaxed).saturating_sub(counter.get()));
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
