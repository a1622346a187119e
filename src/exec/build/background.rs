//! Builds in the background: indexes that CREATE INDEX CONCURRENTLY named, that are lost or damaged, or
//! that were half built when the process ended.
//!
//! One index at a time, in a task of its own, so that the upkeep of others goes on. What is built so
//! far is published in the picture and written by checkpoints like any index; searches leave it
//! alone until it is whole. So a start goes on with what the last manifest names:
//!
//! 1. centroids are trained, published, and a checkpoint is asked for;
//! 2. rows are loaded; whenever they outgrow the build's memory a checkpoint is asked for, after which
//!    they may leave it;
//! 3. rows that came meanwhile are loaded too, until these are few;
//! 4. postings are settled, again with a checkpoint whenever memory is full; rows that came meanwhile are
//!    taken in, until these are few;
//! 5. the index is whole: searches take it, upkeep keeps it up, and a last checkpoint is asked for.
//!
//! A build that fails is tried again, later each time; what it had published it goes on with. Whoever waits
//! for it is told of the first failure.

use super::{
    Builds, Limits, Phase, Source, Subject,
    work::{Room, Work},
};
use crate::{
    catalog::Index as Entry,
    clock::SharedClock,
    error::{Error, ErrorKind, Result, SqlState},
    exec::{
        commit::Committer,
        maintenance::{Maintenance, Task},
        retry::Retries,
        state::{DbState, States},
    },
    ids::{IndexId, RowId},
    index::{Index, Stage},
};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Fewer rows than this, and a build leaves what came meanwhile to upkeep: those that come while so few
/// are taken in are fewer still, so that a build ends, and commits do not wait for a new index.
const REST_ROWS: u64 = 8192;
/// So often what came meanwhile is looked at: writers that are quicker than the build are held back
/// by the whole index.
const RESTS_MAX: usize = 8;
/// How often the task looks for damage while nothing is published, and a build whether its index is
/// still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a build waits for a store that is away.
const RETRY: Duration = Duration::from_secs(1);
/// How long the task rests after a build that failed, before it looks at others.
const GATHER: Duration = Duration::from_millis(20);

/// The task that builds.
#[derive(Debug)]
pub struct Background {
    states: Arc<States>,
    committer: Committer,
    maintenance: Maintenance,
    clock: SharedClock,
    builds: Arc<Builds>,
    /// Where no statement says what a build may use.
    limits: Limits,
    /// Indexes that could not be built.
    retries: Retries,
}

