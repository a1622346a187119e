//! Keeps indexes up with their tables: rows that were committed since are added, postings are
//! split, merged and cleaned. An index that is missing, damaged or half built is the business of
//! [`Background`](super::build::Background).
//!
//! One task works on all indexes of a node, one index at a time, so that each version follows from
//! the one before. It works on versions that nobody else changes and publishes them through the
//! commit task. Searches meanwhile read what is newer exactly.
//!
//! ```text
//!   always            round   new rows, and what the sizes of postings ask for
//!   every 10 seconds  sweep   postings with many dead rows, where rows were deleted since
//!   in quiet times    tend    neighbourhoods refined, postings scrubbed (pace.rs)
//! ```
//!
//! What fails is tried again, later each time (retry.rs): a store that was away for a while costs
//! an index no more than that while.

mod pace;
mod retry;

use super::{
    build::{Source, extend, table_of},
    commit::Committer,
    state::{DbState, States},
};
use crate::{
    catalog::Index as Entry,
    clock::SharedClock,
    error::{Error, Result},
    ids::{IndexId, RowId},
    index::Index,
    telemetry::Metrics,
};
use pace::Pace;
use retry::Retries;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many steps of upkeep are done before the task looks for new rows again.
const STEPS_MAX: usize = 64;
/// How long the task rests between rounds, while commits gather.
const GATHER: Duration = Duration::from_millis(20);
/// How long passes between two looks for dead rows.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// For how long an index is tended at a time.
const TEND_FOR: Duration = Duration::from_millis(20);

/// The upkeep of a node's indexes.
#[derive(Debug)]
pub struct Upkeep {
    states: Arc<States>,
    committer: Committer,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    retries: Retries,
    pace: Pace,
    /// How many rows of its table were deleted when an index was last found clean of dead ones.
    swept: HashMap<IndexId, u64>,
    sweep_at: Duration,
}

