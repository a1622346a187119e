//! The keys of a segment: for each unique constraint its hashes, sorted, with the row of each.
//!
//! A lookup asks the filter first, which lies in memory and says of most absent hashes that they
//! are absent; then the fences, in memory too, name the one or two blocks that can hold the hash.
//! `docs/format/keys.md` has the bytes.

use super::span::Span;
use crate::{
    error::{Error, Result},
    ids::ColumnId,
    storage::paths::ObjectPath,
};
use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use std::{fmt, sync::Arc};

/// Entries of a block.
pub(super) const BLOCK_ENTRIES: usize = 512;
/// Bytes of an entry: a hash and the position of its row.
const ENTRY_BYTES: usize = 12;
/// Bytes of a fence: the first hash of a block and the block's checksum.
const FENCE_BYTES: usize = 12;
/// How often the filter lets pass what is not there.
const FALSE_POSITIVES: f64 = 0.005;

/// The keys of one constraint, without the blocks.
#[derive(Clone)]
pub(super) struct KeySection {
    pub(super) columns: Vec<ColumnId>,
    pub(super) entries: u64,
    /// The first block, counted from the end of the head.
    pub(super) at: u64,
    /// First hash and checksum of each block.
    fences: Arc<[(u64, u32)]>,
    filter: Arc<Sbbf>,
}

impl fmt::Debug for KeySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySection({:?}, {} entries)", self.columns, self.entries)
    }
}

impl KeySection {
    /// Sorts the entries and appends their blocks to `blocks`, the bytes behind the head.
    pub(super) fn build(
        columns: Vec<ColumnId>,
        mut entries: Vec<(u64, u32)>,
        blocks: &mut Vec<u8>,
    ) -> Result<Self> {
        entries.sort_unstable();
        let at = blocks.len() as u64;
        let mut filter = Sbbf::new_with_ndv_fpp(entries.len() as u64, FALSE_POSITIVES)?;
        let mut fences = Vec::with_capacity(entries.len().div_ceil(BLOCK_ENTRIES));
        for block in entries.chunks(BLOCK_ENTRIES) {
            let start = blocks.len();
            for &(hash, position) in block {
                filter.insert(&hash.cast_signed());
                blocks.extend(hash.to_le_bytes());
                blocks.extend(position.to_le_bytes());
            }
            fences.push((block[0].0, crc32c::crc32c(&blocks[start..])));
        }
        let (entries, fences) = (entries.len() as u64, fences.into());
        Ok(Self { columns, entries, at, fences, filter: Arc::new(filter) })
    }

    pub(super) fn encode_fences(&self, out: &mut Vec<u8>) {
        for (hash, crc) in self.fences.iter() {
            out.extend(hash.to_le_bytes());
            out.extend(crc.to_le_bytes());
        }
    }

    pub(super) fn encode_filter(&self, out: &mut Vec<u8>) {
        self.filter.write_bitset(out).expect("memory takes every write");
    }

    pub(super) fn decode(
        columns: Vec<ColumnId>,
        entries: u64,
        fences: &[u8],
        filter: &[u8],
        at: u64,
    ) -> Option<Self> {
        let blocks = usize::try_from(entries).ok()?.div_ceil(BLOCK_ENTRIES);
        if fences.len() != blocks * FENCE_BYTES
            || filter.is_empty()
            || !filter.len().is_multiple_of(32)
        {
            return None;
        }
        let (fences, _) = fences.as_chunks::<FENCE_BYTES>();
        let fences = fences.iter().filter_map(split).collect();
        Some(Self { columns, entries, at, fences, filter: Arc::new(Sbbf::new(filter)) })
    }

    /// The blocks that may hold a hash.
    pub(super) fn blocks_of(&self, hash: u64) -> std::ops::Range<usize> {
        if !self.filter.check(&hash.cast_signed()) {
            return 0..0;
        }
        // Equal hashes may begin at the end of the block before the first fence that is equal.
        let first = self.fences.partition_point(|&(fence, _)| fence < hash).saturating_sub(1);
        first..self.fences.partition_point(|&(fence, _)| fence <= hash)
    }

    /// Where a block lies, `head` being the length of the head.
    pub(super) fn span(&self, block: usize, head: u64) -> Span {
        let size = (BLOCK_ENTRIES * ENTRY_BYTES) as u64;
        let at = block as u64 * size;
        let bytes = size.min(self.entries * ENTRY_BYTES as u64 - at);
        Span { at: head + self.at + at, bytes, crc: self.fences[block].1 }
    }

    /// All blocks as one range.
    pub(super) fn range(&self, head: u64) -> std::ops::Range<u64> {
        let at = head + self.at;
        at..at + self.entries * ENTRY_BYTES as u64
    }

    /// Appends the blocks, read as one, to another side object.
    pub(super) fn copied(
        &self,
        bytes: &Bytes,
        blocks: &mut Vec<u8>,
        object: &ObjectPath,
    ) -> Result<Self> {
        for (block, &(_, crc)) in bytes.chunks(BLOCK_ENTRIES * ENTRY_BYTES).zip(self.fences.iter())
        {
            if crc32c::crc32c(block) != crc {
                return Err(Error::corrupt(object, "the checksum of a block of keys differs"));
            }
        }
        let copy = Self { at: blocks.len() as u64, ..self.clone() };
        blocks.extend_from_slice(bytes);
        Ok(copy)
    }
}

/// The entries of a block whose checksum is right.
pub(super) fn entries_of(block: Bytes) -> Result<ArrayRef> {
    let width = i32::try_from(ENTRY_BYTES).expect("an entry is small");
    Ok(Arc::new(FixedSizeBinaryArray::try_new(width, block.into(), None)?))
}

/// The positions of the rows with this hash, among the entries of a block.
pub(super) fn positions_in(entries: &[u8], hash: u64) -> impl Iterator<Item = u32> + '_ {
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    let first = entries.partition_point(|entry| split(entry).is_some_and(|(h, _)| h < hash));
    entries[first..]
        .iter()
        .filter_map(split)
        .map_while(move |(h, position)| (h == hash).then_some(position))
}

fn split(entry: &[u8; 12]) -> Option<(u64, u32)> {
    let (hash, rest) = entry.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*hash), u32::from_le_bytes(*rest.first_chunk::<4>()?)))
}
