//! Writes rows as segments.
//!
//! Rows are gathered until a row group is full, row groups until a segment is; a segment is then
//! put to the store in one piece, its side object first. The checksums are taken from the bytes
//! that are put, and that each vector lies where its page says is checked before anything is put.

use super::{
    GROUP_ROWS, Segment, SegmentMeta, SegmentStore,
    encode::{store, stored_type, vector_bytes},
    keys::KeySection,
    put_side,
    side::{Side, SideGroup, VectorPages},
    span::Span,
    statistics::{self, Bounds},
};
use crate::{
    error::{Error, Result},
    ids::{ColumnId, RowId},
    storage::{
        columns::{ColumnSpec, array_bytes, batch_of, column_name, columns_of},
        keys::KeySpec,
    },
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// A segment of this size is finished.
const SEGMENT_BYTES: usize = 128 << 20;
/// A row group of this size is finished, however few its rows.
const GROUP_BYTES: u64 = 64 << 20;
/// A page of vectors: the least that is read to get one of them.
const PAGE_BYTES: usize = 64 << 10;
/// Turns rows, in the order of their ids, into segments.
pub struct SegmentWriter {
    store: SegmentStore,
    columns: Vec<ColumnSpec>,
    keys: Vec<KeySpec>,
    schema: SchemaRef,
    segment_bytes: usize,
    /// Rows that are not yet a row group, and their ids.
    pending: Vec<RecordBatch>,
    pending_rows: Vec<u64>,
    pending_bytes: u64,
    next_row: u64,
    open: Option<Draft>,
    done: Vec<Arc<Segment>>,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentWriter({} rows, {} segments)", self.next_row, self.done.len())
    }
}

/// A segment that is being written.
struct Draft {
    writer: ArrowWriter<Vec<u8>>,
    first_row: u64,
    rows: u64,
    groups: Vec<DraftGroup>,
    /// By constraint, as in `keys`.
    entries: Vec<Vec<(u64, u32)>>,
}

struct DraftGroup {
    rows: usize,
    first: u32,
    offsets: Option<Arc<[u32]>>,
    /// By column: where it is NULL and, before Parquet, what its vectors' bytes are.
    vectors: BTreeMap<ColumnId, (RoaringBitmap, ArrayRef)>,
    /// By column.
    bounds: Vec<Bounds>,
}

impl SegmentWriter {
    /// A writer of these columns, which hashes these keys.
    #[must_use]
    pub fn new(store: &SegmentStore, columns: &[ColumnSpec], keys: &[KeySpec]) -> Self {
        let mut fields = vec![Field::new("row", DataType::UInt32, false)];
        fields.extend(columns.iter().map(|column| {
            Field::new(column_name(column.id), stored_type(&column.kind.arrow()), true)
        }));
        Self {
            store: store.clone(),
            columns: columns.to_vec(),
            keys: keys.to_vec(),
            schema: Arc::new(Schema::new(fields)),
            segment_bytes: SEGMENT_BYTES,
            pending: Vec::new(),
            pending_rows: Vec::new(),
            pending_bytes: 0,
            next_row: 0,
            open: None,
            done: Vec::new(),
        }
    }

