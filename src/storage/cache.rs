//! Bytes read once are kept near: parts of objects in memory, then on the local disk, then far.
//!
//! An object is cached in blocks of [`BLOCK_BYTES`], aligned, by its name and the block's number.
//! Objects are written once, so a block is never stale. Each block carries the CRC of its bytes
//! from when it arrived: one that comes back from the disk damaged counts as missing and is read
//! from the store again. Losing the whole cache loses time, nothing else.

#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result, SqlState},
    storage::{lock::FolderLock, paths::ObjectPath, reads},
};
use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCachePolicy,
};
use futures::{StreamExt, stream};
use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
    ops::{Range, RangeInclusive},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The unit that is cached: large enough that a request to the store is worth its latency.
pub const BLOCK_BYTES: u64 = 256 << 10;
/// Missing blocks that follow each other are read at once, up to this size.
const FETCH_BYTES_MAX: u64 = 6 << 20;
/// How many blocks one call reads from the disk tier at a time.
const DISK_READS_MAX: usize = 32;
/// The smallest disk tier that is worth its bookkeeping.
const DISK_BYTES_MIN: u64 = 16 << 20;

/// How often a block was found, and where.
#[derive(Debug, Default)]
pub struct CacheCounters {
    /// Blocks found in memory.
    pub memory_hits: AtomicU64,
    /// Blocks found on the local disk.
    pub disk_hits: AtomicU64,
    /// Blocks that were read from the store.
    pub misses: AtomicU64,
    /// Blocks that were damaged on the local disk, and read from the store.
    pub damaged: AtomicU64,
    /// Bytes of the blocks found in memory.
    pub memory_bytes: AtomicU64,
    /// Bytes of the blocks found on the local disk.
    pub disk_bytes: AtomicU64,
    /// Bytes of the blocks that were read from the store.
    pub missed_bytes: AtomicU64,
}

/// The cache of a store. A cheap handle.
#[derive(Clone)]
pub struct RangeCache(Arc<Inner>);

struct Inner {
    blocks: HybridCache<String, Block>,
    counters: CacheCounters,
    /// No other process writes in the folder of the disk tier.
    _lock: Option<FolderLock>,
}

impl fmt::Debug for RangeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeCache").field("counters", &self.0.counters).finish_non_exhaustive()
    }
}

impl RangeCache {
    /// Opens a cache of so many bytes in memory and, in a folder, on the disk.
    pub async fn open(memory_bytes: u64, disk: Option<(&Path, u64)>) -> Result<Self> {
        let memory_bytes = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        let memory = HybridCacheBuilder::new()
            .with_name("ranges")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(memory_bytes)
            .with_weighter(|key: &String, block: &Block| key.len() + block.bytes.len())
            .storage();
        let Some((folder, disk_bytes)) = disk else {
            let blocks = memory.build().await.map_err(|error| failed(None, error))?;
            return Ok(Self(Arc::new(Inner { blocks, counters: Default::default(), _lock: None })));
        };
        if disk_bytes < DISK_BYTES_MIN {
            let message = format!("cache size {disk_bytes} is too small");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .hint(format!("Give it at least {DISK_BYTES_MIN} bytes.")));
        }
        let lock = FolderLock::take(folder, "cache folder")?;
        let failed = |error| failed(Some(folder), error);
        let capacity = usize::try_from(disk_bytes).unwrap_or(usize::MAX);
        let files = folder.join("blocks");
        let device = FsDeviceBuilder::new(files).with_capacity(capacity).build().map_err(failed)?;
        // The engine reclaims one region at a time; a small cache wants small regions.
        let region = (capacity / 16).clamp(1 << 20, 16 << 20);
        let engine = BlockEngineConfig::new(device).with_block_size(region);
        let blocks = memory.with_engine_config(engine).build().await.map_err(failed)?;
        let counters = CacheCounters::default();
        Ok(Self(Arc::new(Inner { blocks, counters, _lock: Some(lock) })))
    }

    /// How often blocks were found, and where.
    #[must_use]
    pub fn counters(&self) -> &CacheCounters {
        &self.0.counters
    }

    /// Bytes that lie in its memory tier now.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.blocks.memory().usage() as u64
    }

    /// Ranges of an object. What is missing comes from `fetch`, which is given ranges that may
    /// reach over the object's end and then come back short, as do the ranges returned here.
    pub(crate) async fn ranges<F, Fut>(
        &self,
        path: &ObjectPath,
        ranges: &[Range<u64>],
        fetch: F,
    ) -> Result<Vec<Bytes>>
    where
        F: FnOnce(Vec<Range<u64>>) -> Fut,
        Fut: Future<Output = Result<Vec<Bytes>>>,
    {
        let mut blocks: BTreeMap<u64, Bytes> = BTreeMap::new();
        let wanted = || ranges.iter().filter(|range| range.start < range.end);
        let mut missing: Vec<u64> = wanted().flat_map(blocks_of).collect();
        missing.sort_unstable();
        missing.dedup();

        missing.retain(|&number| match self.in_memory(path, number) {
            Some(bytes) => blocks.insert(number, bytes).is_some(),
            None => true,
        });
        if self.0.blocks.is_hybrid() && !missing.is_empty() {
            let reads = missing
                .clone()
                .into_iter()
                .map(|number| async move { Some((number, self.on_disk(path, number).await?)) });
            let found = stream::iter(reads).buffer_unordered(DISK_READS_MAX);
            blocks.extend(found.filter_map(std::future::ready).collect::<Vec<_>>().await);
            missing.retain(|number| !blocks.contains_key(number));
        }
        let is_far = |range: &&Range<u64>| {
            let blocks = blocks_of(range);
            let next = missing.partition_point(|number| number < blocks.start());
            missing.get(next).is_some_and(|number| number <= blocks.end())
        };
        let far = wanted().filter(is_far).count();
        reads::far(far);
        reads::near(wanted().count() - far);
        if !missing.is_empty() {
            let runs = runs(&missing);
            for (run, bytes) in runs.iter().zip(fetch(runs.clone()).await?) {
                self.keep(path, run, &bytes, &mut blocks);
            }
        }
        Ok(ranges.iter().map(|range| assemble(&blocks, range)).collect())
    }

    fn in_memory(&self, path: &ObjectPath, number: u64) -> Option<Bytes> {
        let bytes = self.0.blocks.memory().get(&key(path, number))?.value().bytes.clone();
        self.0.counters.memory_hits.fetch_add(1, Relaxed);
        self.0.counters.memory_bytes.fetch_add(bytes.len() as u64, Relaxed);
        Some(bytes)
    }

    async fn on_disk(&self, path: &ObjectPath, number: u64) -> Option<Bytes> {
        let key = key(path, number);
        let entry = match self.0.blocks.get(&key).await {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%path, number, %error, "cache could not be read");
                self.0.counters.damaged.fetch_add(1, Relaxed);
                return None;
            }
        };
        let Block { crc, bytes } = entry.value();
        if crc32c::crc32c(bytes) != *crc {
            tracing::warn!(%path, number, "a cached block is damaged");
            self.0.counters.damaged.fetch_add(1, Relaxed);
            self.0.blocks.remove(&key);
            return None;
        }
        self.0.counters.disk_hits.fetch_add(1, Relaxed);
        self.0.counters.disk_bytes.fetch_add(bytes.len() as u64, Relaxed);
        Some(bytes.clone())
    }

    /// Cuts what the store gave into blocks. The last one of an object is short.
    fn keep(
        &self,
        path: &ObjectPath,
        run: &Range<u64>,
        bytes: &Bytes,
        blocks: &mut BTreeMap<u64, Bytes>,
    ) {
        let first = run.start / BLOCK_BYTES;
        for (number, chunk) in (first..).zip(bytes.chunks(BLOCK_USIZE)) {
            // A copy, lest a small block keep a large answer in memory.
            let bytes = Bytes::copy_from_slice(chunk);
            self.0.counters.misses.fetch_add(1, Relaxed);
            self.0.counters.missed_bytes.fetch_add(bytes.len() as u64, Relaxed);
            let block = Block { crc: crc32c::crc32c(&bytes), bytes: bytes.clone() };
            self.0.blocks.insert(key(path, number), block);
            blocks.insert(number, bytes);
        }
    }
}

