//! The side object of a segment: what must be known before its rows can be read, and its keys.
//!
//! `docs/format/segment.md` has the bytes. The head is read whole when a segment is opened: the
//! checksum of every column chunk, the row ids, the pages of vectors, minima and maxima, and of
//! every unique constraint a filter and the fences of its sorted blocks. The blocks lie behind the
//! head and are read one at a time.

use super::{keys::KeySection, span::Span};
use crate::{
    error::{Error, Result},
    ids::{ColumnId, Oid},
    storage::paths::ObjectPath,
};
use arrow::{
    array::RecordBatch,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Cursor, sync::Arc};

/// What a side object begins with.
const MAGIC: &[u8; 8] = b"NLSIDE01";

/// One row group of a segment.
#[derive(Debug, Clone)]
pub(super) struct SideGroup {
    pub(super) rows: usize,
    /// The ids of its rows, less the segment's first; `None`: they are contiguous from `first`.
    pub(super) offsets: Option<Arc<[u32]>>,
    /// Offset of its first row.
    pub(super) first: u32,
    /// By leaf of the Parquet schema: 0 is `row`, then the segment's columns.
    pub(super) chunks: Vec<Span>,
    pub(super) vectors: BTreeMap<ColumnId, VectorPages>,
}

impl SideGroup {
    /// Offset behind the last row.
    pub(super) fn end(&self) -> u32 {
        let last = match &self.offsets {
            None => self.first + u32::try_from(self.rows).expect("a row group is small") - 1,
            Some(offsets) => *offsets.last().expect("a row group has rows"),
        };
        last + 1
    }
}

/// Where each vector of a column of a row group lies.
#[derive(Debug, Clone)]
pub(super) struct VectorPages {
    /// First row of each page, within the row group, and its values.
    pub(super) pages: Vec<(u32, Span)>,
    /// The rows of the group whose vector is NULL: these have no bytes.
    pub(super) nulls: RoaringBitmap,
}

/// The head of a side object.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) columns: Vec<ColumnId>,
    /// Everything behind the last column chunk of the Parquet object.
    pub(super) footer: Span,
    /// The end of that: Parquet's own metadata, so that nobody waits for it. Older heads lack it.
    pub(super) metadata: Option<Bytes>,
    pub(super) groups: Vec<SideGroup>,
    pub(super) keys: BTreeMap<Oid, KeySection>,
    /// A row for each row group, columns `c1.min`, `c1.max`, ….
    pub(super) statistics: Option<RecordBatch>,
}

/// The head's description of itself, as JSON; a `Blob` points into what follows it.
#[derive(Serialize, Deserialize)]
struct Document {
    columns: Vec<ColumnId>,
    footer: Span,
    groups: Vec<GroupDocument>,
    keys: Vec<KeyDocument>,
    statistics: Option<Blob>,
    #[serde(default)]
    metadata: Option<Blob>,
}

#[derive(Serialize, Deserialize)]
struct GroupDocument {
    rows: usize,
    first: u32,
    offsets: Option<Blob>,
    chunks: Vec<Span>,
    vectors: Vec<VectorDocument>,
}

#[derive(Serialize, Deserialize)]
struct VectorDocument {
    column: ColumnId,
    pages: Vec<(u32, Span)>,
    nulls: Option<Blob>,
}

#[derive(Serialize, Deserialize)]
struct KeyDocument {
    constraint: Oid,
    columns: Vec<ColumnId>,
    entries: u64,
    fences: Blob,
    filter: Blob,
    /// The first block, counted from the end of the head.
    at: u64,
}

/// A range of the bytes behind the JSON.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Blob {
    at: usize,
    bytes: usize,
}

#[derive(Default)]
struct Blobs(Vec<u8>);

impl Blobs {
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Blob {
        let at = self.0.len();
        write(&mut self.0);
        Blob { at, bytes: self.0.len() - at }
    }

    fn add_bitmap(&mut self, mut bitmap: RoaringBitmap) -> Blob {
        bitmap.optimize();
        self.add(|out| bitmap.serialize_into(out).expect("memory takes every write"))
    }
}

