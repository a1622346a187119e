//! Tells the metrics what only a look at the parts can tell: once a second, for as long as the
//! node runs.

use crate::{
    clock::SharedClock,
    server::Counters,
    session::Engine,
    storage::{columns::ColumnCache, segment::SegmentStore},
    telemetry::Metrics,
};
use std::{
    sync::{Arc, atomic::Ordering},
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
    pub(super) clock: SharedClock,
}

impl Observed {
    /// Looks until it is told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut accepted = 0;
        loop {
            self.connections(&mut accepted);
            self.indexes();
            self.memory(self.segments.cache());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

    fn connections(&self, accepted: &mut u64) {
        let open = self.counters.connections_open.load(Ordering::Relaxed);
        self.metrics.connections.set(gauge(open));
        let total = self.counters.connections_total.load(Ordering::Relaxed);
        self.metrics.connections_accepted.inc_by(total.saturating_sub(*accepted));
        *accepted = total;
    }

    /// Rows that are searched exactly since their index does not have them yet.
    fn indexes(&self) {
        let state = self.engine.states().snapshot();
        let pending = state.indexes.iter().filter_map(|(id, index)| {
            let table = state.catalog.index(*id)?.table;
            Some(state.table(table).next_row().0.saturating_sub(index.watermark().0))
        });
        self.metrics.index_pending_rows.set(gauge(pending.sum()));
        let memtables = self.metrics.memory_bytes.with_label_values(&["memtables"]);
        memtables.set(gauge(state.memtable_bytes()));
        let resident = state.indexes.values().map(|index| index.stats().resident_bytes).sum();
        self.metrics.memory_bytes.with_label_values(&["postings"]).set(gauge(resident));
    }

    fn memory(&self, columns: &ColumnCache) {
        let counts = columns.counts();
        self.metrics.memory_bytes.with_label_values(&["columns"]).set(gauge(counts.bytes));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
