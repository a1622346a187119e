//! An index to the store, and back.
//!
//! 1. `checkpoint` writes the chunks that are not stored yet, and those of objects that are mostly
//!    garbage, as immutable objects of up to some 64 MiB: all scan parts, then all records, each in an
//!    order in which near postings are near to each other; then the directory, which names every chunk.
//! 2. The caller makes a manifest durable that names the [`IndexCheckpoint`] and its objects.
//! 3. `adopt` tells the index so: only from now on may chunks leave memory, and are they not written
//!    again. A checkpoint whose manifest failed leaves no trace but objects for the collector.
//!
//! `spill` is step 1 without a directory, for an index that no manifest names yet and that has outgrown
//! its memory. `open` reads the directory alone.

use super::{
    Index, IndexOptions, Inner, ObjectSink, PostingStore, Put, Stage, directory, ffi,
    posting::{Chunk, Location, Object, Part, Stored, row_of},
    store::Want,
};
use crate::{
    error::{Error, Result},
    ids::RowId,
};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

/// What an object of postings begins with.
const MAGIC: &[u8; 8] = b"NLPOST\0\x02";
/// Parts begin at multiples of this.
const ALIGN: usize = 64;
/// Chunks that are read at once, to be written anew.
const READ_AT_ONCE: usize = 256;

/// An object of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub len: u64,
}

/// Tells what rows have in common. The index keeps it and does not look into it: a search brings the
/// test along ([`Search::may_hold`](super::Search::may_hold)).
#[async_trait]
pub trait Summaries: Send + Sync {
    /// For each list of rows some bytes, or `None` where nothing is known. What they tell holds for
    /// every row of the list that a search may ever be allowed to find.
    async fn of(&self, rows: &[Vec<RowId>]) -> Result<Vec<Option<Box<[u8]>>>>;
}

/// An index at rest: what the manifest keeps of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IndexCheckpoint {
    /// What the index is of.
    pub options: IndexOptions,
    /// How far its build is.
    #[serde(default)]
    pub stage: Stage,
    /// Every row below is in it.
    pub watermark: RowId,
    /// How many rows of its table were deleted before it was last searched for dead ones
    /// ([`Index::is_clean_of`]), so that a start need not look again.
    #[serde(default)]
    pub clean_of: u64,
    /// The object that names all others.
    pub directory: ObjectRef,
    /// CRC32C of the directory.
    pub directory_crc: u32,
    /// The objects that hold the postings.
    pub postings: Vec<ObjectRef>,
    /// Where each chunk went that this checkpoint wrote, for `adopt`.
    #[serde(skip)]
    written: Vec<(Arc<Chunk>, Stored)>,
}

impl IndexCheckpoint {
    /// The names of all its objects.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.directory).chain(&self.postings).map(|object| object.name.as_str())
    }
}

/// Which objects are written anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Garbage {
    Keep,
    Rewrite,
}

/// Where all chunks are, once what was not is stored.
struct Layout {
    /// In the order of the postings and their chunks.
    stored: Vec<Stored>,
    /// Chunks that went somewhere just now.
    written: Vec<(Arc<Chunk>, Stored)>,
}

impl Index {
    /// Writes what is not stored yet. The index is as before; see [`Index::adopt`]. What chunks are
    /// told of their rows is kept beside them, for searches that want few of these.
    pub async fn checkpoint(
        &self,
        sink: &dyn ObjectSink,
        summaries: Option<&dyn Summaries>,
    ) -> Result<IndexCheckpoint> {
        let Layout { stored, written } =
            self.write_parts(sink, Garbage::Rewrite, summaries).await?;
        let objects = objects_of(&stored);
        let directory =
            directory::write(&self.0.core, &self.0.postings, &stored, &objects, &self.0.left_out)?;
        let directory_crc = crc32c::crc32c(&directory);
        let len = directory.len() as u64;
        let name = sink.put(directory.into()).await?.name;
        Ok(IndexCheckpoint {
            options: self.0.options,
            stage: self.0.stage,
            watermark: self.0.watermark,
            clean_of: self.0.clean_of,
            directory: ObjectRef { name, len },
            directory_crc,
            postings: objects
                .iter()
                .map(|object| ObjectRef { name: object.name.clone(), len: object.len })
                .collect(),
            written,
        })
    }

