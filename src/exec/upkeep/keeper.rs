//! One index and its upkeep: the jobs that it asks for, each of which takes a bounded time and publishes
//! what it did on the way.

use super::Shared;
use crate::{
    catalog::Index as Entry,
    error::Result,
    exec::{
        build::{Source, extend, table_of},
        state::DbState,
    },
    ids::{IndexId, RowId},
    index::{Index, Mark, Sweep, Swept},
};
use std::{sync::Arc, time::Duration};

/// Rows that are taken in before they are published.
const ROWS_MAX: usize = 4096;
/// Steps of settling between two versions that are published.
const STEPS: usize = 8;
/// For how long postings are settled at a time.
const SETTLE_FOR: Duration = Duration::from_millis(200);
/// For how long dead rows are looked for, and an index is tended, at a time.
const STINT: Duration = Duration::from_millis(40);
/// How long an index rests that is up to date, while commits gather.
const GATHER: Duration = Duration::from_millis(20);
/// How long passes between two passes over an index in search of dead rows.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Deleted rows for which a pass is worth it, for each hundred that are live: with the dead rows that a
/// pass leaves (14 in a hundred of a posting's) no more than 15.
const DELETED_PERCENT: u64 = 1;

/// What is done for an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// New rows are taken in, and postings made as large as they should be.
    Keep,
    /// Entries of dead rows are looked for and dropped.
    Sweep,
    /// Neighbourhoods are refined, postings scrubbed.
    Tend,
}

/// What is known of an index between jobs.
#[derive(Debug)]
pub(super) struct Keeper {
    id: IndexId,
    /// A version that wants nothing of `Keep` until rows come.
    settled: Option<Mark>,
    rests_until: Duration,
    /// The pass that is under way.
    sweep: Option<Sweep>,
    sweep_at: Duration,
    last: Option<Job>,
}

impl Keeper {
    pub(super) fn new(id: IndexId) -> Self {
        let (rests_until, sweep_at) = (Duration::ZERO, Duration::ZERO);
        Self { id, settled: None, rests_until, sweep: None, sweep_at, last: None }
    }

    pub(super) fn id(&self) -> IndexId {
        self.id
    }

    /// When it should be asked again, at the latest.
    pub(super) fn rests_until(&self) -> Duration {
        self.rests_until
    }

    /// What to do next, if it is time for it: what must be in turn with what can wait, so that commits
    /// without an end do not keep dead rows in.
    pub(super) fn next(
        &self,
        index: &Index,
        state: &DbState,
        horizon: &DbState,
        now: Duration,
    ) -> Wants {
        let entry = state.catalog.index(self.id);
        let rows = entry.and_then(|entry| state.tables.get(&entry.table));
        let is_behind = rows.is_some_and(|rows| index.watermark() < rows.next_row());
        let is_settled = self.settled.as_ref().is_some_and(|mark| index.is(mark));
        let dead = entry.and_then(|entry| horizon.tables.get(&entry.table));
        let dead = dead.map_or(0, |rows| rows.deleted_ever().saturating_sub(index.is_clean_of()));
        let live = rows.map_or(0, |rows| rows.live_rows());
        let is_due = dead > 0 && dead * 100 >= live * DELETED_PERCENT && now >= self.sweep_at;
        Wants {
            keep: (is_behind || !is_settled) && now >= self.rests_until,
            sweep: is_due || self.sweep.is_some(),
            swept_last: self.last == Some(Job::Sweep),
        }
    }

    /// Does it; whether there is more of it.
    pub(super) async fn work(&mut self, job: Job, shared: &Shared) -> Result<()> {
        self.last = Some(job);
        let state = shared.states.snapshot();
        let index = state.indexes.get(&self.id).filter(super::is_kept_up);
        let (Some(entry), Some(index)) = (state.catalog.index(self.id), index) else {
            return Ok(());
        };
        let stint = Stint { shared, entry, begun: shared.clock.elapsed(), state: &state };
        match job {
            Job::Keep => self.keep(&stint, index.clone()).await,
            Job::Sweep => self.swept(&stint, index.clone()).await,
            Job::Tend => stint.tend(index.clone()).await,
        }
    }

