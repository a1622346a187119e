//! The way from chunks to the store: ranged reads, coalesced and checked, and a bounded memory of
//! what was read.

use super::{
    ffi,
    posting::{Chunk, Hold, Location, Part},
};
use crate::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// Two parts of an object that are no farther apart than this are read as one range.
const GAP_MIN: u64 = 64 << 10;
/// More ranges than this in a round, and those with the smallest gaps are read as one.
const RANGES_WANTED: usize = 8;
/// A range that is read at once is no longer than this, but for a single part: what the cache of
/// objects asks for at once too.
const RANGE_MAX: u64 = 6 << 20;
/// Of the memory, the share that records may take from scans: one part in so many.
const RECORDS_SHARE: u64 = 4;

/// An object that a sink took.
#[derive(Debug)]
pub struct Put {
    /// Its name.
    pub name: String,
    /// What keeps it, for an index that reads it before a manifest names it.
    pub hold: Option<Hold>,
}

/// Where an index's objects go.
#[async_trait]
pub trait ObjectSink: Send + Sync {
    /// Stores an object for good, under a name of the sink's choice.
    async fn put(&self, bytes: Bytes) -> Result<Put>;

    /// How large an object of postings may grow; it is held in memory until then.
    fn object_bytes_max(&self) -> usize {
        64 << 20
    }
}

/// Whence a checkpoint's objects are read.
#[async_trait]
pub trait ObjectSource: Send + Sync {
    /// The bytes of these ranges of an object, in their order and whole.
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// How many bytes are read in vain rather than in a range of their own: what comes in about the
    /// time that a read takes to begin.
    fn gap_max(&self) -> u64 {
        3 << 20
    }

    /// How many bytes a search reads in a round before it is known that it needs them, so that it need
    /// not wait for them in a round of their own.
    fn ahead_max(&self) -> u64 {
        4 << 20
    }
}

/// A chunk that is wanted in memory: as a whole, or its scan part.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) chunk: Arc<Chunk>,
    pub(super) records: bool,
}

impl Want {
    pub(super) fn scan(chunk: &Arc<Chunk>) -> Self {
        Self { chunk: Arc::clone(chunk), records: false }
    }

    pub(super) fn whole(chunk: &Arc<Chunk>) -> Self {
        Self { chunk: Arc::clone(chunk), records: true }
    }

    /// The chunk, if what is wanted of it is in memory.
    pub(super) fn resident(&self) -> Option<ffi::Chunk> {
        self.chunk.resident().filter(|chunk| !self.records || chunk.has_records())
    }
}

/// A part that is to be read: of which want, where it is, and where its bytes are in what was read.
struct Wanted {
    want: usize,
    part: Part,
    location: Location,
    range: usize,
}

/// Reads chunks from a source and keeps them in memory, up to a bound, for all indexes that share it.
/// Records leave first, down to a quarter of the memory: a search reads the scan parts of all the
/// postings that it looks at, and few records.
///
/// Chunks that no durable checkpoint names have no other home than memory. They do not count here:
/// a checkpoint bounds them.
pub struct PostingStore {
    source: Arc<dyn ObjectSource>,
    bytes_max: u64,
    memory: Mutex<Memory>,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

/// Parts in memory, in the order in which the clock's hand comes by.
#[derive(Debug, Default)]
struct Ring {
    chunks: VecDeque<(Weak<Chunk>, u32)>,
    bytes: u64,
}

impl Ring {
    fn admit(&mut self, chunk: &Arc<Chunk>, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.chunks.push_back((Arc::downgrade(chunk), bytes));
    }