impl Background {
    /// For a node's indexes.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        committer: Committer,
        maintenance: Maintenance,
        clock: SharedClock,
        builds: Arc<Builds>,
        limits: Limits,
    ) -> Self {
        let retries = Retries::default();
        Self { states, committer, maintenance, clock, builds, limits, retries }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes: watch::Receiver<_> = self.states.changes();
        loop {
            changes.mark_unchanged();
            if let Some(entry) = self.next() {
                self.build(&entry, &stop).await;
                if stop.is_cancelled() {
                    return;
                }
                self.clock.sleep(GATHER).await;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                // Damage is found by searches, which publish nothing.
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// An index to build; first one that somebody waits for.
    fn next(&mut self) -> Option<Arc<Entry>> {
        let state = self.states.snapshot();
        self.retries.keep(|id| state.catalog.index(id).is_some());
        let now = self.clock.elapsed();
        let lacking = |entry: &&Arc<Entry>| {
            let has = state.indexes.get(&entry.id).is_some_and(is_good);
            !has && self.retries.is_due(entry.id, now) && source_of(entry, &state).is_some()
        };
        let lacking: Vec<_> = state.catalog.indexes().filter(lacking).collect();
        let wanted = lacking.iter().find(|entry| self.builds.wanted(entry.id).is_some());
        wanted.or(lacking.first()).map(|entry| Arc::clone(entry))
    }

    async fn build(&mut self, entry: &Arc<Entry>, stop: &CancellationToken) {
        let (process_id, limits) = self.builds.wanted(entry.id).unwrap_or((0, self.limits));
        let command = if process_id == 0 { "REINDEX" } else { "CREATE INDEX CONCURRENTLY" };
        let subject = Subject { process_id, table: entry.table, index: entry.id, command };
        let cancel = stop.child_token();
        let ended = tokio::select! {
            ended = self.builds.counted(self.built(entry, subject, limits, &cancel)) => ended,
            () = self.gone(entry.id) => Err(superseded()),
        };
        match ended {
            Ok(()) => {
                self.retries.succeeded(entry.id);
                tracing::info!(index = %entry.name, "index built");
            }
            Err(_) if stop.is_cancelled() => {}
            Err(error) if is_superseded(&error) => {
                tracing::info!(index = %entry.name, "a build is not wanted any more");
            }
            // It is begun anew in the next round.
            Err(error) if self.is_damaged(entry.id) => {
                tracing::warn!(index = %entry.name, %error, "what was built so far is damaged");
            }
            // What was built so far is there; it goes on when the store does.
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(index = %entry.name, %error, "a build waits for the store");
                self.clock.sleep(RETRY).await;
            }
            Err(error) => {
                let again_in = self.retries.failed(entry.id, self.clock.elapsed());
                tracing::error!(index = %entry.name, %error, ?again_in, "an index could not be built");
                self.builds.fail(entry.id, error);
            }
        }
    }

    /// Waits until nobody wants an index any more.
    async fn gone(&self, id: IndexId) {
        while self.states.snapshot().catalog.index(id).is_some() {
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    fn is_damaged(&self, id: IndexId) -> bool {
        self.states.snapshot().indexes.get(&id).is_some_and(Index::is_damaged)
    }

    async fn built(
        &self,
        entry: &Arc<Entry>,
        subject: Subject,
        limits: Limits,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let building = self.builds.progress.enter(subject);
        building.phase(Phase::Initializing);
        let room = Published {
            states: &self.states,
            committer: &self.committer,
            maintenance: &self.maintenance,
            id: entry.id,
        };
        let state = self.states.snapshot();
        let source = source_of(entry, &state).ok_or_else(superseded)?;
        let begun = state.indexes.get(&entry.id).filter(|index| {
            !index.is_damaged() && !index.is_whole() && *index.options() == source.options
        });
        let building = &building;
        let mut work = Work { source, limits, building, cancel, room: &room };
        let mut index = match begun {
            Some(index) => {
                let (stage, watermark) = (index.stage(), index.watermark());
                tracing::info!(index = %entry.name, ?stage, %watermark, "a build goes on");
                index.clone()
            }
            None => {
                tracing::info!(index = %entry.name, "a build begins");
                work.train().await?
            }
        };
        drop(state);
        loop {
            index = work.load(index).await?;
            let state = self.states.snapshot();
            work.source = source_of(entry, &state).ok_or_else(superseded)?;
            let rest = work.source.rows.next_row().0.saturating_sub(index.watermark().0);
            if index.stage() != Stage::Loading || rest <= REST_ROWS {
                break;
            }
        }
        index = work.settle(index).await?;
        for _ in 0..RESTS_MAX {
            let state = self.states.snapshot();
            work.source = source_of(entry, &state).ok_or_else(superseded)?;
            let rest = work.source.rows.next_row().0.saturating_sub(index.watermark().0);
            if rest <= REST_ROWS {
                break;
            }
            index = work.catch_up(index).await?;
        }
        room.store(&index.whole()).await
    }
}

/// What an index of the catalog is built of; `None` where searches are exact.
fn source_of(entry: &Entry, state: &DbState) -> Option<Source> {
    let table = super::table_of(entry, state)?;
    let rows = state.table(table.id);
    let end = RowId(u64::MAX);
    Source::new(entry, &table, rows, end).ok().flatten()
}

fn is_good(index: &Index) -> bool {
    index.is_whole() && !index.is_damaged()
}

/// Room for an index that everybody may see: the picture, and checkpoints of it.
struct Published<'a> {
    states: &'a States,
    committer: &'a Committer,
    maintenance: &'a Maintenance,
    id: IndexId,
}

#[async_trait]
impl Room for Published<'_> {
    async fn show(&self, index: &Index) -> Result<()> {
        let (id, next) = (self.id, index.clone());
        let put = move |state: &DbState| {
            let before = state.indexes.get(&id);
            let is_next = before.is_none_or(|before| before.is_kin(&next) || !is_good(before));
            let state = state.clone();
            match is_next && state.catalog.index(id).is_some() {
                true => state.with_index(id, next),
                false => state,
            }
        };
        let state = self.committer.rearrange(put).await?;
        match state.indexes.get(&self.id) {
            Some(published) if published.is_kin(index) => Ok(()),
            _ => Err(superseded()),
        }
    }

    async fn store(&self, index: &Index) -> Result<()> {
        self.show(index).await?;
        self.maintenance.have(Task::Checkpoint).await?;
        // A checkpoint leaves out what it finds damaged.
        match self.states.snapshot().indexes.get(&self.id) {
            Some(index) if index.is_damaged() => {
                Err(Error::new(SqlState::DATA_CORRUPTED, "what was built so far is damaged"))
            }
            _ => Ok(()),
        }
    }
}

/// The error of a build whose index was dropped or replaced meanwhile.
fn superseded() -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the index is not wanted any more")
}

fn is_superseded(error: &Error) -> bool {
    error.state() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
}
