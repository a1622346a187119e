//! Live queries, answered a second time in the background.
//!
//! One search at a time is taken, when it is time for the next: after each the sampler rests a
//! hundred times as long as it worked on one core, and longer when it read from the store. Rows
//! whose vectors are decoded already are read first, others up to a bound; where only a part was
//! read, what was missed there stands for the rest.

use super::{Answered, Band, Estimate, count, share_found};
use crate::{
    catalog::pg::RecallRow,
    clock::SharedClock,
    error::Result,
    exec::{
        events::Alarm,
        state::States,
        topk::{Neighbour, Query, TopK, scan_group},
    },
    ids::{IndexId, RowSet},
    storage::{
        columns::ColumnSpec,
        table::{Group, TableState},
    },
    telemetry::Metrics,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Of the machine's cores, one part in so many may be spent.
const CPU_PARTS: u32 = 100;
/// The shortest rest.
const REST_MIN: Duration = Duration::from_millis(10);
/// From the store one answer reads at most about this, and all together not more a second than that.
const STORE_BYTES_MAX: u64 = 64 << 20;
const STORE_BYTES_PER_SECOND: u64 = 1 << 20;
/// An answer for which fewer of the rows were read, one in so many, tells nothing.
const READ_PARTS_MIN: u64 = 20;
/// So many of the latest answers count.
const WINDOW: usize = 1000;
/// With fewer, recall is unknown.
const QUERIES_MIN: usize = 30;
/// So many of the latest queries of an index are kept, to be asked again on demand.
const RECENT: usize = 128;
/// No turn until the present one is over.
const NEVER: u64 = u64::MAX;

/// A search that was answered by an index, and what it takes to answer it again.
#[derive(Debug)]
pub struct Sample {
    /// The index.
    pub index: IndexId,
    /// Its name.
    pub name: String,
    /// How many of the rows its filter left.
    pub band: Band,
    /// The share of the true neighbours that it was to find.
    pub target: f32,
    /// The rows that it saw.
    pub rows: TableState,
    /// The column that it searched.
    pub column: ColumnSpec,
    /// Near what.
    pub query: Query,
    /// The rows that matched.
    pub allowed: Arc<RowSet>,
    /// What it found, nearest first.
    pub found: Vec<Neighbour>,
}

/// What a node knows of its recall.
#[derive(Debug)]
pub struct Recall {
    clock: SharedClock,
    states: Arc<States>,
    metrics: Arc<Metrics>,
    samples: mpsc::Sender<Sample>,
    /// When the next search may be taken, in microseconds of the clock.
    due: AtomicU64,
    windows: Mutex<BTreeMap<Key, Window>>,
    recent: Mutex<HashMap<IndexId, VecDeque<Query>>>,
}

/// The task that answers again, to be run by the node.
#[derive(Debug)]
pub struct RecallTask {
    recall: Arc<Recall>,
    samples: mpsc::Receiver<Sample>,
    cores: u32,
}

/// What recall is told apart by. Targets count in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    index: IndexId,
    band: Band,
    target: u16,
}

/// The latest answers of a key.
#[derive(Debug, Default)]
struct Window {
    name: String,
    answered: VecDeque<Answered>,
    /// Whether it is below its target, and was told.
    is_told: bool,
}

impl Recall {
    /// For a node of so many cores, and the task that works for it.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        metrics: Arc<Metrics>,
        clock: SharedClock,
        cores: usize,
    ) -> (Arc<Self>, RecallTask) {
        let (sender, samples) = mpsc::channel(1);
        let recall = Arc::new(Self {
            clock,
            states,
            metrics,
            samples: sender,
            due: AtomicU64::new(0),
            windows: Mutex::default(),
            recent: Mutex::default(),
        });
        let cores = u32::try_from(cores).unwrap_or(u32::MAX).clamp(1, CPU_PARTS);
        (Arc::clone(&recall), RecallTask { recall, samples, cores })
    }

    /// Takes a search to be answered again, if it is time for one. Costs next to nothing if not.
    pub fn offer(&self, sample: impl FnOnce() -> Sample) {
        let due = self.due.load(Ordering::Relaxed);
        if self.now() < due {
            return;
        }
        let (taken, late) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.due.compare_exchange(due, NEVER, taken, late).is_ok()
            && self.samples.try_send(sample()).is_err()
        {
            self.due.store(due, Ordering::Relaxed);
        }
    }

    /// The latest queries of an index that were taken, at most so many.
    #[must_use]
    pub fn recent(&self, index: IndexId, most: usize) -> Vec<Query> {
        let recent = self.recent.lock();
        recent
            .get(&index)
            .map_or_else(Vec::new, |all| all.iter().rev().take(most).cloned().collect())
    }

    /// What is known, by index, band and target.
    #[must_use]
    pub fn rows(&self) -> Vec<RecallRow> {
        let windows = self.windows.lock();
        let row = |(key, window): (&Key, &Window)| {
            let known = window.estimate();
            RecallRow {
                index: key.index,
                band: key.band.name(),
                target: f64::from(key.target) / 1000.0,
                measured: known.map(|known| known.recall),
                low: known.map(|known| known.low),
                high: known.map(|known| known.high),
                samples: i64::try_from(window.answered.len()).unwrap_or(i64::MAX),
            }
        };
        windows.iter().map(row).collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(NEVER - 1)
    }

    /// Another answer counts.
    fn record(&self, sample: &Sample, answered: Answered) {
        self.forget_dropped();
        let mut recent = self.recent.lock();
        let queries = recent.entry(sample.index).or_default();
        if queries.len() == RECENT {
            queries.pop_front();
        }
        queries.push_back(sample.query.clone());
        drop(recent);

        #[expect(clippy::cast_possible_truncation, reason = "a target is at most 1")]
        #[expect(clippy::cast_sign_loss, reason = "a target is above 0")]
        let target = (sample.target * 1000.0).round() as u16;
        let key = Key { index: sample.index, band: sample.band, target };
        let mut windows = self.windows.lock();
        let window = windows.entry(key).or_default();
        window.name.clone_from(&sample.name);
        if window.answered.len() == WINDOW {
            window.answered.pop_front();
        }
        window.answered.push_back(answered);
        let Some(known) = window.estimate() else { return };
        let labels = [window.name.as_str(), key.band.name()];
        let target = f64::from(sample.target);
        self.metrics.recall.with_label_values(&labels).set(known.recall);
        self.metrics.recall_target.with_label_values(&labels).set(target);
        if known.high < target && !window.is_told {
            tracing::warn!(
                index = %sample.name,
                filter = key.band.name(),
                target,
                measured = known.recall,
                low = known.low,
                high = known.high,
                samples = known.queries,
                "measured recall is below its target"
            );
            self.states.events().alarm(Alarm {
                index: sample.index,
                filter: key.band.name(),
                target,
                measured: (known.recall, known.low, known.high),
                samples: known.queries,
            });
        }
        window.is_told = known.high < target || (window.is_told && known.recall < target);
    }

    /// Lets go of indexes that are gone.
    fn forget_dropped(&self) {
        let catalog = Arc::clone(&self.states.snapshot().catalog);
        self.recent.lock().retain(|&index, _| catalog.index(index).is_some());
        self.windows.lock().retain(|key, window| {
            let is_there = catalog.index(key.index).is_some();
            if !is_there {
                let labels = [window.name.as_str(), key.band.name()];
                // One that was never set is not there to be removed.
                let _ = self.metrics.recall.remove_label_values(&labels);
                let _ = self.metrics.recall_target.remove_label_values(&labels);
            }
            is_there
        });
    }
}