    /// Lets parts go until no more than so many bytes are left.
    fn shrink(&mut self, part: Part, bytes_max: u64) {
        // Once round at most finds all unused, twice surely.
        let mut turns = 2 * self.chunks.len();
        while self.bytes > bytes_max && turns > 0 {
            turns -= 1;
            let Some((chunk, bytes)) = self.chunks.pop_front() else { break };
            if chunk.upgrade().is_none_or(|chunk| chunk.evict(part)) {
                self.bytes -= u64::from(bytes);
            } else {
                self.chunks.push_back((chunk, bytes));
            }
        }
    }
}

/// The two rings.
#[derive(Debug, Default)]
struct Memory {
    scans: Ring,
    records: Ring,
}

impl Memory {
    fn bytes(&self) -> u64 {
        self.scans.bytes + self.records.bytes
    }
}

impl PostingStore {
    /// A store that keeps at most about `bytes_max` bytes of postings in memory.
    #[must_use]
    pub fn new(source: Arc<dyn ObjectSource>, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            source,
            bytes_max,
            memory: Mutex::default(),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes of stored postings that are in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory.lock().bytes()
    }

    /// How many ranges were read from the source so far, and how many bytes.
    #[must_use]
    pub fn reads(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.read_bytes.load(Ordering::Relaxed))
    }

    /// How many bytes can come into memory without others having to leave it: of scan parts, which records
    /// make way for but for their share, or of whole chunks.
    pub(super) fn room(&self, records: bool) -> u64 {
        let memory = self.memory.lock();
        if records {
            return self.bytes_max.saturating_sub(memory.bytes());
        }
        let kept = self.bytes_max - self.bytes_max / RECORDS_SHARE;
        kept.saturating_sub(memory.scans.bytes)
    }

    pub(super) fn source(&self) -> &Arc<dyn ObjectSource> {
        &self.source
    }

    /// Takes a chunk that is stored and in memory into account, by the parts that are new there.
    pub(super) fn admit(&self, chunk: &Arc<Chunk>, parts: &[Part]) {
        if parts.is_empty() {
            return;
        }
        let mut memory = self.memory.lock();
        for &part in parts {
            let ring = match part {
                Part::Scan => &mut memory.scans,
                Part::Records => &mut memory.records,
            };
            ring.admit(chunk, chunk.len(part));
        }
        if memory.bytes() > self.bytes_max {
            let scans = memory.scans.bytes;
            let share = self.bytes_max / RECORDS_SHARE;
            memory.records.shrink(Part::Records, self.bytes_max.saturating_sub(scans).max(share));
            let records = memory.records.bytes;
            memory.scans.shrink(Part::Scan, self.bytes_max.saturating_sub(records));
        }
    }

    /// Reads what is wanted and not in memory, in one round of parallel ranged reads.
    pub(super) async fn fetch(&self, wants: &[Want], stride: u32) -> Result<Vec<ffi::Chunk>> {
        let mut found: Vec<Option<ffi::Chunk>> =
            wants.iter().map(|want| want.chunk.resident()).collect();
        let mut by_object: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
        for (want, (wish, here)) in wants.iter().zip(&found).enumerate() {
            let records = wish.records && here.as_ref().is_none_or(|chunk| !chunk.has_records());
            let missing = [(Part::Scan, here.is_none()), (Part::Records, records)];
            for (part, _) in missing.into_iter().filter(|(_, missing)| *missing) {
                let Some(stored) = wish.chunk.stored() else {
                    return Err(Error::internal("a posting is neither in memory nor stored"));
                };
                let location = stored.part(part).clone();
                let of_object = by_object.entry(location.object.name.clone()).or_default();
                of_object.push(Wanted { want, part, location, range: 0 });
            }
        }
        let plan = coalesce(by_object, self.source.gap_max());
        let reads = plan.into_iter().map(|(object, ranges, wanted)| async move {
            let bytes = self.read(&object, &ranges).await?;
            parts(&object, &ranges, &bytes, wanted)
        });
        let mut read: Vec<_> = try_join_all(reads).await?.into_iter().flatten().collect();
        // A chunk's scan part before its records.
        read.sort_by_key(|(wanted, _)| (wanted.want, wanted.part == Part::Records));
        for (Wanted { want, part, location, .. }, bytes) in read {
            let chunk = match (part, &found[want]) {
                (Part::Scan, _) => ffi::Chunk::parse(&bytes, stride),
                (Part::Records, Some(chunk)) => chunk.with_records(&bytes),
                (Part::Records, None) => Err(Error::internal("records were read without a chunk")),
            };
            let chunk = chunk.map_err(|e| Error::corrupt(&location.object.name, e.message()))?;
            if !wants[want].chunk.is_like(&chunk) {
                let fault = "it has another posting than its index says, or of another size";
                return Err(Error::corrupt(&location.object.name, fault));
            }
            found[want] = Some(chunk);
        }
        let found = found.into_iter().map(|chunk| chunk.expect("each was read"));
        Ok(wants
            .iter()
            .zip(found)
            .map(|(want, chunk)| {
                self.admit(&want.chunk, &want.chunk.fill(&chunk));
                chunk
            })
            .collect())
    }

