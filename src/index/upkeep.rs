//! Upkeep: one bounded step at a time, each a new version.
//!
//! A posting is made anew when it is too full or too empty, has grown much, is in too many chunks, or
//! holds too many dead rows: always the same step (spfresh/include/spfresh/rebuild.h), which reads
//! the posting and at most 64 neighbours. When the index as a whole has changed much, the stop rule
//! is calibrated again, which reads everything once.

use super::{
    Index, Inner, ffi,
    posting::{Chunk, live_of, row_of},
    store::Want,
};
use crate::{error::Result, ids::RowId};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// A posting in more chunks than this is made one.
const CHUNKS_MAX: usize = 4;
/// A posting of which a greater share is dead, in percent, is made anew.
const DEAD_PERCENT_MAX: usize = 15;

/// Which rows are live for some reader.
pub(super) type Live<'a> = &'a (dyn Fn(RowId) -> bool + Sync);

impl Index {
    /// One step of what the sizes of postings ask for: split, merge, re-centre. None: nothing to do.
    /// Cheap to ask; meant to be repeated after each insert until there is nothing to do.
    ///
    /// `live` tells the rows that some reader may still see. A step drops the entries of others.
    pub async fn settle(&self, live: &(dyn Fn(RowId) -> bool + Sync)) -> Result<Option<Self>> {
        if let ffi::Work::Rebuild(posting) = self.0.core.next_work() {
            return self.rebuild(posting, live).await.map(Some);
        }
        if let Some(posting) = self.scattered() {
            return self.rebuild(posting, live).await.map(Some);
        }
        if self.0.core.wants_calibration() {
            let next = self.calibrate(live).await?;
            // A calibration that found nothing to learn from must not be asked for again at once.
            return Ok((!next.0.core.wants_calibration()).then_some(next));
        }
        Ok(None)
    }

    /// One step of [`Index::settle`], or of the collection of dead rows: asking passes over all
    /// rows of the index once. None: nothing to do.
    pub async fn maintain(&self, live: &(dyn Fn(RowId) -> bool + Sync)) -> Result<Option<Self>> {
        if let Some(next) = self.settle(live).await? {
            return Ok(Some(next));
        }
        let ids: Vec<u32> = self.0.postings.iter().map(|(id, _)| id).collect();
        let from = ids.partition_point(|&id| id < self.0.sweep);
        let (mut all_entries, mut all_dead) = (0, 0);
        for &id in ids[from..].iter().chain(&ids[..from]) {
            let (mut entries, mut dead) = (0, 0);
            let scans = self.0.postings.chunks(id).iter().map(Want::scan).collect();
            for chunk in self.fetch_parts(scans).await? {
                for word in chunk.words()? {
                    entries += 1;
                    dead += usize::from(!live(row_of(word)));
                }
            }
            all_entries += entries as u64;
            all_dead += dead as u64;
            if dead * 100 > entries * DEAD_PERCENT_MAX {
                let mut next = Inner::clone(&self.rebuild(id, live).await?.0);
                next.sweep = id + 1;
                return Ok(Some(Self(Arc::new(next))));
            }
        }
        self.0.tally.seen_dead.store(all_dead, Relaxed);
        self.0.tally.seen_entries.store(all_entries, Relaxed);
        let mut left_out: Vec<RowId> = self.0.left_out.to_vec();
        left_out.retain(|&row| live(row));
        if left_out.len() < self.0.left_out.len() {
            let left_out = Arc::new(left_out);
            return Ok(Some(Self(Arc::new(Inner { left_out, ..Inner::clone(&self.0) }))));
        }
        Ok(None)
    }

    fn scattered(&self) -> Option<u32> {
        self.0
            .postings
            .iter()
            .find(|(_, posting)| posting.chunks.len() > CHUNKS_MAX)
            .map(|(id, _)| id)
    }

    async fn rebuild(&self, posting: u32, live: Live<'_>) -> Result<Self> {
        let mut rebuild = ffi::Rebuild::begin(&self.0.core, posting)?;
        let own = self.0.postings.chunks(posting);
        for read in self.fetch(own).await? {
            rebuild.add_own(&read, &live_of(&read, live)?)?;
        }
        let neighbours = rebuild.plan()?;
        let (ids, chunks): (Vec<u32>, Vec<Arc<Chunk>>) = neighbours
            .iter()
            .flat_map(|&id| self.0.postings.chunks(id).iter().map(move |c| (id, Arc::clone(c))))
            .unzip();
        let read = self.fetch(&chunks).await?;
        for (id, read) in ids.into_iter().zip(read) {
            rebuild.add_neighbour(id, &read, &live_of(&read, live)?)?;
        }
        let (change, counts) = rebuild.finish()?;
        let next = self.with(change)?;
        let (before, after) = (self.0.core.postings(), next.core.postings());
        self.0.tally.rebuilt(before, after, counts.checked, counts.moved);
        Ok(Self(Arc::new(next)))
    }

    async fn calibrate(&self, live: Live<'_>) -> Result<Self> {
        let mut calibrator = ffi::Calibrator::begin(&self.0.core)?;
        for id in calibrator.sample_postings()? {
            if calibrator.wanted() == 0 {
                break;
            }
            for chunk in self.fetch(self.0.postings.chunks(id)).await? {
                calibrator.add_sample(&chunk)?;
            }
        }
        for (id, posting) in self.0.postings.iter() {
            for read in self.fetch(&posting.chunks).await? {
                calibrator.add_posting(id, &read, &live_of(&read, live)?)?;
            }
            tokio::task::yield_now().await;
        }
        let core = calibrator.finish()?;
        self.0.tally.calibrations.fetch_add(1, Relaxed);
        Ok(Self(Arc::new(Inner { core, ..Inner::clone(&self.0) })))
    }
}
