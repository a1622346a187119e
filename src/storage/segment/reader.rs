//! Reads columns of row groups, whole or by row.
//!
//! The cache of decoded columns is asked first. What it lacks is fetched in one go, each range
//! checked against its CRC before a byte of it is decoded. A few vectors of a row group that is
//! not in memory cost their pages, not the column.

use super::{
    Segment, SegmentStore, Shared,
    encode::{restore, stored_type, vector_bytes, vectors as vectors_of},
    side::VectorPages,
    span::Span,
};
use crate::{
    error::{Error, Result},
    ids::ColumnId,
    storage::{
        columns::{CacheKey, ColumnSpec, column_name},
        paths::ObjectPath,
    },
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    buffer::NullBuffer,
    compute::{concat_batches, interleave, take},
    datatypes::DataType,
};
use bytes::{Buf, Bytes, buf::Reader};
use futures::future::try_join_all;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::ParquetMetaDataReader,
        reader::{ChunkReader, Length},
    },
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// Pages are read one by one where they are at most one in this many of their column's.
const PAGES_FRACTION: usize = 4;

impl Segment {
    /// Columns of a row group, decoded; those that the segment lacks are filled in.
    pub(in crate::storage) async fn columns(
        &self,
        group: usize,
        columns: &[ColumnSpec],
    ) -> Result<Vec<ArrayRef>> {
        let rows = self.group_rows(group);
        let mut found: Vec<Option<ArrayRef>> = Vec::with_capacity(columns.len());
        let mut absent: BTreeMap<usize, &ColumnSpec> = BTreeMap::new();
        for spec in columns {
            let Some(leaf) = self.leaf(spec.id) else {
                found.push(Some(spec.filled(rows)?));
                continue;
            };
            let cached = self.shared.store.cache.get(&self.key(group, spec.id, None));
            if cached.is_none() {
                absent.insert(leaf, spec);
            }
            found.push(cached);
        }
        let read = self.read(group, &absent).await?;
        let arrays = found.into_iter().zip(columns).map(|(found, spec)| {
            let array = found.or_else(|| read.get(&spec.id).cloned());
            array.ok_or_else(|| self.corrupt("it lacks a column that its side object names"))
        });
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        match arrays.iter().zip(columns).find(|(a, spec)| *a.data_type() != spec.kind.arrow()) {
            None => Ok(arrays),
            Some((array, spec)) => Err(Error::internal(format!(
                "column {} of {} holds {}, not {}",
                spec.id,
                self.shared.object,
                array.data_type(),
                spec.kind
            ))),
        }
    }

    /// Whether a column of a row group lies in the cache of decoded columns, or is not stored.
    pub(in crate::storage) fn is_at_hand(&self, group: usize, column: ColumnId) -> bool {
        self.leaf(column).is_none() || self.shared.store.cache.holds(&self.key(group, column, None))
    }

    /// Columns of some rows of a row group, given by position, in the order given.
    pub(in crate::storage) async fn take(
        &self,
        group: usize,
        positions: &UInt32Array,
        columns: &[ColumnSpec],
    ) -> Result<Vec<ArrayRef>> {
        // What is read by pages and what is read whole is asked for at the same time.
        let pages: Vec<Option<Pages<'_>>> =
            columns.iter().map(|spec| self.pages(group, positions, spec)).collect();
        let whole: Vec<ColumnSpec> = columns
            .iter()
            .zip(&pages)
            .filter(|(_, pages)| pages.is_none())
            .map(|(spec, _)| spec.clone())
            .collect();
        let mut paged = Vec::new();
        for (spec, pages) in columns.iter().zip(&pages) {
            if let Some(pages) = pages {
                paged.push(self.take_vectors(group, positions, spec, pages));
            }
        }
        let (paged, whole) = tokio::try_join!(try_join_all(paged), self.columns(group, &whole))?;
        let (mut paged, mut whole) = (paged.into_iter(), whole.into_iter());
        let taken = pages.iter().map(|pages| match pages {
            Some(_) => Ok(paged.next().expect("each column by pages was read so")),
            None => {
                let column = whole.next().expect("each column not paged was read whole");
                Ok(take(&column, positions, None)?)
            }
        });
        taken.collect()
    }

