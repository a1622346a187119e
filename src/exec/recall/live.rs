//! Live queries, answered a second time in the background.
//!
//! One search at a time is taken, when it is time for the next: after each the sampler rests a
//! hundred times as long as it worked on one core, and longer when it read from the store. Rows
//! whose vectors are decoded already are read first, others up to a bound; where only a part was
//! read, what was missed there stands for the rest.

use super::{
    Answered, Band, count,
    pace::Pace,
    share_found,
    windows::{Key, Windows},
};
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
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// From the store one answer reads at most about this.
const STORE_BYTES_MAX: u64 = 64 << 20;
/// An answer for which fewer of the rows were read, one in so many, tells nothing.
const READ_PARTS_MIN: u64 = 20;
/// To aim at all would be to search exactly, to aim at nothing would be none.
const AIM_MAX: f32 = 0.9995;
const AIM_MIN: f32 = 0.05;
/// So many of the latest queries of an index are kept, to be asked again on demand.
const RECENT: usize = 128;

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
    pace: Pace,
    states: Arc<States>,
    metrics: Arc<Metrics>,
    samples: mpsc::Sender<Sample>,
    windows: Mutex<Windows>,
    recent: Mutex<HashMap<IndexId, VecDeque<Query>>>,
}

/// The task that answers again, to be run by the node.
#[derive(Debug)]
pub struct RecallTask {
    recall: Arc<Recall>,
    samples: mpsc::Receiver<Sample>,
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
            pace: Pace::new(clock, cores),
            states,
            metrics,
            samples: sender,
            windows: Mutex::default(),
            recent: Mutex::default(),
        });
        (Arc::clone(&recall), RecallTask { recall, samples })
    }

    /// Takes a search to be answered again, if it is time for one. Costs next to nothing if not.
    pub fn offer(&self, sample: impl FnOnce() -> Sample) {
        self.pace.offer(|| self.samples.try_send(sample()).is_ok());
    }

    /// What a search of this kind is to aim at so that it finds the share that it shall.
    #[must_use]
    pub fn aim(&self, index: IndexId, band: Band, target: f32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let aim = self.windows.lock().aim(Key::new(index, band, target)) as f32;
        aim.clamp(AIM_MIN, AIM_MAX)
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
        self.windows.lock().rows()
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

        let key = Key::new(sample.index, sample.band, sample.target);
        let fallen = self.windows.lock().record(key, &sample.name, answered, &self.metrics);
        if let Some(known) = fallen {
            self.states.events().alarm(Alarm {
                index: sample.index,
                filter: sample.band.name(),
                target: f64::from(sample.target),
                measured: (known.recall, known.low, known.high),
                samples: known.queries,
            });
        }
    }

    /// Lets go of indexes that are gone.
    fn forget_dropped(&self) {
        let catalog = Arc::clone(&self.states.snapshot().catalog);
        self.recent.lock().retain(|&index, _| catalog.index(index).is_some());
        let is_there = |index| catalog.index(index).is_some();
        self.windows.lock().retain(is_there, &self.metrics);
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
            let turn = recall.pace.begin();
            let mut store_bytes = 0;
            let first = recall.pace.random();
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
            recall.pace.rest(turn, store_bytes);
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
