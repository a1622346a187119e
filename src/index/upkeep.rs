//! Upkeep: one bounded step at a time, each a new version.
//!
//! A posting is made anew when it is too full or too empty, has left its centroid, or holds too many
//! dead rows: always the same step (spfresh/include/spfresh/rebuild.h), which reads the posting and at
//! most 64 neighbours. Postings in too many chunks are made one again, many at a time. When the index
//! as a whole has changed much, the stop rule is calibrated again, which reads everything once. When
//! there is nothing of that, and time to spare, neighbourhoods are refined and postings scrubbed
//! ([`Index::tend`]).

use super::{
    Index, Inner, ffi,
    posting::{Chunk, live_of, row_of},
    store::Want,
};
use crate::{error::Result, ids::RowId};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// A posting in more chunks than this is made one; at the end of a build, each is.
const CHUNKS_MAX: usize = 4;
/// So many postings at a time.
const JOINED_AT_ONCE: usize = 64;
/// Chunks that are read at once to calibrate the stop rule.
const READ_AT_ONCE: usize = 256;
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
        if let Some(joined) = self.joined(CHUNKS_MAX).await? {
            return Ok(Some(joined));
        }
        if let Some((task, posting)) = self.0.core.next_work() {
            return self.rebuild(task, posting, live).await.map(Some);
        }
        if !self.is_whole()
            && let Some(joined) = self.joined(1).await?
        {
            return Ok(Some(joined));
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
                let mut next = Inner::clone(&self.rebuild(ffi::Task::Rebuild, id, live).await?.0);
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

    /// One step of what is worth doing when there is time to spare: centroids of a neighbourhood that
    /// saw many changes are settled together, or the rows of a posting are looked at whether another
    /// centroid is nearer. None: nothing to do until more changes. Ask [`Index::settle`] first.
    pub async fn tend(&self, live: &(dyn Fn(RowId) -> bool + Sync)) -> Result<Option<Self>> {
        let Some((task, posting)) = self.0.core.next_tending() else { return Ok(None) };
        self.rebuild(task, posting, live).await.map(Some)
    }

    /// Whether [`Index::tend`] has something to do.
    #[must_use]
    pub fn wants_tending(&self) -> bool {
        self.0.core.next_tending().is_some()
    }

    /// The same with the chunks of some postings as one, of those that have more than `most`; `None`
    /// where none has.
    async fn joined(&self, most: usize) -> Result<Option<Self>> {
        let scattered = |id: &u32| self.0.postings.chunks(*id).len() > most;
        if !self.0.postings.iter().any(|(id, _)| scattered(&id)) {
            return Ok(None);
        }
        // Of an index that lies in the store as a whole, few reads bring those that are near each other.
        let ids: Vec<u32> = match self.is_whole() {
            true => self.0.postings.iter().map(|(id, _)| id).collect(),
            false => self.0.core.order()?,
        };
        let ids: Vec<u32> = ids.into_iter().filter(scattered).take(JOINED_AT_ONCE).collect();
        let chunks = ids.iter().flat_map(|&id| self.0.postings.chunks(id));
        let read = self.fetch(&chunks.cloned().collect::<Vec<_>>()).await?;
        let mut read = read.into_iter();
        let mut next = Inner::clone(&self.0);
        for id in ids {
            let mut joined: Option<ffi::Chunk> = None;
            for chunk in read.by_ref().take(self.0.postings.chunks(id).len()) {
                joined = Some(match joined {
                    None => chunk,
                    Some(before) => before.join(&chunk)?,
                });
            }
            next.postings.apply(vec![ffi::PostingChange::Replace(id, joined)])?;
        }
        Ok(Some(Self(Arc::new(next))))
    }

    async fn rebuild(&self, task: ffi::Task, posting: u32, live: Live<'_>) -> Result<Self> {
        let mut rebuild = ffi::Rebuild::begin(&self.0.core, task, posting)?;
        let own: Vec<Arc<Chunk>> =
            rebuild.own()?.iter().flat_map(|&id| self.0.postings.chunks(id)).cloned().collect();
        for read in self.fetch(&own).await? {
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
        // In the order of the store, many in one round of reads.
        let all: Vec<(u32, Arc<Chunk>)> = self
            .0
            .core
            .order()?
            .into_iter()
            .flat_map(|id| self.0.postings.chunks(id).iter().map(move |c| (id, Arc::clone(c))))
            .collect();
        for some in all.chunks(READ_AT_ONCE) {
            let chunks: Vec<Arc<Chunk>> = some.iter().map(|(_, chunk)| Arc::clone(chunk)).collect();
            for ((id, _), read) in some.iter().zip(self.fetch(&chunks).await?) {
                calibrator.add_posting(*id, &read, &live_of(&read, live)?)?;
            }
            tokio::task::yield_now().await;
        }
        let core = calibrator.finish()?;
        self.0.tally.calibrations.fetch_add(1, Relaxed);
        Ok(Self(Arc::new(Inner { core, ..Inner::clone(&self.0) })))
    }
}