    /// Writes what is not stored yet, and lets it leave memory from now on: the sink keeps its
    /// objects until a manifest names them.
    pub async fn spill(&self, sink: &dyn ObjectSink, store: &Arc<PostingStore>) -> Result<()> {
        let Layout { written, .. } = self.write_parts(sink, Garbage::Keep, None).await?;
        self.let_go(&written, store);
        Ok(())
    }

    async fn write_parts(
        &self,
        sink: &dyn ObjectSink,
        garbage: Garbage,
        summaries: Option<&dyn Summaries>,
    ) -> Result<Layout> {
        // In the order of ids, as the directory names them; `order` is that of the store.
        let mut chunks: Vec<&Arc<Chunk>> = Vec::new();
        let mut first_of: HashMap<u32, usize> = HashMap::new();
        for (id, posting) in self.0.postings.iter() {
            first_of.insert(id, chunks.len());
            chunks.extend(&posting.chunks);
        }
        let nearby = self.0.core.order()?;
        let order = nearby.iter().filter_map(|&id| {
            let first = *first_of.get(&id)?;
            Some(first..first + self.0.postings.chunks(id).len())
        });
        let order: Vec<usize> = order.flatten().collect();

        let mut kept: Vec<[Option<Location>; 2]> = chunks
            .iter()
            .map(|chunk| match chunk.stored() {
                Some(Stored { scan, records }) => [Some(scan), Some(records)],
                None => [None, None],
            })
            .collect();
        if garbage == Garbage::Rewrite {
            drop_mostly_garbage(&mut kept);
        }

        let mut writer = Writer::new(sink);
        let mut written: Vec<(usize, Part, Place)> = Vec::new();
        for (place, part) in [Part::Scan, Part::Records].into_iter().enumerate() {
            let unwritten: Vec<usize> =
                order.iter().copied().filter(|&at| kept[at][place].is_none()).collect();
            for some in unwritten.chunks(READ_AT_ONCE) {
                let want = |&at: &usize| match part {
                    Part::Scan => Want::scan(chunks[at]),
                    Part::Records => Want::whole(chunks[at]),
                };
                let read = self.fetch_parts(some.iter().map(want).collect()).await?;
                if let (Some(summaries), Part::Scan) = (summaries, part) {
                    let chunks: Vec<&Arc<Chunk>> = some.iter().map(|&at| chunks[at]).collect();
                    summarize(&chunks, &read, summaries).await?;
                }
                for (&at, chunk) in some.iter().zip(read) {
                    let bytes = match part {
                        Part::Scan => chunk.scan_bytes(),
                        Part::Records => chunk.record_bytes(),
                    };
                    written.push((at, part, writer.add(bytes).await?));
                }
            }
        }
        let finished = writer.finish().await?;
        let mut changed: Vec<usize> = Vec::new();
        for (at, part, place) in written {
            let location = Location {
                object: Arc::clone(&finished[place.object]),
                offset: place.offset,
                len: chunks[at].len(part),
                crc: place.crc,
            };
            kept[at][usize::from(part == Part::Records)] = Some(location);
            changed.push(at);
        }
        changed.sort_unstable();
        changed.dedup();

        let stored: Vec<Stored> = kept
            .into_iter()
            .map(|parts| match parts {
                [Some(scan), Some(records)] => Ok(Stored { scan, records }),
                _ => Err(Error::internal("a posting was not written")),
            })
            .collect::<Result<_>>()?;
        let written =
            changed.into_iter().map(|at| (Arc::clone(chunks[at]), stored[at].clone())).collect();
        Ok(Layout { stored, written })
    }

    /// The names of the objects that its postings are read from.
    #[must_use]
    pub fn stored_objects(&self) -> HashSet<String> {
        let chunks = self.0.postings.iter().flat_map(|(_, posting)| &posting.chunks);
        let stored = chunks.filter_map(|chunk| chunk.stored());
        stored
            .flat_map(|Stored { scan, records }| [scan, records])
            .map(|location| location.object.name.clone())
            .collect()
    }

    /// A manifest that names this checkpoint is durable. Later versions of the index know it too.
    /// Does nothing for a checkpoint that another index wrote, or that was read from a manifest.
    pub fn adopt(&self, checkpoint: &IndexCheckpoint, store: &Arc<PostingStore>) {
        self.let_go(&checkpoint.written, store);
    }

    fn let_go(&self, written: &[(Arc<Chunk>, Stored)], store: &Arc<PostingStore>) {
        let store = self.0.store.get_or_init(|| Arc::clone(store));
        for (chunk, stored) in written {
            let is_new = !chunk.is_stored();
            chunk.store(stored.clone());
            if is_new {
                store.admit(chunk, &[Part::Scan, Part::Records]);
            }
        }
    }

