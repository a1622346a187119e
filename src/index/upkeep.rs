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
/// Postings that are read at once for queries to calibrate the stop rule with.
const SAMPLED_AT_ONCE: usize = 32;
/// Chunks that are read at once to calibrate the stop rule, and postings to look for dead rows.
const READ_AT_ONCE: usize = 256;
/// A posting of which a greater share is dead, in percent, is made anew. That is a little below the 15 that
/// an index may have in all, so that few deletes need no pass over it.
const DEAD_PERCENT_MAX: usize = 14;

/// A pass over an index in search of dead rows ([`Index::sweep`]).
#[derive(Debug)]
pub struct Sweep {
    /// The postings that are to be looked at, near ones behind each other, as they are stored.
    order: std::vec::IntoIter<u32>,
    /// Those that have too many dead rows.
    crowded: Vec<u32>,
    deleted: u64,
    entries: u64,
    /// Entries of dead rows that are left.
    dead: u64,
}

/// What a step of a pass did.
#[derive(Debug)]
pub enum Swept {
    /// Nothing, as far as anyone can see.
    Looked,
    /// A posting was made anew.
    Rebuilt(Index),
    /// The pass is over.
    Done(Index),
}

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

    /// Begins a pass over all postings in search of dead rows; so many rows of the table were deleted
    /// before it. It may go on with later versions of the index, and is of no use to another index.
    pub fn sweep(&self, deleted: u64) -> Result<Sweep> {
        let order = self.0.core.order()?.into_iter();
        Ok(Sweep { order, crowded: Vec::new(), deleted, entries: 0, dead: 0 })
    }

    /// One step of a pass: some postings are looked at, or one with many dead rows is made anew. It
    /// reads what is not in memory many postings at a time. After an error it may go on.
    pub async fn sweep_on(&self, sweep: &mut Sweep, live: Live<'_>) -> Result<Swept> {
        if let Some(&posting) = sweep.crowded.last() {
            // It may be gone since it was looked at.
            if !self.0.core.in_use(posting) {
                sweep.crowded.pop();
                return Ok(Swept::Looked);
            }
            let next = self.rebuild(ffi::Task::Rebuild, posting, live).await?;
            sweep.crowded.pop();
            return Ok(Swept::Rebuilt(next));
        }
        let some: Vec<u32> = sweep.order.as_slice().iter().take(READ_AT_ONCE).copied().collect();
        if some.is_empty() {
            return Ok(Swept::Done(self.swept(sweep, live)));
        }
        let chunks = some.iter().flat_map(|&id| self.0.postings.chunks(id));
        let read = self.fetch_parts(chunks.map(Want::scan).collect()).await?;
        let mut read = read.into_iter();
        for id in some {
            let (mut entries, mut dead) = (0, 0);
            for chunk in read.by_ref().take(self.0.postings.chunks(id).len()) {
                for word in chunk.words()? {
                    entries += 1;
                    dead += usize::from(!live(row_of(word)));
                }
            }
            sweep.entries += entries as u64;
            if dead * 100 > entries * DEAD_PERCENT_MAX {
                sweep.crowded.push(id);
            } else {
                sweep.dead += dead as u64;
            }
            sweep.order.next();
        }
        Ok(Swept::Looked)
    }

    /// The same at the end of a pass.
    fn swept(&self, sweep: &Sweep, live: Live<'_>) -> Self {
        self.0.tally.seen_dead.store(sweep.dead, Relaxed);
        self.0.tally.seen_entries.store(sweep.entries, Relaxed);
        let mut next = Inner::clone(&self.0);
        next.clean_of = sweep.deleted;
        if !next.left_out.iter().all(|&row| live(row)) {
            Arc::make_mut(&mut next.left_out).retain(|&row| live(row));
        }
        Self(Arc::new(next))
    }

    /// How many rows of its table were deleted before the last pass began, or before it was built:
    /// entries of these are few.
    #[must_use]
    pub fn is_clean_of(&self) -> u64 {
        self.0.clean_of
    }

    /// The same, of which it is known that it has no entries of so many rows that were deleted.
    #[must_use]
    pub fn clean_of(&self, deleted: u64) -> Self {
        Self(Arc::new(Inner { clean_of: deleted, ..Inner::clone(&self.0) }))
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
        for some in calibrator.sample_postings()?.chunks(SAMPLED_AT_ONCE) {
            if calibrator.wanted() == 0 {
                break;
            }
            let chunks = some.iter().flat_map(|&id| self.0.postings.chunks(id)).cloned();
            let mut read = self.fetch(&chunks.collect::<Vec<_>>()).await?.into_iter();
            for &id in some {
                let is_wanted = calibrator.wanted() > 0;
                for chunk in read.by_ref().take(self.0.postings.chunks(id).len()) {
                    if is_wanted {
                        calibrator.add_sample(&chunk)?;
                    }
                }
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
