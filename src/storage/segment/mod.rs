//! Segments: rows that never change again, each in one Parquet object with a side object beside it.
//!
//! [`SegmentWriter`] cuts rows into row groups of [`GROUP_ROWS`] and row groups into segments;
//! [`Segment`] reads them back one column of one row group at a time, or one page of vectors.
//! Every range that is ever read has a CRC32C in the side object, whose own is in the
//! [`SegmentMeta`] that log and manifest keep: damaged bytes are reported and never served.
//! A row's id is the segment's first row plus an offset, so that a segment can be written before
//! its rows have ids: [`Segment::at`].
//!
//! ```text
//!   writer   arrays -> encode -> Parquet, checksums, pages of vectors, statistics, keys -> side
//!   reader   side -> which ranges -> store -> checked -> decoded -> encode -> cached
//!   candidates   side -> filter, fences -> one block -> rows
//! ```
//!
//! This folder is the only place that knows Parquet.

mod candidates;
mod encode;
mod keys;
mod reader;
mod rows;
mod side;
mod span;
mod statistics;
mod writer;

pub use rows::RowIds;
pub use writer::SegmentWriter;

use super::{
    columns::ColumnCache,
    paths::{self, ObjectPath},
    pins::{Pin, Pins},
    store::Store,
};
use crate::{
    error::{Error, Result},
    ids::{ColumnId, Oid, RowId},
};
use arrow::array::ArrayRef;
use bytes::Bytes;
use keys::KeySection;
use parquet::{arrow::arrow_reader::ArrowReaderMetadata, errors::ParquetError};
use serde::{Deserialize, Serialize};
use side::Side;
use span::Span;
use std::{ops::Range, sync::Arc};
use tokio::sync::OnceCell;

/// Rows of a row group: what is read together.
pub const GROUP_ROWS: usize = 8192;

/// Where segments lie: the store, the decoded columns that are kept near, and the names of those that
/// are open, which the collector leaves alone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    store: Store,
    cache: Arc<ColumnCache>,
    pins: Pins,
}

impl SegmentStore {
    /// Segments in this store, read through this cache.
    #[must_use]
    pub fn new(store: Store, cache: Arc<ColumnCache>) -> Self {
        Self { store, cache, pins: Pins::default() }
    }

    /// The objects of every segment that is open or being written.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Where their objects are.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cache of decoded columns.
    #[must_use]
    pub fn cache(&self) -> &ColumnCache {
        &self.cache
    }

    pub(super) fn fresh_id(&self) -> String {
        paths::fresh_id(&**self.store.clock())
    }

    pub(super) async fn put(&self, object: &ObjectPath, bytes: Bytes) -> Result<()> {
        self.store.put(object, bytes).await
    }

    pub(super) async fn range(&self, object: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let mut found = self.store.ranges(object, std::slice::from_ref(&range)).await?;
        Ok(found.pop().unwrap_or_default())
    }
}

/// What the manifest and the log keep of a segment: enough to open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// The rows are in `data/<id>.parquet`.
    pub id: String,
    /// The id of the first row.
    pub first_row: RowId,
    /// Every row id lies below `first_row + span`.
    pub span: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The size of the Parquet object.
    pub bytes: u64,
    /// The columns that it has.
    pub columns: Vec<ColumnId>,
    /// The unique constraints whose keys it has.
    pub constraints: Vec<Oid>,
    /// Its side object.
    pub side: SideMeta,
}

/// Where a side object lies and what its head must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMeta {
    /// The object is `data/<id>.keys`.
    pub id: String,
    /// Its size.
    pub bytes: u64,
    /// The size of its head.
    pub head_bytes: u64,
    /// The CRC32C of its head, which holds the checksums of all else.
    pub head_crc: u32,
}

/// A row group of a segment, told apart from every other of a node: its rows never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId {
    segment: u128,
    group: usize,
}

impl SegmentMeta {
    /// Behind the last row.
    #[must_use]
    pub fn end_row(&self) -> RowId {
        RowId(self.first_row.0 + self.span)
    }

    /// The objects that the segment consists of.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectPath> {
        vec![self.object(), self.side.object()]
    }

    fn object(&self) -> ObjectPath {
        paths::segment(&self.id)
    }
}

impl SideMeta {
    fn object(&self) -> ObjectPath {
        paths::keys(&self.id)
    }
}

/// An open segment: its head is in memory, everything else is read when it is asked for.
#[derive(Debug, Clone)]
pub struct Segment {
    meta: SegmentMeta,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: SegmentStore,
    /// Its id and that of its side object as numbers, for the cache.
    number: u128,
    side_number: u128,
    object: ObjectPath,
    side: Side,
    footer: OnceCell<ArrowReaderMetadata>,
    /// Whoever can read the segment keeps its objects.
    _pin: Pin,
}

impl Segment {
    /// Opens a segment: reads the head of its side object, and nothing else yet.
    ///
    /// # Errors
    /// XX001 when the head is damaged, and what the store fails with.
    pub async fn open(store: &SegmentStore, meta: SegmentMeta) -> Result<Self> {
        let object = meta.side.object();
        let _pin = store.pins.pin(meta.objects());
        let head = store.range(&object, 0..meta.side.head_bytes).await?;
        let span = Span { at: 0, bytes: meta.side.head_bytes, crc: meta.side.head_crc };
        span.check(&head, &object)?;
        let side = Side::decode(&head, &object)?;
        Ok(Self::new(store, meta, side))
    }

