//! An index to the store, and back.
//!
//! 1. `checkpoint` writes the chunks that are not stored yet, and those of objects that are mostly
//!    garbage, as immutable objects of up to some 32 MiB; then the directory, which names every chunk.
//! 2. The caller makes a manifest durable that names the [`IndexCheckpoint`] and its objects.
//! 3. `adopt` tells the index so: only from now on may chunks leave memory, and are they not written
//!    again. A checkpoint whose manifest failed leaves no trace but objects for the collector.
//!
//! `open` reads the directory alone.

use super::{
    Index, IndexOptions, Inner, ObjectSink, PostingStore, directory,
    posting::{Chunk, Location, Object},
};
use crate::{
    error::{Error, Result},
    ids::RowId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

/// What an object of postings begins with.
const MAGIC: &[u8; 8] = b"NLPOST\0\x01";
/// Chunks begin at multiples of this.
const ALIGN: usize = 64;
/// An object is closed when it has grown to this.
const OBJECT_BYTES: usize = 32 << 20;

/// An object of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub len: u64,
}

/// An index at rest: what the manifest keeps of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IndexCheckpoint {
    /// What the index is of.
    pub options: IndexOptions,
    /// Every row below is in it.
    pub watermark: RowId,
    /// The object that names all others.
    pub directory: ObjectRef,
    /// CRC32C of the directory.
    pub directory_crc: u32,
    /// The objects that hold the postings.
    pub postings: Vec<ObjectRef>,
    /// Where each chunk went that this checkpoint wrote, for `adopt`.
    #[serde(skip)]
    written: Vec<(Arc<Chunk>, Location)>,
}

impl IndexCheckpoint {
    /// The names of all its objects.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.directory).chain(&self.postings).map(|object| object.name.as_str())
    }
}

impl Index {
    /// Writes what is not stored yet. The index is as before; see [`Index::adopt`].
    pub async fn checkpoint(&self, sink: &dyn ObjectSink) -> Result<IndexCheckpoint> {
        let chunks: Vec<&Arc<Chunk>> =
            self.0.postings.iter().flat_map(|(_, posting)| &posting.chunks).collect();
        let mut kept: Vec<Option<Location>> = chunks.iter().map(|chunk| chunk.stored()).collect();
        drop_mostly_garbage(&mut kept);

        // Objects fill up in the order of postings: those near to each other are mostly numbered so.
        let mut writer = Writer::new(sink);
        let mut written = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            if kept[at].is_none() {
                let read = self.fetch(std::slice::from_ref(*chunk)).await?;
                written.push((at, writer.add(read[0].bytes()).await?));
            }
        }
        let finished = writer.finish().await?;
        let mut placed = Vec::with_capacity(written.len());
        for (at, place) in written {
            let location = Location {
                object: Arc::clone(&finished[place.object]),
                offset: place.offset,
                len: chunks[at].bytes(),
                crc: place.crc,
            };
            placed.push((Arc::clone(chunks[at]), location.clone()));
            kept[at] = Some(location);
        }

        let locations: Vec<Location> = kept.into_iter().flatten().collect();
        let mut objects: Vec<Arc<Object>> = Vec::new();
        for location in &locations {
            if !objects.iter().any(|object| Arc::ptr_eq(object, &location.object)) {
                objects.push(Arc::clone(&location.object));
            }
        }
        let directory = directory::write(
            &self.0.core,
            &self.0.postings,
            &locations,
            &objects,
            &self.0.left_out,
        )?;
        let directory_crc = crc32c::crc32c(&directory);
        let len = directory.len() as u64;
        let name = sink.put(directory.into()).await?;
        Ok(IndexCheckpoint {
            options: self.0.options,
            watermark: self.0.watermark,
            directory: ObjectRef { name, len },
            directory_crc,
            postings: objects
                .iter()
                .map(|object| ObjectRef { name: object.name.clone(), len: object.len })
                .collect(),
            written: placed,
        })
    }

    /// The names of the objects that its postings are read from.
    #[must_use]
    pub fn stored_objects(&self) -> HashSet<String> {
        let chunks = self.0.postings.iter().flat_map(|(_, posting)| &posting.chunks);
        chunks.filter_map(|chunk| Some(chunk.stored()?.object.name.clone())).collect()
    }

    /// A manifest that names this checkpoint is durable. Later versions of the index know it too.
    /// Does nothing for a checkpoint that another index wrote, or that was read from a manifest.
    pub fn adopt(&self, checkpoint: &IndexCheckpoint, store: &Arc<PostingStore>) {
        let store = self.0.store.get_or_init(|| Arc::clone(store));
        for (chunk, location) in &checkpoint.written {
            let is_new = chunk.stored().is_none();
            chunk.store(location.clone());
            if is_new {
                store.admit(chunk);
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
            options: checkpoint.options,
            core: read.core,
            postings: read.postings,
            watermark: checkpoint.watermark,
            left_out: Arc::new(read.left_out),
            store: Arc::new(OnceLock::from(Arc::clone(store))),
            sweep: 0,
            costs: Arc::default(),
        })))
    }
}

/// Forgets the locations in objects of which less than half is still in use.
fn drop_mostly_garbage(kept: &mut [Option<Location>]) {
    let mut used: HashMap<*const Object, u64> = HashMap::new();
    for location in kept.iter().flatten() {
        *used.entry(Arc::as_ptr(&location.object)).or_default() += u64::from(location.len);
    }
    for location in kept {
        if location.as_ref().is_some_and(|l| used[&Arc::as_ptr(&l.object)] * 2 < l.object.len) {
            *location = None;
        }
    }
}

/// Fills objects with chunks.
struct Writer<'a> {
    sink: &'a dyn ObjectSink,
    finished: Vec<Arc<Object>>,
    bytes: Vec<u8>,
}

/// Where a chunk went: the number of its object, and there.
struct Place {
    object: usize,
    offset: u64,
    crc: u32,
}

impl<'a> Writer<'a> {
    fn new(sink: &'a dyn ObjectSink) -> Self {
        Self { sink, finished: Vec::new(), bytes: Vec::new() }
    }

    async fn add(&mut self, chunk: &[u8]) -> Result<Place> {
        if self.bytes.len() + chunk.len() > OBJECT_BYTES {
            self.close().await?;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
            self.bytes.resize(ALIGN, 0);
        }
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(chunk);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        Ok(Place { object: self.finished.len(), offset, crc: crc32c::crc32c(chunk) })
    }

    async fn close(&mut self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let len = bytes.len() as u64;
        let name = self.sink.put(bytes).await?;
        self.finished.push(Arc::new(Object { name, len }));
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Arc<Object>>> {
        self.close().await?;
        Ok(self.finished)
    }
}