    async fn read(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = self.source.ranges(object, ranges).await?;
        self.reads.fetch_add(ranges.len() as u64, Ordering::Relaxed);
        let is_whole = read.len() == ranges.len()
            && ranges.iter().zip(&read).all(|(r, bytes)| bytes.len() as u64 == r.end - r.start);
        if !is_whole {
            return Err(Error::corrupt(object, "it is shorter than its index says"));
        }
        let total: u64 = read.iter().map(|bytes| bytes.len() as u64).sum();
        self.read_bytes.fetch_add(total, Ordering::Relaxed);
        Ok(read)
    }
}

/// What is read of an object: the ranges, and the parts that lie in them.
type Plan = (String, Vec<Range<u64>>, Vec<Wanted>);

/// Ranges for what is wanted, few in all: those near to each other are one, and where there are still
/// many, those with the smallest gaps of at most `gap_max` between them.
fn coalesce(by_object: BTreeMap<String, Vec<Wanted>>, gap_max: u64) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for (object, mut wanted) in by_object {
        wanted.sort_unstable_by_key(|wanted| wanted.location.offset);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for wanted in &wanted {
            let (start, len) = (wanted.location.offset, u64::from(wanted.location.len));
            match ranges.last_mut() {
                Some(last) if joins(last, &(start..start + len), GAP_MIN.min(gap_max)) => {
                    last.end = last.end.max(start + len);
                }
                _ => ranges.push(start..start + len),
            }
        }
        plans.push((object, ranges, wanted));
    }
    let mut gaps: Vec<u64> = plans
        .iter()
        .flat_map(|(_, ranges, _)| ranges.windows(2).map(|pair| pair[1].start - pair[0].end))
        .filter(|&gap| gap <= gap_max)
        .collect();
    gaps.sort_unstable();
    let ranges: usize = plans.iter().map(|(_, ranges, _)| ranges.len()).sum();
    let largest = gaps.get(ranges.saturating_sub(RANGES_WANTED).min(gaps.len()).wrapping_sub(1));
    for (_, ranges, wanted) in &mut plans {
        if let Some(&largest) = largest {
            ranges.dedup_by(|next, last| {
                let together = joins(last, next, largest);
                if together {
                    last.end = next.end;
                }
                together
            });
        }
        for wanted in wanted {
            let after = ranges.partition_point(|range| range.start <= wanted.location.offset);
            wanted.range = after - 1;
        }
    }
    plans
}

fn joins(last: &Range<u64>, next: &Range<u64>, gap_max: u64) -> bool {
    next.start <= last.end + gap_max && next.end <= last.start + RANGE_MAX
}

/// The bytes of each part, when they are what was written.
fn parts(
    object: &str,
    ranges: &[Range<u64>],
    read: &[Bytes],
    wanted: Vec<Wanted>,
) -> Result<Vec<(Wanted, Bytes)>> {
    let part = |wanted: Wanted| {
        let Location { offset, len, crc, .. } = wanted.location;
        let from =
            usize::try_from(offset - ranges[wanted.range].start).expect("a range fits memory");
        let bytes = read[wanted.range].slice(from..from + len as usize);
        if crc32c::crc32c(&bytes) != crc {
            let fault = format!("wrong checksum of the posting at {offset}");
            return Err(Error::corrupt(object, fault));
        }
        Ok((wanted, bytes))
    };
    wanted.into_iter().map(part).collect()
}

impl fmt::Debug for PostingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostingStore")
            .field("bytes_max", &self.bytes_max)
            .field("resident_bytes", &self.resident_bytes())
            .finish_non_exhaustive()
    }
}