    /// Finishes segments at this size in place of the usual one.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: usize) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Adds rows that have no ids yet: they are numbered on from the last, at first from 0.
    ///
    /// # Errors
    /// What the store fails with; the writer is then of no more use.
    pub async fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let first = self.next_row;
        let rows: Vec<_> = (first..first + batch.num_rows() as u64).map(RowId).collect();
        self.append_rows(batch, &rows).await
    }

    /// Adds rows with these ids, which ascend and lie above all earlier ones.
    ///
    /// # Errors
    /// What the store fails with; the writer is then of no more use.
    pub async fn append_rows(&mut self, batch: &RecordBatch, rows: &[RowId]) -> Result<()> {
        let arrays = columns_of(batch, &self.columns)?;
        let batch = batch_of(&self.columns, arrays, batch.num_rows())?;
        if rows.len() != batch.num_rows() || rows.first().is_some_and(|r| r.0 < self.next_row) {
            return Err(Error::internal("rows of a segment do not ascend"));
        }
        let mut at = 0;
        while at < batch.num_rows() {
            let room = GROUP_ROWS - self.pending_rows.len();
            let length = fitting(&batch, at, room, GROUP_BYTES.saturating_sub(self.pending_bytes));
            let part = batch.slice(at, length);
            self.pending_bytes += part.columns().iter().map(|c| array_bytes(c)).sum::<u64>();
            self.pending_rows.extend(rows[at..at + length].iter().map(|row| row.0));
            self.pending.push(part);
            at += length;
            self.next_row = rows[at - 1].0 + 1;
            if self.pending_rows.len() >= GROUP_ROWS || self.pending_bytes >= GROUP_BYTES {
                self.finish_group().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left; the segments, in the order of their rows.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn finish(mut self) -> Result<Vec<Arc<Segment>>> {
        self.finish_group().await?;
        self.finish_segment().await?;
        Ok(self.done)
    }

    async fn finish_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending_rows);
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let batch = concat_batches(&batches[0].schema(), &batches)?;
        // An offset within a segment has 32 bits.
        if self.open.as_ref().is_some_and(|draft| last - draft.first_row >= u64::from(u32::MAX)) {
            self.finish_segment().await?;
        }
        if self.open.is_none() {
            self.open = Some(self.draft(first)?);
        }
        let draft = self.open.as_mut().expect("a draft was opened");
        draft.add_group(&self.schema, &self.columns, &self.keys, &batch, &rows)?;
        if draft.writer.bytes_written() >= self.segment_bytes {
            self.finish_segment().await?;
        }
        Ok(())
    }

    fn draft(&self, first_row: u64) -> Result<Draft> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&self.columns))
            .with_skip_arrow_metadata(true);
        let schema = Arc::clone(&self.schema);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)?;
        let entries = vec![Vec::new(); self.keys.len()];
        Ok(Draft { writer, first_row, rows: 0, groups: Vec::new(), entries })
    }

    async fn finish_segment(&mut self) -> Result<()> {
        let Some(mut draft) = self.open.take() else { return Ok(()) };
        let parquet = draft.writer.finish()?;
        let bytes = Bytes::from(std::mem::take(draft.writer.inner_mut()));
        let mut blocks = Vec::new();
        let mut keys = BTreeMap::new();
        for (spec, entries) in self.keys.iter().zip(std::mem::take(&mut draft.entries)) {
            let section = KeySection::build(spec.columns.clone(), entries, &mut blocks)?;
            keys.insert(spec.constraint, section);
        }
        let bounds: Vec<_> = draft.groups.iter().map(|group| group.bounds.as_slice()).collect();
        let statistics = statistics::batch(&self.columns, &bounds)?;
        let side = Side {
            columns: self.columns.iter().map(|column| column.id).collect(),
            footer: footer_span(&parquet, &bytes)?,
            metadata: metadata(&bytes),
            groups: side_groups(&self.columns, draft.groups, &parquet, &bytes)?,
            keys,
            statistics,
        };
        let span = side.groups.last().map_or(0, |group| u64::from(group.end()));
        let (put, _side_pin) = put_side(&self.store, &side, &blocks).await?;
        let meta = SegmentMeta {
            id: self.store.fresh_id(),
            first_row: RowId(draft.first_row),
            span,
            rows: draft.rows,
            bytes: bytes.len() as u64,
            columns: side.columns.clone(),
            constraints: side.keys.keys().copied().collect(),
            side: put,
        };
        let _pin = self.store.pins().pin([meta.object()]);
        self.store.put(&meta.object(), bytes).await?;
        self.done.push(Arc::new(Segment::new(&self.store, meta, side)));
        Ok(())
    }
}

impl Draft {
    fn add_group(
        &mut self,
        schema: &SchemaRef,
        columns: &[ColumnSpec],
        keys: &[KeySpec],
        batch: &RecordBatch,
        rows: &[u64],
    ) -> Result<()> {
        let offsets: Vec<u32> = rows
            .iter()
            .map(|row| u32::try_from(row - self.first_row))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::internal("the rows of a row group lie too far apart"))?;
        let position =
            u32::try_from(self.rows).map_err(|_| Error::internal("a segment has too many rows"))?;
        for (spec, entries) in keys.iter().zip(&mut self.entries) {
            let hashes = spec.hashes(&columns_of(batch, &spec.specs(columns)?)?);
            entries.extend((position..).zip(hashes).filter_map(|(at, hash)| Some((hash?, at))));
        }
        let mut stored: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(offsets.clone()))];
        let mut vectors = BTreeMap::new();
        let mut bounds = Vec::new();
        for (spec, array) in columns.iter().zip(batch.columns()) {
            let encoded = store(array)?;
            if vector_bytes(array.data_type()).is_some() {
                vectors.insert(spec.id, (null_rows(array), Arc::clone(&encoded)));
            }
            bounds.push(statistics::bounds(&spec.kind, array)?);
            stored.push(encoded);
        }
        self.writer.write(&RecordBatch::try_new(Arc::clone(schema), stored)?)?;
        self.writer.flush()?;
        let first = offsets[0];
        let is_contiguous = offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        self.rows += rows.len() as u64;
        self.groups.push(DraftGroup {
            rows: rows.len(),
            first,
            offsets: (!is_contiguous).then(|| offsets.into()),
            vectors,
            bounds,
        });
        Ok(())
    }
}

/// How many rows from `at`, at least one and at most `rows`, fit into `bytes`.
fn fitting(batch: &RecordBatch, at: usize, rows: usize, bytes: u64) -> usize {
    let mut length = rows.min(batch.num_rows() - at).max(1);
    let size = |length| batch.slice(at, length).columns().iter().map(|c| array_bytes(c)).sum();
    while length > 1 && bytes < size(length) {
        length /= 2;
    }
    length
}

