//! Back-pressure: a writer waits before its commit while what must follow commits lags behind.
//!
//! Two things follow: indexes take new rows in, and a flush takes memtables to the store. Until then
//! searches read those rows one by one, and memory holds them; both must have an end. A commit that
//! adds rows therefore waits while an index of its table is more rows behind than
//! `unindexed_rows_max`, or memtables hold several times the bytes at which a flush is due. It waits
//! for a time at most: rows that are late in an index are found all the same, so that the commit goes
//! on; memory that is full is an error.
//!
//! So `unindexed_rows_max` is a soft bound. One commit may exceed it by all of its rows, and an index that
//! is being built, or is damaged, holds nobody back: searches read all rows then, and waiting would
//! make them no fewer.

use super::state::{DbState, States};
use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    ids::TableId,
    telemetry::Metrics,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Flushes are due at the bytes that are given; commits wait at so many times as much.
const MEMTABLES: u64 = 4;
/// A commit waits no longer.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct PressureOptions {
    /// Rows that an index may be behind its table.
    pub unindexed_rows_max: u64,
    /// Bytes of memtables at which a flush is due.
    pub flush_bytes: u64,
}

/// What holds commits back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lag {
    Index,
    Memtables,
}

/// Holds commits back.
#[derive(Debug)]
pub struct Pressure {
    states: Arc<States>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    options: PressureOptions,
}

impl Pressure {
    /// Over the pictures of a node.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        options: PressureOptions,
    ) -> Self {
        Self { states, clock, metrics, options }
    }

    /// Returns when a commit may go on that adds rows to these tables.
    ///
    /// # Errors
    /// 57014 when cancelled meanwhile; 53200 when memtables are full and are not flushed.
    pub async fn admit(&self, tables: &[TableId], cancel: &CancellationToken) -> Result<()> {
        let Some(mut lag) = self.lag(&self.states.snapshot(), tables) else { return Ok(()) };
        let by = |lag: Lag| if lag == Lag::Index { "index" } else { "memtables" };
        self.metrics.commits_held.with_label_values(&[by(lag)]).inc();
        let begun = self.clock.elapsed();
        while self.clock.elapsed().saturating_sub(begun) < WAIT_MAX {
            tokio::select! {
                () = cancel.cancelled() => return Err(super::run::cancelled()),
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
            let Some(now) = self.lag(&self.states.snapshot(), tables) else { return Ok(()) };
            lag = now;
        }
        match lag {
            Lag::Index => {
                tracing::warn!(?tables, "an index does not keep up: a commit goes on without it");
                Ok(())
            }
            Lag::Memtables => Err(Error::new(
                SqlState::OUT_OF_MEMORY,
                "memory for rows that are not flushed yet is full",
            )
            .detail(format!(
                "{} bytes wait to be written.",
                self.states.snapshot().memtable_bytes()
            ))
            .hint("The store may be slow or away: see the log. Nothing was committed.")),
        }
    }

    /// What is too far behind.
    fn lag(&self, state: &DbState, tables: &[TableId]) -> Option<Lag> {
        if tables.is_empty() {
            return None;
        }
        if state.memtable_bytes() > self.options.flush_bytes.saturating_mul(MEMTABLES) {
            return Some(Lag::Memtables);
        }
        // An index that is being built, or built again, has all rows in the end.
        let behind = state.indexes.iter().any(|(id, index)| {
            let Some(entry) = state.catalog.index(*id) else { return false };
            let Some(rows) = state.tables.get(&entry.table) else { return false };
            let rows = rows.next_row().0.saturating_sub(index.watermark().0);
            let kept_up = index.is_whole() && !index.is_damaged();
            let counts = kept_up && tables.contains(&entry.table);
            counts && rows > self.options.unindexed_rows_max
        });
        behind.then_some(Lag::Index)
    }
}