impl Upkeep {
    /// For a node's indexes.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        committer: Committer,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let pace = Pace::new(Arc::clone(&metrics), Arc::clone(&clock));
        let sweep_at = clock.elapsed() + SWEEP_EVERY;
        let (retries, swept) = (Retries::default(), HashMap::new());
        Self { states, committer, clock, metrics, retries, pace, swept, sweep_at }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes: watch::Receiver<_> = self.states.changes();
        loop {
            changes.mark_unchanged();
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                wait = self.turn(&stop) => wait,
            };
            if let Some(wait) = wait {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                    () = self.clock.sleep(wait) => {}
                }
            }
            // Commits that come soon after are taken in together; none of them wakes this task.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(GATHER) => {}
            }
        }
    }

    /// Does what there is to do, and tells how long to wait if nothing changes; none where there is
    /// more to do.
    async fn turn(&mut self, stop: &CancellationToken) -> Option<Duration> {
        let state = self.states.snapshot();
        self.retries.keep(|id| state.catalog.index(id).is_some());
        self.swept.retain(|&id, _| state.catalog.index(id).is_some());
        let worked = self.round(&state, stop).await;
        // Commits without an end must not keep dead rows in.
        if self.clock.elapsed() >= self.sweep_at {
            self.sweep(stop).await;
            self.sweep_at = self.clock.elapsed() + SWEEP_EVERY;
        }
        if worked {
            return None;
        }
        let tended = self.tend(stop).await;
        let now = self.clock.elapsed();
        let mut wait = self.sweep_at.saturating_sub(now);
        if let Some(again_at) = self.retries.next() {
            wait = wait.min(again_at.saturating_sub(now));
        }
        Some(if tended { wait.min(self.pace.wait()) } else { wait })
    }

    /// Brings every index up to date once; whether there was anything to do.
    async fn round(&mut self, state: &DbState, stop: &CancellationToken) -> bool {
        let mut worked = false;
        for entry in state.catalog.indexes() {
            if stop.is_cancelled() || !self.retries.is_due(entry.id, self.clock.elapsed()) {
                continue;
            }
            match self.keep_up(entry).await {
                Ok(done) => {
                    self.retries.succeeded(entry.id);
                    worked |= done;
                }
                Err(error) => self.failed(entry, &error),
            }
        }
        worked
    }

    /// Takes note of a failure. A damaged index is left alone until it was built again.
    fn failed(&mut self, entry: &Entry, error: &Error) {
        self.metrics.index_upkeep_failures.inc();
        let state = self.states.snapshot();
        if state.indexes.get(&entry.id).is_some_and(Index::is_damaged) {
            tracing::error!(index = %entry.name, %error, "an index is damaged");
            return;
        }
        let again_in = self.retries.failed(entry.id, self.clock.elapsed());
        tracing::error!(index = %entry.name, %error, ?again_in, "index upkeep failed");
    }

    async fn keep_up(&self, entry: &Arc<Entry>) -> Result<bool> {
        let state = self.states.snapshot();
        let Some(table) = table_of(entry, &state) else { return Ok(false) };
        let rows = state.table(table.id);
        let end = rows.next_row();
        let Some(source) = Source::new(entry, &table, rows, end)? else { return Ok(false) };
        let Some(index) = state.indexes.get(&entry.id).filter(is_kept_up) else {
            return Ok(false);
        };
        let mut next = index.clone();
        let mut worked = false;
        if next.watermark() < end {
            next = extend(&next, &source, end).await?;
            worked = true;
        }
        let horizon = self.states.horizon();
        for _ in 0..STEPS_MAX {
            let live = |row: RowId| is_live(&horizon, &state, entry, row);
            let Some(step) = next.settle(&live).await? else { break };
            next = step;
            worked = true;
            self.metrics.index_steps.with_label_values(&["settle"]).inc();
            tokio::task::yield_now().await;
        }
        if worked {
            self.publish(entry.id, next).await?;
        }
        Ok(worked)
    }

    /// Looks for postings with many dead rows, a few steps at a time, in indexes of tables of which
    /// rows were deleted since.
    async fn sweep(&mut self, stop: &CancellationToken) {
        let (state, horizon) = (self.states.snapshot(), self.states.horizon());
        for entry in state.catalog.indexes() {
            let Some(index) = state.indexes.get(&entry.id).filter(is_kept_up) else { continue };
            let deleted = horizon
                .tables
                .get(&entry.table)
                .map_or(0, |rows| rows.next_row().0.saturating_sub(rows.live_rows()));
            if self.swept.get(&entry.id) == Some(&deleted)
                || !self.retries.is_due(entry.id, self.clock.elapsed())
            {
                continue;
            }
            match self.swept_once(entry, index, &state, &horizon, stop).await {
                Ok(true) => {
                    self.swept.insert(entry.id, deleted);
                }
                Ok(false) => {}
                Err(error) => self.failed(entry, &error),
            }
        }
    }

    /// Some steps of a sweep; whether the index is clean.
    async fn swept_once(
        &self,
        entry: &Entry,
        index: &Index,
        state: &DbState,
        horizon: &DbState,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let mut next = index.clone();
        let mut steps = 0;
        let mut clean = false;
        while steps < STEPS_MAX && !stop.is_cancelled() {
            let live = |row: RowId| is_live(horizon, state, entry, row);
            let Some(step) = next.maintain(&live).await? else {
                clean = true;
                break;
            };
            next = step;
            steps += 1;
            self.metrics.index_steps.with_label_values(&["sweep"]).inc();
            tokio::task::yield_now().await;
        }
        if steps > 0 {
            self.publish(entry.id, next).await?;
        }
        Ok(clean)
    }

    /// Makes an index better for a moment, if there is time to spare; whether there is more of that.
    async fn tend(&mut self, stop: &CancellationToken) -> bool {
        let state = self.states.snapshot();
        for entry in state.catalog.indexes() {
            let Some(index) = state.indexes.get(&entry.id).filter(is_kept_up) else { continue };
            if !index.wants_tending() || !self.retries.is_due(entry.id, self.clock.elapsed()) {
                continue;
            }
            if stop.is_cancelled() || !self.pace.is_free() {
                return true;
            }
            if let Err(error) = self.tended(entry, index, &state).await {
                self.failed(entry, &error);
            }
            return true;
        }
        false
    }

    async fn tended(&mut self, entry: &Entry, index: &Index, state: &DbState) -> Result<()> {
        let horizon = self.states.horizon();
        let begun = self.clock.elapsed();
        let live = |row: RowId| is_live(&horizon, state, entry, row);
        let mut next = index.clone();
        while let Some(step) = next.tend(&live).await? {
            next = step;
            self.metrics.index_steps.with_label_values(&["tend"]).inc();
            if self.clock.elapsed().saturating_sub(begun) >= TEND_FOR {
                break;
            }
        }
        self.pace.worked_since(begun);
        self.publish(entry.id, next).await
    }

    async fn publish(&self, id: IndexId, index: Index) -> Result<()> {
        let put = move |state: &DbState| {
            let state = state.clone();
            // It may have been dropped meanwhile, or built anew.
            match state.indexes.get(&id) {
                Some(before) if before.is_kin(&index) => state.with_index(id, index),
                _ => state,
            }
        };
        self.committer.rearrange(put).await.map(drop)
    }
}

/// Whether an index is upkeep's: a build or a rebuild is not.
fn is_kept_up(index: &&Index) -> bool {
    index.is_whole() && !index.is_damaged()
}

/// Whether some snapshot may still see a row: what the oldest does not see as deleted is live, and
/// so is what is newer than it.
fn is_live(horizon: &DbState, state: &DbState, entry: &Entry, row: RowId) -> bool {
    let visible =
        |state: &DbState| state.tables.get(&entry.table).is_some_and(|table| table.is_live(row));
    visible(horizon) || visible(state)
}