    /// The index as it was. Postings are read when they are wanted. XX001 when the directory is not
    /// what was written, naming it.
    pub async fn open(checkpoint: &IndexCheckpoint, store: &Arc<PostingStore>) -> Result<Self> {
        let ObjectRef { name, len } = &checkpoint.directory;
        let range = 0..*len;
        let bytes = store.source().ranges(name, std::slice::from_ref(&range)).await?;
        let bytes = bytes.first().filter(|bytes| bytes.len() as u64 == *len);
        let bytes = bytes.ok_or_else(|| Error::corrupt(name, "it is shorter than it was"))?;
        if crc32c::crc32c(bytes) != checkpoint.directory_crc {
            return Err(Error::corrupt(name, "wrong checksum"));
        }
        let read = directory::read(bytes).map_err(|fault| Error::corrupt(name, fault))?;
        if read.core.dims() != checkpoint.options.dims {
            return Err(Error::corrupt(name, "it is of an index of other dimensions"));
        }
        Ok(Self(Arc::new(Inner {
            stage: checkpoint.stage,
            postings: read.postings,
            watermark: checkpoint.watermark,
            clean_of: checkpoint.clean_of,
            left_out: Arc::new(read.left_out),
            store: Arc::new(OnceLock::from(Arc::clone(store))),
            ..Inner::new(checkpoint.options, read.core)
        })))
    }
}

/// Tells chunks what their rows have in common.
async fn summarize(
    chunks: &[&Arc<Chunk>],
    read: &[ffi::Chunk],
    summaries: &dyn Summaries,
) -> Result<()> {
    let untold = chunks.iter().zip(read).filter(|(chunk, _)| chunk.summary().is_none());
    let (mut told, mut rows) = (Vec::new(), Vec::new());
    for (&chunk, read) in untold {
        told.push(chunk);
        rows.push(read.words()?.into_iter().map(row_of).collect());
    }
    for (chunk, summary) in told.into_iter().zip(summaries.of(&rows).await?) {
        if let Some(summary) = summary {
            chunk.summarize(summary);
        }
    }
    Ok(())
}

/// The objects of these parts, each once.
fn objects_of(stored: &[Stored]) -> Vec<Arc<Object>> {
    let mut listed: HashSet<*const Object> = HashSet::new();
    let locations = stored.iter().flat_map(|stored| [&stored.scan, &stored.records]);
    locations
        .filter(|location| listed.insert(Arc::as_ptr(&location.object)))
        .map(|location| Arc::clone(&location.object))
        .collect()
}

/// Forgets the locations in objects of which less than half is still in use.
fn drop_mostly_garbage(kept: &mut [[Option<Location>; 2]]) {
    let mut used: HashMap<*const Object, u64> = HashMap::new();
    for location in kept.iter().flatten().flatten() {
        *used.entry(Arc::as_ptr(&location.object)).or_default() += u64::from(location.len);
    }
    for location in kept.iter_mut().flatten() {
        if location.as_ref().is_some_and(|l| used[&Arc::as_ptr(&l.object)] * 2 < l.object.len) {
            *location = None;
        }
    }
}

/// Fills objects with parts of chunks.
struct Writer<'a> {
    sink: &'a dyn ObjectSink,
    finished: Vec<Arc<Object>>,
    bytes: Vec<u8>,
}

/// Where a part went: the number of its object, and there.
struct Place {
    object: usize,
    offset: u64,
    crc: u32,
}

impl<'a> Writer<'a> {
    fn new(sink: &'a dyn ObjectSink) -> Self {
        Self { sink, finished: Vec::new(), bytes: Vec::new() }
    }

    async fn add(&mut self, part: &[u8]) -> Result<Place> {
        if self.bytes.len() + part.len() > self.sink.object_bytes_max() {
            self.close().await?;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
            self.bytes.resize(ALIGN, 0);
        }
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(part);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        Ok(Place { object: self.finished.len(), offset, crc: crc32c::crc32c(part) })
    }

    async fn close(&mut self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let len = bytes.len() as u64;
        let Put { name, hold } = self.sink.put(bytes).await?;
        self.finished.push(Arc::new(Object::new(name, len, hold)));
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Arc<Object>>> {
        self.close().await?;
        Ok(self.finished)
    }
}
