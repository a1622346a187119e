//! The way from chunks to the store: ranged reads, coalesced and checked, and a bounded memory of
//! what was read.

use super::{
    ffi,
    posting::{Chunk, Location},
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

/// Two chunks of an object that are no farther apart than this are read as one range.
const GAP_MAX: u64 = 64 << 10;
/// A range that is read at once is no longer than this, but for a single chunk.
const RANGE_MAX: u64 = 8 << 20;

/// Where a checkpoint's objects go.
#[async_trait]
pub trait ObjectSink: Send + Sync {
    /// Stores an object for good, under a name of the sink's choice, and returns the name.
    async fn put(&self, bytes: Bytes) -> Result<String>;
}

/// Whence a checkpoint's objects are read.
#[async_trait]
pub trait ObjectSource: Send + Sync {
    /// The bytes of these ranges of an object, in their order and whole.
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;
}

/// Reads chunks from a source and keeps them in memory, up to a bound, for all indexes that share it.
///
/// Chunks that no durable checkpoint names have no other home than memory. They do not count here:
/// a checkpoint bounds them.
pub struct PostingStore {
    source: Arc<dyn ObjectSource>,
    bytes_max: u64,
    ring: Mutex<Ring>,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

/// Chunks in memory, in the order in which the clock's hand comes by.
#[derive(Debug, Default)]
struct Ring {
    chunks: VecDeque<(Weak<Chunk>, u32)>,
    bytes: u64,
}

impl PostingStore {
    /// A store that keeps at most about `bytes_max` bytes of postings in memory.
    #[must_use]
    pub fn new(source: Arc<dyn ObjectSource>, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            source,
            bytes_max,
            ring: Mutex::default(),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes of stored postings that are in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.ring.lock().bytes
    }

    /// How many ranges were read from the source so far, and how many bytes.
    #[must_use]
    pub fn reads(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.read_bytes.load(Ordering::Relaxed))
    }

    pub(super) fn source(&self) -> &Arc<dyn ObjectSource> {
        &self.source
    }

    /// Takes a chunk that is stored and in memory into account.
    pub(super) fn admit(&self, chunk: &Arc<Chunk>) {
        let mut ring = self.ring.lock();
        ring.bytes += u64::from(chunk.bytes());
        ring.chunks.push_back((Arc::downgrade(chunk), chunk.bytes()));
        // Once round at most finds all unused, twice surely.
        let mut turns = 2 * ring.chunks.len();
        while ring.bytes > self.bytes_max && turns > 0 {
            turns -= 1;
            let Some((chunk, bytes)) = ring.chunks.pop_front() else { break };
            if chunk.upgrade().is_none_or(|chunk| chunk.evict()) {
                ring.bytes -= u64::from(bytes);
            } else {
                ring.chunks.push_back((chunk, bytes));
            }
        }
    }

    /// Reads chunks that are not in memory, in one round of parallel ranged reads.
    pub(super) async fn fetch(
        &self,
        chunks: &[Arc<Chunk>],
        stride: u32,
    ) -> Result<Vec<ffi::Chunk>> {
        let mut by_object: BTreeMap<String, Vec<(usize, Location)>> = BTreeMap::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let Some(location) = chunk.stored() else {
                return Err(Error::internal("a posting is neither in memory nor stored"));
            };
            by_object.entry(location.object.name.clone()).or_default().push((at, location));
        }
        let reads = by_object.iter_mut().map(|(object, wanted)| self.read(object, wanted, stride));
        let mut found = vec![None; chunks.len()];
        for (at, chunk) in try_join_all(reads).await?.into_iter().flatten() {
            if chunks[at].fill(chunk.clone()) {
                self.admit(&chunks[at]);
            }
            found[at] = Some(chunk);
        }
        Ok(found.into_iter().map(|chunk| chunk.expect("each was read")).collect())
    }

    async fn read(
        &self,
        object: &str,
        wanted: &mut [(usize, Location)],
        stride: u32,
    ) -> Result<Vec<(usize, ffi::Chunk)>> {
        wanted.sort_unstable_by_key(|(_, location)| location.offset);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut range_of = Vec::with_capacity(wanted.len());
        for (_, location) in wanted.iter() {
            let end = location.offset + u64::from(location.len);
            match ranges.last_mut() {
                Some(last)
                    if location.offset <= last.end + GAP_MAX && end <= last.start + RANGE_MAX =>
                {
                    last.end = last.end.max(end);
                }
                _ => ranges.push(location.offset..end),
            }
            range_of.push(ranges.len() - 1);
        }
        let read = self.source.ranges(object, &ranges).await?;
        self.reads.fetch_add(ranges.len() as u64, Ordering::Relaxed);
        let is_whole = read.len() == ranges.len()
            && ranges.iter().zip(&read).all(|(r, bytes)| bytes.len() as u64 == r.end - r.start);
        if !is_whole {
            return Err(Error::corrupt(object, "it is shorter than its index says"));
        }
        let total: u64 = read.iter().map(|bytes| bytes.len() as u64).sum();
        self.read_bytes.fetch_add(total, Ordering::Relaxed);

        wanted
            .iter()
            .zip(range_of)
            .map(|((at, location), range)| {
                let from = usize::try_from(location.offset - ranges[range].start)
                    .expect("a range fits memory");
                let bytes = &read[range][from..from + location.len as usize];
                if crc32c::crc32c(bytes) != location.crc {
                    return Err(Error::corrupt(
                        object,
                        format!("wrong checksum of the posting at {}", location.offset),
                    ));
                }
                let chunk = ffi::Chunk::parse(bytes, stride)
                    .map_err(|error| Error::corrupt(object, error.message()))?;
                Ok((*at, chunk))
            })
            .collect()
    }
}

impl fmt::Debug for PostingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostingStore")
            .field("bytes_max", &self.bytes_max)
            .field("resident_bytes", &self.resident_bytes())
            .finish_non_exhaustive()
    }
}