const BLOCK_USIZE: usize = 256 << 10;

fn failed(folder: Option<&Path>, error: foyer::Error) -> Error {
    let place = folder.map_or(String::new(), |folder| format!(" \"{}\"", folder.display()));
    Error::new(SqlState::IO_ERROR, format!("could not open cache{place}")).detail(error.to_string())
}

fn key(path: &ObjectPath, number: u64) -> String {
    format!("{path}#{number}")
}

/// The blocks in which a range lies that is not empty.
fn blocks_of(range: &Range<u64>) -> RangeInclusive<u64> {
    range.start / BLOCK_BYTES..=(range.end - 1) / BLOCK_BYTES
}

/// Ranges of bytes that cover the blocks; neighbours in one, up to `FETCH_BYTES_MAX`.
fn runs(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        let (start, end) = (number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES);
        match runs.last_mut() {
            Some(run) if run.end == start && end - run.start <= FETCH_BYTES_MAX => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// A range out of its blocks, short where the object ends within it.
fn assemble(blocks: &BTreeMap<u64, Bytes>, range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let (first, last) = blocks_of(range).into_inner();
    let part = |number: u64| {
        let bytes = blocks.get(&number)?;
        let place = |offset: u64| {
            let offset = offset.saturating_sub(number * BLOCK_BYTES).min(bytes.len() as u64);
            usize::try_from(offset).unwrap_or(bytes.len())
        };
        Some(bytes.slice(place(range.start)..place(range.end)))
    };
    if first == last {
        return part(first).unwrap_or_default();
    }
    let parts: Vec<Bytes> = (first..=last).map_while(part).collect();
    Bytes::from(parts.concat())
}

/// A block as it is kept: with the CRC that it had when it arrived.
#[derive(Debug, Clone)]
struct Block {
    crc: u32,
    bytes: Bytes,
}

impl Code for Block {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let length = u32::try_from(self.bytes.len()).expect("a block is at most BLOCK_BYTES long");
        writer.write_all(&self.crc.to_le_bytes()).map_err(foyer::Error::io_error)?;
        writer.write_all(&length.to_le_bytes()).map_err(foyer::Error::io_error)?;
        writer.write_all(&self.bytes).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut number = || {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
            foyer::Result::Ok(u32::from_le_bytes(bytes))
        };
        let (crc, length) = (number()?, number()? as usize);
        // The length is not to be trusted either, before memory is given to it.
        let mut bytes = vec![0; length.min(BLOCK_USIZE)];
        reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
        Ok(Self { crc, bytes: bytes.into() })
    }

    fn estimated_size(&self) -> usize {
        8 + self.bytes.len()
    }
}