    /// The pages in which the vectors of some rows lie; `None` where reading the column whole is
    /// better.
    fn pages(&self, group: usize, positions: &UInt32Array, spec: &ColumnSpec) -> Option<Pages<'_>> {
        let vectors = self.shared.side.groups[group].vectors.get(&spec.id)?;
        let width = vector_bytes(&spec.kind.arrow())?;
        let mut pages: Vec<usize> = positions.values().iter().map(|&p| vectors.page(p)).collect();
        pages.sort_unstable();
        pages.dedup();
        let few = pages.len() * PAGES_FRACTION <= vectors.pages.len();
        let is_here = || self.shared.store.cache.holds(&self.key(group, spec.id, None));
        (few && !is_here()).then_some(Pages { vectors, width, pages })
    }

    /// Vectors of some rows by their pages.
    async fn take_vectors(
        &self,
        group: usize,
        positions: &UInt32Array,
        spec: &ColumnSpec,
        pages: &Pages<'_>,
    ) -> Result<ArrayRef> {
        let Pages { vectors, width, pages } = pages;
        let (width, kind) = (*width, spec.kind.arrow());
        let cache = &self.shared.store.cache;
        let key = |page| self.key(group, spec.id, Some(page));
        let mut arrays: Vec<Option<ArrayRef>> = pages.iter().map(|&p| cache.get(&key(p))).collect();
        let absent: Vec<usize> = (0..pages.len()).filter(|&at| arrays[at].is_none()).collect();
        let spans: Vec<Span> = absent.iter().map(|&at| vectors.pages[pages[at]].1).collect();
        let read = self.shared.store.checked(&self.shared.object, &spans).await?;
        for (&at, bytes) in absent.iter().zip(&read) {
            let first = vectors.pages[pages[at]].0;
            let next = vectors.pages.get(pages[at] + 1).map(|page| page.0);
            let end = match next {
                Some(next) => next,
                None => u32::try_from(self.group_rows(group)).expect("a row group is small"),
            };
            let present: Vec<bool> = (first..end).map(|r| !vectors.nulls.contains(r)).collect();
            let values = spread(&present, bytes, width)
                .ok_or_else(|| self.corrupt("a page of vectors has another length"))?;
            let nulls = Some(NullBuffer::from(present)).filter(|n| n.null_count() > 0);
            let array = vectors_of(&kind, &values, nulls)?;
            cache.insert(key(pages[at]), Arc::clone(&array));
            arrays[at] = Some(array);
        }
        let arrays: Vec<ArrayRef> = arrays.into_iter().flatten().collect();
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let places: Vec<(usize, usize)> = positions
            .values()
            .iter()
            .map(|&position| {
                let page = vectors.page(position);
                let at = pages.binary_search(&page).expect("the page of every row was read");
                (at, (position - vectors.pages[page].0) as usize)
            })
            .collect();
        Ok(interleave(&arrays, &places)?)
    }

    /// Fetches, checks, decodes and caches columns, given by their leaves.
    async fn read(
        &self,
        group: usize,
        absent: &BTreeMap<usize, &ColumnSpec>,
    ) -> Result<BTreeMap<ColumnId, ArrayRef>> {
        if absent.is_empty() {
            return Ok(BTreeMap::new());
        }
        let chunks = &self.shared.side.groups[group].chunks;
        let spans: Vec<Span> = absent
            .keys()
            .map(|&leaf| chunks.get(leaf).copied())
            .collect::<Option<_>>()
            .ok_or_else(|| self.corrupt("its side object lacks a column's checksum"))?;
        let shared = &self.shared;
        let (footer, parts) =
            tokio::try_join!(shared.footer(), shared.store.checked(&shared.object, &spans))?;
        let parts = spans.iter().map(|span| span.at).zip(parts).collect();
        let chunks = Chunks { parts, bytes: self.meta.bytes };
        let rows = self.group_rows(group);
        let batch = decode(chunks, footer, group, absent.keys().copied(), rows)
            .map_err(|error| self.corrupt("a column cannot be decoded").source(error))?;
        if batch.num_rows() != rows {
            return Err(self.corrupt("a row group has another number of rows"));
        }
        let mut read = BTreeMap::new();
        for spec in absent.values() {
            let stored = batch.column_by_name(&column_name(spec.id));
            let stored = stored.ok_or_else(|| self.corrupt("a column is not where it was"))?;
            let kind = spec.kind.arrow();
            let is_same = match (&kind, stored.data_type()) {
                (DataType::List(_), DataType::List(_)) => true,
                (_, found) => *found == stored_type(&kind),
            };
            if !is_same {
                return Err(Error::internal(format!(
                    "column {} of {} is stored as {}, which is not {}",
                    spec.id,
                    shared.object,
                    stored.data_type(),
                    spec.kind
                )));
            }
            let array = restore(stored, &kind)?;
            shared.store.cache.insert(self.key(group, spec.id, None), Arc::clone(&array));
            read.insert(spec.id, array);
        }
        Ok(read)
    }

    /// The leaf of Parquet's schema that holds a column; each column has exactly one.
    fn leaf(&self, column: ColumnId) -> Option<usize> {
        let at = self.shared.side.columns.iter().position(|&id| id == column)?;
        Some(at + 1)
    }

    fn key(&self, group: usize, column: ColumnId, page: Option<usize>) -> CacheKey {
        CacheKey::Column { segment: self.shared.number, group, column, page }
    }

    fn corrupt(&self, message: &str) -> Error {
        Error::corrupt(&self.shared.object, message)
    }
}