    async fn keep(&mut self, stint: &Stint<'_>, mut next: Index) -> Result<()> {
        // Also where there turns out to be nothing to keep.
        self.rests_until = stint.begun + GATHER;
        let Some(table) = table_of(stint.entry, stint.state) else { return Ok(()) };
        let rows = stint.state.table(table.id);
        let end = rows.next_row();
        let Some(source) = Source::new(stint.entry, &table, rows, end)? else { return Ok(()) };
        if next.watermark() < end {
            next = extend(&next, &source, end, ROWS_MAX).await?;
            stint.publish(&next).await?;
        }
        let (next, is_settled) = stint.settle(next).await?;
        self.settled = is_settled.then(|| next.mark());
        let has_more = !is_settled || next.watermark() < end;
        let now = stint.shared.clock.elapsed();
        self.rests_until = if has_more { now } else { now + GATHER };
        Ok(())
    }

    /// Goes on with a pass, or begins one.
    async fn swept(&mut self, stint: &Stint<'_>, mut next: Index) -> Result<()> {
        let horizon = stint.shared.states.horizon();
        let live = |row: RowId| stint.is_live(&horizon, row);
        let sweep = match &mut self.sweep {
            Some(sweep) => sweep,
            none => {
                let rows = horizon.tables.get(&stint.entry.table);
                none.insert(next.sweep(rows.map_or(0, |rows| rows.deleted_ever()))?)
            }
        };
        let (mut has_changed, mut is_over) = (false, false);
        let mut ended = Ok(());
        while !is_over && !stint.is_over(STINT) {
            match next.sweep_on(sweep, &live).await {
                Ok(Swept::Looked) => {}
                Ok(Swept::Rebuilt(step)) => {
                    (next, has_changed) = (step, true);
                    stint.shared.metrics.index_steps.with_label_values(&["sweep"]).inc();
                }
                Ok(Swept::Done(step)) => (next, has_changed, is_over) = (step, true, true),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
        if has_changed {
            stint.publish(&next).await?;
        }
        if is_over {
            self.sweep = None;
            self.sweep_at = stint.shared.clock.elapsed() + SWEEP_EVERY;
        }
        ended
    }
}

/// What an index wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    pub(super) keep: bool,
    pub(super) sweep: bool,
    pub(super) swept_last: bool,
}

/// A job under way.
struct Stint<'a> {
    shared: &'a Shared,
    entry: &'a Arc<Entry>,
    state: &'a DbState,
    begun: Duration,
}

impl Stint<'_> {
    fn is_over(&self, after: Duration) -> bool {
        self.shared.clock.elapsed().saturating_sub(self.begun) >= after
    }

    async fn publish(&self, index: &Index) -> Result<()> {
        self.shared.publish(self.entry.id, index.clone()).await
    }

    /// What the sizes of postings ask for, published every few steps; whether all of it is done. What
    /// was done before a step that fails stays done.
    async fn settle(&self, mut next: Index) -> Result<(Index, bool)> {
        let begun = self.shared.clock.elapsed();
        loop {
            let horizon = self.shared.states.horizon();
            let live = |row: RowId| self.is_live(&horizon, row);
            let (mut steps, mut is_settled) = (0, false);
            let mut ended = Ok(());
            while steps < STEPS && !is_settled {
                match next.settle(&live).await {
                    Ok(Some(step)) => (next, steps) = (step, steps + 1),
                    Ok(None) => is_settled = true,
                    Err(error) => {
                        ended = Err(error);
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
            if steps > 0 {
                let counted = self.shared.metrics.index_steps.with_label_values(&["settle"]);
                counted.inc_by(steps as u64);
                self.publish(&next).await?;
            }
            ended?;
            let took = self.shared.clock.elapsed().saturating_sub(begun);
            if is_settled || took >= SETTLE_FOR {
                return Ok((next, is_settled));
            }
        }
    }

    async fn tend(&self, mut next: Index) -> Result<()> {
        let horizon = self.shared.states.horizon();
        let live = |row: RowId| self.is_live(&horizon, row);
        while let Some(step) = next.tend(&live).await? {
            next = step;
            self.shared.metrics.index_steps.with_label_values(&["tend"]).inc();
            if self.is_over(STINT) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.publish(&next).await
    }

    /// Whether some snapshot may still see a row: what the oldest does not see as deleted is live, and
    /// so is what is newer than it.
    fn is_live(&self, horizon: &DbState, row: RowId) -> bool {
        let table = self.entry.table;
        let visible =
            |state: &DbState| state.tables.get(&table).is_some_and(|rows| rows.is_live(row));
        visible(horizon) || visible(self.state)
    }
}
