//! Keeps indexes up with their tables: rows that were committed since are added, postings are
//! split, merged and cleaned. An index that is missing, damaged or half built is the business of
//! [`Background`](super::build::Background).
//!
//! One task looks what indexes want and hands out jobs of bounded time (`keeper.rs`), one at a time to
//! an index, so that each of its versions follows from the one before, and to several indexes side by
//! side, so that one whose store is slow keeps none of the others waiting. A job works on versions
//! that nobody else changes and publishes them through the commit task. Searches meanwhile read
//! what is newer exactly.
//!
//! ```text
//!   always            keep    new rows, and what the sizes of postings ask for
//!   one at a time     sweep   postings with many dead rows, once one row in a hundred was deleted
//!   one at a time     tend    neighbourhoods refined, postings scrubbed
//! ```
//!
//! What can wait takes a share of one core (pace.rs): a sweep half of it while clients are busy, tending a
//! tenth. What fails is tried again, later each time (retry.rs): a store that was away for a while
//! costs an index no more than that while. A job that panics is a failure too.

mod keeper;
mod pace;

use super::{
    commit::Committer,
    retry::Retries,
    state::{DbState, States},
    supervise::said,
};
use crate::{
    clock::SharedClock,
    error::{Error, Result},
    ids::IndexId,
    index::Index,
    telemetry::Metrics,
};
use keeper::{Job, Keeper, Wants};
use pace::{Pace, Rests};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Indexes that are worked on at a time.
const JOBS_MAX: usize = 8;
/// How long the task waits between two looks that commits ask for.
const LOOK_GAP: Duration = Duration::from_millis(5);
/// How long it waits when nothing is published: rows that readers held back become dead quietly.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of a core, sweeps take half while clients are busy, and tending a tenth; all and half when not.
const SWEEP_RESTS: Rests = Rests { busy: 1, quiet: 0, first: Duration::ZERO };
const TEND_RESTS: Rests = Rests { busy: 9, quiet: 1, first: Duration::from_secs(10) };

/// The upkeep of a node's indexes.
#[derive(Debug)]
pub struct Upkeep {
    shared: Arc<Shared>,
    retries: Retries,
    sweeps: Pace,
    tends: Pace,
    /// Of indexes that are not worked on.
    keepers: HashMap<IndexId, Keeper>,
    jobs: JoinSet<Ended>,
    /// What the jobs are.
    handed_out: HashMap<Id, (IndexId, Job)>,
    /// Where the next look begins, so that each index comes first in turn.
    turn: usize,
}

/// What jobs need.
#[derive(Debug)]
struct Shared {
    states: Arc<States>,
    committer: Committer,
    clock: SharedClock,
    metrics: Arc<Metrics>,
}

