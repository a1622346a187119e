//! Tells the metrics what only a look at the parts can tell: once a second, for as long as the
//! node runs.

use super::checks::disk_space;
use crate::{
    clock::SharedClock,
    exec::{commit::Committer, nearest::Answers, state::DbState},
    http::Connections,
    ids::IndexId,
    index::{PostingStore, UpkeepCounts},
    server::Counters,
    session::Engine,
    storage::{columns::ColumnCache, segment::SegmentStore, store::Store},
    telemetry::Metrics,
};
use datafusion::execution::memory_pool::MemoryPool;
use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec};
use std::{
    collections::HashMap,
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
    pub(super) http: Arc<Connections>,
    pub(super) engine: Arc<Engine>,
    pub(super) segments: SegmentStore,
    pub(super) answers: Arc<Answers>,
    pub(super) postings: Arc<PostingStore>,
    pub(super) queries: Arc<dyn MemoryPool>,
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) clock: SharedClock,
}

/// What was seen of an index the last time.
struct Seen {
    name: String,
    upkeep: UpkeepCounts,
}

impl Observed {
    /// Looks until it is told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut seen = HashMap::new();
        loop {
            let state = self.engine.states().snapshot();
            self.connections();
            self.ranges();
            self.store_and_disk();
            set(&self.metrics.wal_queue, self.committer.waiting() as u64);
            self.tables(&state);
            self.indexes(&state, &mut seen);
            self.filters();
            self.memory(&state, self.segments.cache());
            drop(state);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

    fn connections(&self) {
        let Self { metrics, counters, http, .. } = self;
        set(&metrics.connections, counters.connections_open.load(Ordering::Relaxed));
        follow(&metrics.connections_accepted, &counters.connections_total);
        follow(&metrics.connections_refused, &counters.connections_refused_total);
        follow(&metrics.cancels, &counters.cancels_total);
        let bytes = |direction| metrics.wire_bytes.with_label_values(&[direction]);
        follow(&bytes("received"), &counters.received_bytes_total);
        follow(&bytes("sent"), &counters.sent_bytes_total);
        set(&metrics.http_connections, http.open.load(Ordering::Relaxed));
        follow(&metrics.http_connections_refused, &http.refused_total);
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

    /// What searches asked of their filters.
    fn filters(&self) {
        let (hits, misses) = self.answers.counters();
        for (outcome, count) in [("hit", hits), ("miss", misses)] {
            follow(&self.metrics.filter_answers.with_label_values(&[outcome]), count);
        }
        set(&self.metrics.memory_bytes.with_label_values(&["filters"]), self.answers.bytes());
    }

    fn store_and_disk(&self) {
        let (metrics, counts) = (&self.metrics, self.store.counters());
        for (operation, total) in [
            ("write", &counts.writes),
            ("read", &counts.reads),
            ("list", &counts.lists),
            ("delete", &counts.deletes),
        ] {
            follow(&metrics.store_requests.with_label_values(&[operation]), total);
        }
        follow(&metrics.store_bytes.with_label_values(&["written"]), &counts.bytes_written);
        follow(&metrics.store_bytes.with_label_values(&["read"]), &counts.bytes_read);
        follow(&metrics.store_retries, &counts.retries);
        follow(&metrics.store_failures, &counts.failures);
        let space = self.store.is_local().and_then(disk_space);
        #[expect(clippy::cast_precision_loss, reason = "disks are not measured to the byte")]
        let [all, free] = match space {
            Some(space) => [space.bytes as f64, space.free_bytes as f64],
            None => [f64::NAN; 2],
        };
        metrics.disk_bytes.set(all);
        metrics.disk_free_bytes.set(free);
    }

    fn tables(&self, state: &DbState) {
        let (mut segments, mut bytes, mut rows, mut deleted) = (0, 0, 0, 0);
        for table in state.tables.values() {
            segments += table.segments().count() as u64;
            bytes += table.bytes();
            rows += table.live_rows();
            deleted += table.deleted_rows();
        }
        set(&self.metrics.segments, segments);
        set(&self.metrics.table_bytes, bytes);
        set(&self.metrics.table_rows, rows);
        set(&self.metrics.table_deleted_rows, deleted);
    }

    /// The sizes of indexes, what waits for them, and what upkeep did.
    fn indexes(&self, state: &DbState, seen: &mut HashMap<IndexId, Seen>) {
        let metrics = &self.metrics;
        let (mut pending, mut resident) = (0, 0);
        for (id, index) in state.indexes.iter() {
            let Some(entry) = state.catalog.index(*id) else { continue };
            let next = state.table(entry.table).next_row();
            pending += next.0.saturating_sub(index.watermark().0);
            let stats = index.stats();
            resident += stats.resident_bytes;
            let labels = [entry.name.as_str()];
            set(&metrics.index_bytes.with_label_values(&labels), stats.bytes);
            set(&metrics.index_entries.with_label_values(&labels), stats.entries);
            set(&metrics.index_postings.with_label_values(&labels), stats.postings.into());
            if let Some(share) = index.stale_share() {
                metrics.index_stale_share.with_label_values(&labels).set(share);
            }
            let now = index.upkeep_counts();
            let last = seen.insert(*id, Seen { name: entry.name.clone(), upkeep: now });
            if let Some(last) = &last
                && last.name != entry.name
            {
                self.forget_index(&last.name);
            }
            self.upkeep(now, last.map(|last| last.upkeep).unwrap_or_default());
        }
        seen.retain(|id, seen| {
            let is_there = state.catalog.index(*id).is_some();
            if !is_there {
                self.forget_index(&seen.name);
            }
            is_there
        });
        set(&metrics.index_pending_rows, pending);
        set(&metrics.index_builds_running, self.engine.builds().progress().rows().len() as u64);
        set(&metrics.memory_bytes.with_label_values(&["postings"]), resident);
        let (reads, bytes) = self.postings.reads();
        reach(&metrics.posting_reads, reads);
        reach(&metrics.posting_read_bytes, bytes);
    }

    /// Adds what upkeep did since; an index that was made anew begins at zero again.
    fn upkeep(&self, now: UpkeepCounts, last: UpkeepCounts) {
        let since = |now: u64, last: u64| if now < last { now } else { now - last };
        for (step, done) in [
            ("split", since(now.splits, last.splits)),
            ("merge", since(now.merges, last.merges)),
            ("renewal", since(now.renewals, last.renewals)),
            ("calibration", since(now.calibrations, last.calibrations)),
        ] {
            self.metrics.index_upkeep.with_label_values(&[step]).inc_by(done);
        }
        self.metrics.index_checked.inc_by(since(now.checked, last.checked));
        self.metrics.index_reassigned.inc_by(since(now.reassigned, last.reassigned));
    }

    fn forget_index(&self, name: &str) {
        let metrics = &self.metrics;
        let forget = |family: &IntGaugeVec| drop(family.remove_label_values(&[name]));
        forget(&metrics.index_bytes);
        forget(&metrics.index_entries);
        forget(&metrics.index_postings);
        let shares: &GaugeVec = &metrics.index_stale_share;
        // Unset where nobody looked at all of it yet.
        drop(shares.remove_label_values(&[name]));
    }

    fn memory(&self, state: &DbState, columns: &ColumnCache) {
        let counts = columns.counts();
        let of = |consumer| self.metrics.memory_bytes.with_label_values(&[consumer]);
        set(&of("columns"), counts.bytes);
        set(&of("memtables"), state.memtable_bytes());
        set(&of("queries"), self.queries.reserved() as u64);
        set(&of("ranges"), self.store.cache().map_or(0, |cache| cache.memory_bytes()));
        reach(&self.metrics.column_reads.with_label_values(&["memory"]), counts.hits);
        reach(&self.metrics.column_reads.with_label_values(&["segment"]), counts.misses);
    }
}

/// Lets a counter follow a number that only grows.
fn follow(counter: &IntCounter, total: &AtomicU64) {
    reach(counter, total.load(Ordering::Relaxed));
}

fn reach(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
