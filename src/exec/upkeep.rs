//! Keeps indexes up with their tables: rows that were committed since are added, postings are
//! split, merged and cleaned, and an index that is missing after a start is built again.
//!
//! One task works on all indexes of a node, one index at a time, so that each version follows from
//! the one before. It works on versions that nobody else changes and publishes them through the
//! commit task. Searches meanwhile read what is newer exactly.

use super::{
    build::{Source, extend, table_of},
    commit::Committer,
    state::{DbState, States},
};
use crate::{
    catalog::Index as Entry,
    clock::SharedClock,
    error::Result,
    ids::{IndexId, RowId},
    index::Index,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many steps of upkeep are done before the task looks for new rows again.
const STEPS_MAX: usize = 64;
/// How long the task rests between rounds, while commits gather.
const GATHER: Duration = Duration::from_millis(20);
/// How long the task rests when there is nothing to do but to look for dead rows.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The upkeep of a node's indexes.
#[derive(Debug)]
pub struct Upkeep {
    states: Arc<States>,
    committer: Committer,
    clock: SharedClock,
    /// Indexes that could not be built: not tried again until the catalog changes.
    failed: HashSet<IndexId>,
    failed_at: u64,
}

impl Upkeep {
    /// For a node's indexes.
    #[must_use]
    pub fn new(states: Arc<States>, committer: Committer, clock: SharedClock) -> Self {
        Self { states, committer, clock, failed: HashSet::new(), failed_at: 0 }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes: watch::Receiver<_> = self.states.changes();
        loop {
            changes.mark_unchanged();
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.round(&stop) => worked,
            };
            if !worked {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                    () = self.clock.sleep(SWEEP_EVERY) => self.sweep(&stop).await,
                }
            }
            // Commits that come soon after are taken in together; none of them wakes this task.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(GATHER) => {}
            }
        }
    }

    /// Brings every index up to date once; whether there was anything to do.
    async fn round(&mut self, stop: &CancellationToken) -> bool {
        let state = self.states.snapshot();
        if state.catalog.version() != self.failed_at {
            self.failed_at = state.catalog.version();
            self.failed.clear();
        }
        let mut worked = false;
        for entry in state.catalog.indexes() {
            if stop.is_cancelled() || self.failed.contains(&entry.id) {
                continue;
            }
            match self.keep_up(entry, stop).await {
                Ok(done) => worked |= done,
                Err(error) => {
                    tracing::error!(index = %entry.name, %error, "index upkeep failed");
                    let damaged = state.indexes.get(&entry.id).is_some_and(Index::is_damaged);
                    if damaged {
                        // It is built again in the next round.
                        worked = true;
                    } else {
                        self.failed.insert(entry.id);
                    }
                }
            }
        }
        worked
    }

    async fn keep_up(&self, entry: &Arc<Entry>, stop: &CancellationToken) -> Result<bool> {
        let state = self.states.snapshot();
        let Some(table) = table_of(entry, &state) else { return Ok(false) };
        let rows = state.table(table.id);
        let end = rows.next_row();
        let Some(source) = Source::new(entry, &table, rows, end)? else { return Ok(false) };
        let whole = |index: &&Index| !index.is_damaged();
        let Some(index) = state.indexes.get(&entry.id).filter(whole) else {
            let index = source.work(stop, None).await?;
            self.publish(entry.id, index).await?;
            return Ok(true);
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
            tokio::task::yield_now().await;
        }
        if worked {
            self.publish(entry.id, next).await?;
        }
        Ok(worked)
    }

    /// Looks for postings with many dead rows, a few steps at a time.
    async fn sweep(&self, stop: &CancellationToken) {
        let (state, horizon) = (self.states.snapshot(), self.states.horizon());
        for entry in state.catalog.indexes() {
            let Some(index) = state.indexes.get(&entry.id) else { continue };
            if index.is_damaged() {
                continue;
            }
            let mut next = index.clone();
            let mut worked = false;
            for _ in 0..STEPS_MAX {
                let live = |row: RowId| is_live(&horizon, &state, entry, row);
                match next.maintain(&live).await {
                    Ok(Some(step)) if !stop.is_cancelled() => next = step,
                    Ok(_) => break,
                    Err(error) => {
                        tracing::error!(index = %entry.name, %error, "index upkeep failed");
                        return;
                    }
                }
                worked = true;
                tokio::task::yield_now().await;
            }
            if worked && let Err(error) = self.publish(entry.id, next).await {
                tracing::error!(index = %entry.name, %error, "index upkeep failed");
                return;
            }
        }
    }

    async fn publish(&self, id: IndexId, index: Index) -> Result<()> {
        let put = move |state: &DbState| {
            let state = state.clone();
            // It may have been dropped meanwhile.
            if state.catalog.index(id).is_some() { state.with_index(id, index) } else { state }
        };
        self.committer.rearrange(put).await.map(drop)
    }
}

/// Whether some snapshot may still see a row: what the oldest does not see as deleted is live, and
/// so is what is newer than it.
fn is_live(horizon: &DbState, state: &DbState, entry: &Entry, row: RowId) -> bool {
    let visible =
        |state: &DbState| state.tables.get(&entry.table).is_some_and(|table| table.is_live(row));
    visible(horizon) || visible(state)
}
