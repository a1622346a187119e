//! Rows that may have a key: a lookup asks each segment which blocks of keys it takes, reads those
//! that are not in memory, and looks into them. Most segments have none, and a hot one has all of
//! them in the cache, so that a lookup mostly waits for nothing.

use super::{Segment, keys, span::Span};
use crate::{
    error::Result,
    ids::{Oid, RowId},
    storage::columns::CacheKey,
};
use arrow::array::{ArrayRef, AsArray as _};
use bytes::Bytes;
use std::sync::Arc;

/// The blocks of keys that a lookup takes in a segment.
#[derive(Debug)]
pub(in crate::storage) struct KeyBlocks {
    /// Which block may hold which hash, by their places; ascending.
    wanted: Vec<(usize, usize)>,
    /// Each of these blocks: where it lies, and its entries where they are known.
    blocks: Vec<(Span, Option<ArrayRef>)>,
}

impl KeyBlocks {
    /// Whether none has to be read.
    pub(in crate::storage) fn are_at_hand(&self) -> bool {
        self.blocks.iter().all(|(_, entries)| entries.is_some())
    }
}

impl Segment {
    /// The blocks that may hold these hashes, those in memory with their entries. `None` when the
    /// segment lacks the constraint's keys.
    pub(in crate::storage) fn key_blocks(
        &self,
        constraint: Oid,
        hashes: &[u64],
    ) -> Option<KeyBlocks> {
        let section = self.shared.side.keys.get(&constraint)?;
        let blocks_of = |(at, &hash)| section.blocks_of(hash).map(move |block| (block, at));
        let mut wanted: Vec<(usize, usize)> =
            hashes.iter().enumerate().flat_map(blocks_of).collect();
        wanted.sort_unstable();
        let distinct = wanted.chunk_by(|a, b| a.0 == b.0).map(|same| same[0].0);
        let block = |block| {
            let span = section.span(block, self.meta.side.head_bytes);
            (span, self.shared.store.cache.get(&self.block_key(&span)))
        };
        let blocks = distinct.map(block).collect();
        Some(KeyBlocks { wanted, blocks })
    }

    /// Reads the blocks that are not in memory.
    pub(in crate::storage) async fn read_keys(&self, mut keys: KeyBlocks) -> Result<KeyBlocks> {
        let store = &self.shared.store;
        let absent = keys.blocks.iter().filter(|(_, entries)| entries.is_none());
        let spans: Vec<Span> = absent.map(|(span, _)| *span).collect();
        let read = store.checked(&self.meta.side.object(), &spans).await?;
        let absent = keys.blocks.iter_mut().filter(|(_, entries)| entries.is_none());
        for ((span, entries), bytes) in absent.zip(&read) {
            // A copy, lest a small block keep a large answer in memory.
            let block = keys::entries_of(Bytes::copy_from_slice(bytes))?;
            store.cache.insert(self.block_key(span), Arc::clone(&block));
            *entries = Some(block);
        }
        Ok(keys)
    }

    /// The rows that may have a key with one of these hashes, `(index of the hash, row)`, out of
    /// blocks that were read.
    pub(in crate::storage) fn key_candidates(
        &self,
        keys: &KeyBlocks,
        hashes: &[u64],
    ) -> Vec<(usize, RowId)> {
        let mut found = Vec::new();
        let same = keys.wanted.chunk_by(|a, b| a.0 == b.0);
        for (same, (_, entries)) in same.zip(&keys.blocks) {
            let Some(entries) = entries else { continue };
            let entries = entries.as_fixed_size_binary().value_data();
            for &(_, at) in same {
                for position in keys::positions_in(entries, hashes[at]) {
                    found.push((at, self.row_at(position)));
                }
            }
        }
        found
    }

    fn block_key(&self, span: &Span) -> CacheKey {
        CacheKey::Keys { side: self.shared.side_number, at: span.at }
    }

    /// The row at a position of the whole segment.
    fn row_at(&self, position: u32) -> RowId {
        let mut position = position as usize;
        for group in 0..self.groups() {
            let rows = self.group_rows(group);
            if position < rows {
                return self.row_ids(group).row(position);
            }
            position -= rows;
        }
        self.meta.end_row()
    }
}