/// Where the vectors of some rows lie.
struct Pages<'s> {
    vectors: &'s VectorPages,
    /// Bytes of a vector.
    width: usize,
    /// Which pages, ascending.
    pages: Vec<usize>,
}

impl VectorPages {
    /// The page of a row of the row group.
    fn page(&self, position: u32) -> usize {
        self.pages.partition_point(|page| page.0 <= position).saturating_sub(1)
    }
}

/// The bytes of a page with room for the vectors that are NULL; `None` when there are too few or
/// many.
fn spread<'b>(present: &[bool], bytes: &'b [u8], width: usize) -> Option<Cow<'b, [u8]>> {
    let count = present.iter().filter(|&&present| present).count();
    if bytes.len() != count * width {
        return None;
    }
    if count == present.len() {
        return Some(Cow::Borrowed(bytes));
    }
    let mut vectors = bytes.chunks_exact(width);
    let mut spread = vec![0; present.len() * width];
    for (place, _) in spread.chunks_exact_mut(width).zip(present).filter(|(_, present)| **present) {
        place.copy_from_slice(vectors.next()?);
    }
    Some(Cow::Owned(spread))
}

impl SegmentStore {
    /// Ranges of an object, each as it was written.
    pub(super) async fn checked(&self, object: &ObjectPath, spans: &[Span]) -> Result<Vec<Bytes>> {
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let ranges: Vec<_> = spans.iter().map(Span::range).collect();
        let found = self.store.ranges(object, &ranges).await?;
        for (span, bytes) in spans.iter().zip(&found) {
            span.check(bytes, object)?;
        }
        Ok(found)
    }
}

impl Shared {
    /// Parquet's own metadata, as the head has it, or read once.
    async fn footer(&self) -> Result<&ArrowReaderMetadata> {
        let read = async || {
            let bytes = match &self.side.metadata {
                Some(bytes) => bytes.clone(),
                None => self.store.checked(&self.object, &[self.side.footer]).await?.remove(0),
            };
            parse_footer(&bytes).map_err(|error| {
                Error::corrupt(&self.object, "its footer is malformed").source(error)
            })
        };
        self.footer.get_or_try_init(read).await
    }
}

/// The metadata lies before the last eight bytes: its length and Parquet's magic number.
fn parse_footer(bytes: &Bytes) -> ParquetResult<ArrowReaderMetadata> {
    let malformed = || ParquetError::EOF("the footer is too short".into());
    let (rest, tail) = bytes.split_last_chunk::<8>().ok_or_else(malformed)?;
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    let start = rest.len().checked_sub(length).ok_or_else(malformed)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&rest[start..])?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ArrowReaderMetadata::try_new(Arc::new(metadata), options)
}

fn decode(
    chunks: Chunks,
    footer: &ArrowReaderMetadata,
    group: usize,
    leaves: impl Iterator<Item = usize>,
    rows: usize,
) -> Result<RecordBatch> {
    let leaves = ProjectionMask::leaves(footer.parquet_schema(), leaves);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, footer.clone())
        .with_row_groups(vec![group])
        .with_projection(leaves)
        .with_batch_size(rows)
        .build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    match batches.as_slice() {
        [batch] => Ok(batch.clone()),
        [] => Err(Error::internal("a row group has no rows")),
        [first, ..] => Ok(concat_batches(&first.schema(), &batches)?),
    }
}

/// The column chunks that were fetched, as if they were the whole object.
struct Chunks {
    /// By offset.
    parts: BTreeMap<u64, Bytes>,
    bytes: u64,
}

impl Chunks {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let part = self.parts.range(..=start).next_back();
        part.and_then(|(at, bytes)| {
            let skip = usize::try_from(start - at).ok()?;
            (skip <= bytes.len()).then(|| bytes.slice(skip..))
        })
        .ok_or_else(|| ParquetError::EOF(format!("byte {start} was not fetched")))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Chunks {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.from(start)?;
        let missing = || ParquetError::EOF(format!("{length} bytes at {start} were not fetched"));
        (length <= bytes.len()).then(|| bytes.slice(..length)).ok_or_else(missing)
    }
}