/// A job that ended.
#[derive(Debug)]
struct Ended {
    keeper: Keeper,
    begun: Duration,
    outcome: Result<()>,
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
        let pace = |rests| Pace::new(Arc::clone(&metrics), &clock, rests);
        let (sweeps, tends) = (pace(SWEEP_RESTS), pace(TEND_RESTS));
        Self {
            shared: Arc::new(Shared { states, committer, clock, metrics }),
            retries: Retries::default(),
            sweeps,
            tends,
            keepers: HashMap::new(),
            jobs: JoinSet::new(),
            handed_out: HashMap::new(),
            turn: 0,
        }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let clock = Arc::clone(&self.shared.clock);
        let mut changes: watch::Receiver<_> = self.shared.states.changes();
        let mut looked_at = clock.elapsed();
        let (mut look_at, mut has_changed) = (looked_at, false);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.jobs.join_next_with_id() => {
                    self.take_back(ended);
                    look_at = clock.elapsed();
                }
                changed = changes.changed(), if !has_changed => {
                    if changed.is_err() {
                        break;
                    }
                    has_changed = true;
                    look_at = look_at.min(looked_at + LOOK_GAP);
                }
                () = clock.sleep(look_at.saturating_sub(clock.elapsed())) => {
                    changes.mark_unchanged();
                    has_changed = false;
                    looked_at = clock.elapsed();
                    look_at = self.hand_out(looked_at);
                }
            }
        }
        self.jobs.shutdown().await;
    }

    /// Gives jobs to indexes that want some. When to look again.
    fn hand_out(&mut self, now: Duration) -> Duration {
        let (state, horizon) = (self.shared.states.snapshot(), self.shared.states.horizon());
        self.retries.keep(|id| state.catalog.index(id).is_some());
        let is_kept = |id: &IndexId| state.indexes.get(id).as_ref().is_some_and(is_kept_up);
        self.keepers.retain(|id, _| is_kept(id));
        let busy: HashSet<IndexId> = self.handed_out.values().map(|(id, _)| *id).collect();
        let mut indexes: Vec<IndexId> =
            state.catalog.indexes().map(|entry| entry.id).filter(is_kept).collect();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn.checked_rem(indexes.len()).unwrap_or(0);
        indexes.rotate_left(first);

        let mut again_at = now + LOOK_EVERY;
        for id in indexes.into_iter().filter(|id| !busy.contains(id)) {
            if self.jobs.len() >= JOBS_MAX {
                break;
            }
            if !self.retries.is_due(id, now) {
                continue;
            }
            let keeper = self.keepers.remove(&id).unwrap_or_else(|| Keeper::new(id));
            let index = &state.indexes[&id];
            let wants = keeper.next(index, &state, &horizon, now);
            if let Some(job) = self.job(wants, index, now, &mut again_at) {
                self.begin(keeper, job, now);
                continue;
            }
            if keeper.rests_until() > now {
                again_at = again_at.min(keeper.rests_until());
            }
            self.keepers.insert(id, keeper);
        }
        match self.retries.next() {
            Some(retry_at) if retry_at > now => again_at.min(retry_at),
            _ => again_at,
        }
    }

    /// The job that an index gets; where it must wait for it, until when at most.
    fn job(
        &self,
        wants: Wants,
        index: &Index,
        now: Duration,
        again_at: &mut Duration,
    ) -> Option<Job> {
        let mut is_free = |job, pace: &Pace| {
            // The end of the one that is under way is looked at anyway.
            let is_alone = !self.handed_out.values().any(|(_, other)| *other == job);
            if is_alone && pace.free_at() > now {
                *again_at = (*again_at).min(pace.free_at());
            }
            is_alone && pace.free_at() <= now
        };
        let sweeps = wants.sweep && is_free(Job::Sweep, &self.sweeps);
        if sweeps && !(wants.keep && wants.swept_last) {
            return Some(Job::Sweep);
        }
        if wants.keep {
            return Some(Job::Keep);
        }
        (index.wants_tending() && is_free(Job::Tend, &self.tends)).then_some(Job::Tend)
    }

    fn begin(&mut self, mut keeper: Keeper, job: Job, begun: Duration) {
        let (id, shared) = (keeper.id(), Arc::clone(&self.shared));
        let task = self.jobs.spawn(async move {
            let outcome = keeper.work(job, &shared).await;
            Ended { keeper, begun, outcome }
        });
        self.handed_out.insert(task.id(), (id, job));
    }

    fn take_back(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let Some((id, job)) = self.handed_out.remove(&task) else { return };
        let now = self.shared.clock.elapsed();
        let (begun, outcome) = match ended {
            Ok((_, Ended { keeper, begun, outcome })) => {
                self.keepers.insert(id, keeper);
                (begun, outcome)
            }
            Err(error) => {
                self.shared.metrics.task_panics.with_label_values(&["upkeep"]).inc();
                let said = error.try_into_panic().map(|panic| said(panic.as_ref()).to_owned());
                let said = said.unwrap_or_default();
                (now, Err(Error::internal(format!("it panicked: {said}"))))
            }
        };
        match job {
            Job::Keep => {}
            Job::Sweep => self.sweeps.worked(begun, now),
            Job::Tend => self.tends.worked(begun, now),
        }
        match outcome {
            Ok(()) => self.retries.succeeded(id),
            Err(error) => self.failed(id, &error, now),
        }
    }

    /// Takes note of a failure. A damaged index is left alone until it was built again.
    fn failed(&mut self, id: IndexId, error: &Error, now: Duration) {
        self.shared.metrics.index_upkeep_failures.inc();
        let state = self.shared.states.snapshot();
        let name = state.catalog.index(id).map(|entry| entry.name.as_str());
        if state.indexes.get(&id).is_some_and(Index::is_damaged) {
            tracing::error!(index = name, %error, "an index is damaged");
            return;
        }
        let again_in = self.retries.failed(id, now);
        tracing::error!(index = name, %error, ?again_in, "index upkeep failed");
    }
}

impl Shared {
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