    fn new(store: &SegmentStore, meta: SegmentMeta, side: Side) -> Self {
        let number = |id: &str| u128::from_str_radix(id, 16).unwrap_or_default();
        let (number, side_number) = (number(&meta.id), number(&meta.side.id));
        let (store, object) = (store.clone(), meta.object());
        let pin = store.pins.pin(meta.objects());
        let footer = OnceCell::new();
        let shared = Shared { store, number, side_number, object, side, footer, _pin: pin };
        Self { meta, shared: Arc::new(shared) }
    }

    /// The same rows, numbered from `first_row`.
    #[must_use]
    pub fn at(&self, first_row: RowId) -> Self {
        let meta = SegmentMeta { first_row, ..self.meta.clone() };
        Self { meta, shared: Arc::clone(&self.shared) }
    }

    /// What the manifest keeps of it.
    #[must_use]
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// How many row groups it has.
    pub(super) fn groups(&self) -> usize {
        self.shared.side.groups.len()
    }

    /// How many rows a row group has.
    pub(super) fn group_rows(&self, group: usize) -> usize {
        self.shared.side.groups[group].rows
    }

    /// What tells a row group apart.
    pub(super) fn group_id(&self, group: usize) -> GroupId {
        GroupId { segment: self.shared.number, group }
    }

    /// The range in which the ids of a row group lie.
    pub(super) fn group_range(&self, group: usize) -> Range<RowId> {
        let (base, group) = (self.meta.first_row.0, &self.shared.side.groups[group]);
        RowId(base + u64::from(group.first))..RowId(base + u64::from(group.end()))
    }

    /// The ids of a row group's rows.
    pub(super) fn row_ids(&self, group: usize) -> RowIds {
        let group = &self.shared.side.groups[group];
        match &group.offsets {
            None => {
                let first = RowId(self.meta.first_row.0 + u64::from(group.first));
                RowIds::Contiguous { first, len: group.rows }
            }
            Some(offsets) => {
                RowIds::Sparse { base: self.meta.first_row, offsets: Arc::clone(offsets) }
            }
        }
    }

    /// The row group and the position in it of a row, if it is there.
    pub(super) fn find(&self, row: RowId) -> Option<(usize, usize)> {
        let offset = row.0.checked_sub(self.meta.first_row.0)?;
        let groups = &self.shared.side.groups;
        let group = groups.partition_point(|group| u64::from(group.first) <= offset);
        let group = group.checked_sub(1)?;
        Some((group, self.row_ids(group).position(row)?))
    }

    /// The smallest and the greatest value of a column in a row group, as arrays of length 1,
    /// where they are known.
    pub(super) fn statistics(
        &self,
        group: usize,
        column: ColumnId,
    ) -> Option<(ArrayRef, ArrayRef)> {
        let batch = self.shared.side.statistics.as_ref()?;
        let (min, max) = statistics::names(column);
        let bound = |name: &str| {
            let bounds = batch.column_by_name(name)?;
            bounds.is_valid(group).then(|| bounds.slice(group, 1))
        };
        Some((bound(&min)?, bound(&max)?))
    }

    /// Where the offsets of the rows and Parquet's metadata lie: they are in the side object too, and
    /// never read here.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<Range<u64>> {
        let side = &self.shared.side;
        let offsets = side.groups.iter().map(|group| group.chunks[0].range());
        offsets.chain(side.metadata.is_some().then(|| side.footer.range())).collect()
    }

    /// This segment with the keys of one more constraint: a new side object, the same rows.
    /// `entries` are the hash and the position of each row that has a key.
    pub(super) async fn with_key(
        &self,
        store: &SegmentStore,
        constraint: Oid,
        columns: Vec<ColumnId>,
        entries: Vec<(u64, u32)>,
    ) -> Result<Self> {
        let mut side = self.shared.side.clone();
        let old = self.meta.side.object();
        let mut blocks = Vec::new();
        side.keys.remove(&constraint);
        for section in side.keys.values_mut() {
            let range = section.range(self.meta.side.head_bytes);
            let bytes = self.shared.store.range(&old, range).await?;
            *section = section.copied(&bytes, &mut blocks, &old)?;
        }
        let section = KeySection::build(columns, entries, &mut blocks)?;
        side.keys.insert(constraint, section);
        let mut meta = self.meta.clone();
        meta.constraints = side.keys.keys().copied().collect();
        let (put, _pin) = put_side(store, &side, &blocks).await?;
        meta.side = put;
        Ok(Self::new(store, meta, side))
    }
}

/// A fault of Parquet's writer. A reader names the object instead.
impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        Self::internal(error.to_string()).source(error)
    }
}

/// Writes a side object under a fresh name, pinned until the segment that it belongs to is open.
async fn put_side(store: &SegmentStore, side: &Side, blocks: &[u8]) -> Result<(SideMeta, Pin)> {
    let head = side.encode()?;
    let meta = SideMeta {
        id: store.fresh_id(),
        bytes: (head.len() + blocks.len()) as u64,
        head_bytes: head.len() as u64,
        head_crc: crc32c::crc32c(&head),
    };
    let pin = store.pins.pin([meta.object()]);
    store.put(&meta.object(), Bytes::from([head.as_slice(), blocks].concat())).await?;
    Ok((meta, pin))
}