fn properties(columns: &[ColumnSpec]) -> WriterProperties {
    let row = ColumnPath::from("row");
    let mut builder = WriterProperties::builder()
        .set_created_by("nearlake".to_owned())
        .set_max_row_group_row_count(None)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(row.clone(), false)
        .set_column_encoding(row, Encoding::DELTA_BINARY_PACKED);
    for column in columns {
        let name = column_name(column.id);
        let path = match column.kind.arrow() {
            kind if vector_bytes(&kind).is_some() => ColumnPath::from(name),
            // Floats without declared dimensions: neither compresses, as of vectors.
            DataType::List(e) if matches!(e.data_type(), DataType::Float32 | DataType::Float16) => {
                ColumnPath::new(vec![name, "list".into(), "element".into()])
            }
            _ => continue,
        };
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::PLAIN)
            .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
            .set_column_data_page_size_limit(path, PAGE_BYTES);
    }
    builder.build()
}

fn null_rows(array: &ArrayRef) -> RoaringBitmap {
    let rows = u32::try_from(array.len()).expect("a row group is small");
    (0..rows).filter(|&row| array.is_null(row as usize)).collect()
}

/// The part of an object that Parquet's own metadata says something of.
fn span_of(at: u64, length: u64, bytes: &Bytes) -> Result<Span> {
    let place = |n: u64| usize::try_from(n).ok();
    let part = place(at).zip(place(at + length)).and_then(|(from, to)| bytes.get(from..to));
    let part = part.ok_or_else(|| Error::internal("parquet metadata points outside the object"))?;
    Ok(Span::of(at, part))
}

fn footer_span(parquet: &ParquetMetaData, bytes: &Bytes) -> Result<Span> {
    let chunks = parquet.row_groups().iter().flat_map(|group| group.columns());
    let end = chunks.map(|chunk| chunk.byte_range()).map(|(at, length)| at + length).max();
    let end = end.unwrap_or(0);
    span_of(end, (bytes.len() as u64).saturating_sub(end), bytes)
}

/// Parquet's own metadata with what says how long it is: the end of an object.
fn metadata(bytes: &Bytes) -> Option<Bytes> {
    let (rest, tail) = bytes.split_last_chunk::<8>()?;
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    Some(bytes.slice(rest.len().checked_sub(length)?..))
}

fn side_groups(
    columns: &[ColumnSpec],
    groups: Vec<DraftGroup>,
    parquet: &ParquetMetaData,
    bytes: &Bytes,
) -> Result<Vec<SideGroup>> {
    let mut side = Vec::with_capacity(groups.len());
    for (at, group) in groups.into_iter().enumerate() {
        let written = parquet.row_group(at);
        let chunks = written
            .columns()
            .iter()
            .map(|chunk| chunk.byte_range())
            .map(|(at, length)| span_of(at, length, bytes))
            .collect::<Result<_>>()?;
        let mut vectors = BTreeMap::new();
        for (leaf, column) in (1..).zip(columns) {
            let Some((nulls, values)) = group.vectors.get(&column.id) else { continue };
            let index = parquet.offset_index().and_then(|index| index.get(at)?.get(leaf));
            let index = index.ok_or_else(|| Error::internal("parquet wrote no offset index"))?;
            let mut pages = Vec::with_capacity(index.page_locations.len());
            let starts = index.page_locations.iter().map(|page| page.first_row_index);
            let ends = starts.clone().skip(1).chain([group.rows as i64]);
            for ((page, start), end) in index.page_locations.iter().zip(starts).zip(ends) {
                let (start, end) = (row_in_group(start)?, row_in_group(end)?);
                // Uncompressed PLAIN values are the last thing in their page.
                let expected = present_bytes(values, start as usize..end as usize)?;
                let page_end = u64::try_from(page.offset).unwrap_or(0)
                    + u64::try_from(page.compressed_page_size).unwrap_or(0);
                let length = expected.len() as u64;
                let span = span_of(page_end.saturating_sub(length), length, bytes)?;
                if span.crc != crc32c::crc32c(&expected) {
                    return Err(Error::internal("parquet put a page of vectors elsewhere"));
                }
                pages.push((start, span));
            }
            vectors.insert(column.id, VectorPages { pages, nulls: nulls.clone() });
        }
        let (rows, first, offsets) = (group.rows, group.first, group.offsets);
        side.push(SideGroup { rows, offsets, first, chunks, vectors });
    }
    Ok(side)
}

fn row_in_group(row: i64) -> Result<u32> {
    u32::try_from(row).map_err(|_| Error::internal("parquet counts rows beyond a row group"))
}

/// The bytes of the values that are not NULL.
fn present_bytes(values: &ArrayRef, rows: std::ops::Range<usize>) -> Result<Vec<u8>> {
    let values = values.as_any().downcast_ref::<arrow::array::FixedSizeBinaryArray>();
    let values = values.ok_or_else(|| Error::internal("stored vectors are not bytes"))?;
    let mut bytes = Vec::with_capacity(PAGE_BYTES);
    for row in rows.filter(|&row| values.is_valid(row)) {
        bytes.extend_from_slice(values.value(row));
    }
    Ok(bytes)
}