impl Side {
    /// The head's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut blobs = Blobs::default();
        let groups = self.groups.iter().map(|group| group_document(group, &mut blobs)).collect();
        let keys = self
            .keys
            .iter()
            .map(|(&constraint, section)| KeyDocument {
                constraint,
                columns: section.columns.clone(),
                entries: section.entries,
                fences: blobs.add(|out| section.encode_fences(out)),
                filter: blobs.add(|out| section.encode_filter(out)),
                at: section.at,
            })
            .collect();
        let statistics = match &self.statistics {
            None => None,
            Some(batch) => {
                let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
                writer.write(batch)?;
                let bytes = writer.into_inner()?;
                Some(blobs.add(|out| out.extend(bytes)))
            }
        };
        let (columns, footer) = (self.columns.clone(), self.footer);
        let metadata = self.metadata.as_ref().map(|m| blobs.add(|out| out.extend_from_slice(m)));
        let document = Document { columns, footer, groups, keys, statistics, metadata };
        let json = serde_json::to_vec(&document)
            .map_err(|error| Error::internal("cannot describe a segment").source(error))?;
        let length = u32::try_from(json.len())
            .map_err(|_| Error::internal("the description of a segment exceeds 4 GiB"))?;
        Ok([MAGIC.as_slice(), &length.to_le_bytes(), &json, &blobs.0].concat())
    }

    /// Reads a head whose checksum is right. `head` is all of it.
    pub(super) fn decode(head: &Bytes, object: &ObjectPath) -> Result<Self> {
        Self::parse(head)
            .ok_or_else(|| Error::corrupt(object, "it is not a side object of version 1"))
    }

    fn parse(head: &Bytes) -> Option<Self> {
        let (length, rest) = head.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (json, blobs) = rest.split_at_checked(length)?;
        let document: Document = serde_json::from_slice(json).ok()?;
        let blob = |blob: Blob| blobs.get(blob.at..blob.at.checked_add(blob.bytes)?);
        let bitmap = |at: Blob| RoaringBitmap::deserialize_from(blob(at)?).ok();

        let mut groups = Vec::with_capacity(document.groups.len());
        for group in document.groups {
            let mut vectors = BTreeMap::new();
            for vector in group.vectors {
                let nulls = match vector.nulls {
                    None => RoaringBitmap::new(),
                    Some(nulls) => bitmap(nulls)?,
                };
                vectors.insert(vector.column, VectorPages { pages: vector.pages, nulls });
            }
            let offsets = match group.offsets {
                None => None,
                Some(offsets) => Some(bitmap(offsets)?.into_iter().collect()),
            };
            let (rows, first, chunks) = (group.rows, group.first, group.chunks);
            groups.push(SideGroup { rows, offsets, first, chunks, vectors });
        }
        let mut keys = BTreeMap::new();
        for key in document.keys {
            let (fences, filter) = (blob(key.fences)?, blob(key.filter)?);
            let section = KeySection::decode(key.columns, key.entries, fences, filter, key.at)?;
            keys.insert(key.constraint, section);
        }
        let statistics = match document.statistics {
            None => None,
            Some(at) => StreamReader::try_new(Cursor::new(blob(at)?), None).ok()?.next()?.ok(),
        };
        let metadata = match document.metadata {
            None => None,
            Some(at) => Some(Bytes::copy_from_slice(blob(at)?)),
        };
        let (columns, footer) = (document.columns, document.footer);
        Some(Self { columns, footer, metadata, groups, keys, statistics })
    }
}

fn group_document(group: &SideGroup, blobs: &mut Blobs) -> GroupDocument {
    let offsets = group.offsets.as_ref().map(|offsets| {
        let sorted = RoaringBitmap::from_sorted_iter(offsets.iter().copied());
        blobs.add_bitmap(sorted.expect("rows ascend"))
    });
    let vectors = group
        .vectors
        .iter()
        .map(|(&column, vectors)| VectorDocument {
            column,
            pages: vectors.pages.clone(),
            nulls: (!vectors.nulls.is_empty()).then(|| blobs.add_bitmap(vectors.nulls.clone())),
        })
        .collect();
    let (rows, first, chunks) = (group.rows, group.first, group.chunks.clone());
    GroupDocument { rows, first, offsets, chunks, vectors }
}