impl Window {
    /// `None` while there are too few answers.
    fn estimate(&self) -> Option<Estimate> {
        let is_enough = self.answered.len() >= QUERIES_MIN;
        is_enough.then(|| Estimate::of(self.answered.iter().copied())).flatten()
    }
}

impl RecallTask {
    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let sample = tokio::select! {
                () = stop.cancelled() => return,
                sample = self.samples.recv() => match sample {
                    Some(sample) => sample,
                    None => return,
                },
            };
            let recall = Arc::clone(&self.recall);
            let begun = recall.clock.elapsed();
            let mut store_bytes = 0;
            let first = recall.clock.random();
            let answered = tokio::select! {
                () = stop.cancelled() => return,
                answered = sample.answer(first, &mut store_bytes) => answered,
            };
            match answered {
                Ok(Some(answered)) => recall.record(&sample, answered),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(index = %sample.name, %error, "a query was not answered again");
                }
            }
            drop(sample);
            let worked = recall.clock.elapsed().saturating_sub(begun);
            let read = Duration::from_secs(store_bytes / STORE_BYTES_PER_SECOND);
            let rest = (worked * (CPU_PARTS / self.cores)).max(read).max(REST_MIN);
            let rest = u64::try_from(rest.as_micros()).unwrap_or(NEVER);
            recall.due.store(recall.now().saturating_add(rest), Ordering::Relaxed);
        }
    }
}

impl Sample {
    /// The share of the true neighbours that was found; `None` where too few rows could be read.
    async fn answer(&self, first: u64, store_bytes: &mut u64) -> Result<Option<Answered>> {
        let mut others = RowSet::clone(&self.allowed);
        self.found.iter().for_each(|neighbour| others.remove(neighbour.row));
        let mut missed = TopK::new(self.found.len());
        let mut read = 0;
        for group in self.groups(first) {
            let rows = others.count_within(group.first_row(), group.end_row());
            if rows == 0 {
                continue;
            }
            if !group.is_at_hand(&self.column) {
                if *store_bytes >= STORE_BYTES_MAX {
                    continue;
                }
                *store_bytes += self.bytes_of(&group);
            }
            let from = group.first_row();
            scan_group(&group, &self.column, &others, from, &self.query, &mut missed).await?;
            read += rows;
            tokio::task::yield_now().await;
        }
        if read * READ_PARTS_MIN < others.len() {
            return Ok(None);
        }
        let weight = if read == 0 { 1.0 } else { ratio(others.len(), read) };
        let distances = |rows: Vec<Neighbour>| -> Vec<f64> {
            rows.iter().filter_map(|row| row.distance).filter(|d| !d.is_nan()).collect()
        };
        let found = distances(self.found.clone());
        let share = share_found(&found, &distances(missed.into_sorted()), weight);
        Ok(Some(Answered { share, wanted: count(found.len()) }))
    }

    /// The groups, those at hand first, the others from a random one on.
    fn groups(&self, first: u64) -> impl Iterator<Item = Group> {
        let groups = self.rows.groups();
        let (near, mut far): (Vec<_>, Vec<_>) =
            groups.partition(|group| group.is_at_hand(&self.column));
        if !far.is_empty() {
            let first = first % u64::try_from(far.len()).unwrap_or(1);
            far.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        near.into_iter().chain(far)
    }

    /// About what a group's vectors take.
    fn bytes_of(&self, group: &Group) -> u64 {
        let dims = self.query.dense().map_or(0, <[f32]>::len);
        (group.len() * dims * size_of::<f32>()) as u64
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight needs no more than 53 bits")]
fn ratio(all: u64, some: u64) -> f64 {
    all as f64 / some as f64
}
