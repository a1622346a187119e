//! The deleted rows of a table: a set that is copied on write by blocks of 65,536 rows.
//!
//! A state of a table and the one before it share every block that no delete touched, so a delete
//! costs a block, not the set. At a checkpoint the whole set becomes one object, described in
//! `docs/format/deletes.md`.

use super::{
    paths::{self, ObjectRef},
    segment::SegmentStore,
};
use crate::{
    error::{Error, Result},
    ids::RowId,
};
use bytes::Bytes;
use roaring::{RoaringBitmap, RoaringTreemap};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// What a deletes object begins with.
const MAGIC: &[u8; 8] = b"NLDEL001";
/// Rows of a block, as a number of bits.
const BLOCK_BITS: u32 = 16;

/// A set of rows, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deletes {
    /// By block number: the rows of the block, by their lowest 16 bits. No block is empty.
    blocks: Arc<BTreeMap<u64, Arc<RoaringBitmap>>>,
    rows: u64,
}

/// Block and place within it.
fn place(row: u64) -> (u64, u32) {
    let low = row & ((1 << BLOCK_BITS) - 1);
    (row >> BLOCK_BITS, u32::try_from(low).expect("16 bits"))
}

impl Deletes {
    pub(crate) fn from_rows(rows: impl Iterator<Item = u64>) -> Self {
        Self::default().with(rows)
    }

    pub(crate) fn len(&self) -> u64 {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn contains(&self, row: RowId) -> bool {
        let (block, low) = place(row.0);
        self.blocks.get(&block).is_some_and(|rows| rows.contains(low))
    }

    /// The set with these rows, which come in ascending order for speed.
    pub(crate) fn with(&self, rows: impl Iterator<Item = u64>) -> Self {
        let mut new = self.clone();
        let mut rows = rows.peekable();
        while let Some(&first) = rows.peek() {
            let (block, _) = place(first);
            let set = Arc::make_mut(&mut new.blocks).entry(block).or_default();
            let set = Arc::make_mut(set);
            while let Some(row) = rows.next_if(|&row| place(row).0 == block) {
                new.rows += u64::from(set.insert(place(row).1));
            }
        }
        new
    }

    /// The set without these rows, which come in ascending order for speed.
    pub(crate) fn without(&self, rows: impl Iterator<Item = u64>) -> Self {
        let mut new = self.clone();
        for row in rows {
            let (block, low) = place(row);
            if !new.blocks.get(&block).is_some_and(|rows| rows.contains(low)) {
                continue;
            }
            let blocks = Arc::make_mut(&mut new.blocks);
            let set = Arc::make_mut(blocks.get_mut(&block).expect("the block was found above"));
            set.remove(low);
            new.rows -= 1;
            if set.is_empty() {
                blocks.remove(&block);
            }
        }
        new
    }

    /// The rows of the set within a range, ascending.
    pub(crate) fn range(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let Range { start, end } = range;
        let blocks = place(start).0..end.max(start).div_ceil(1 << BLOCK_BITS).max(place(start).0);
        self.blocks.range(blocks).flat_map(move |(&block, rows)| {
            let first = block << BLOCK_BITS;
            let low = |row: u64| u32::try_from(row.saturating_sub(first)).unwrap_or(u32::MAX);
            rows.range(low(start)..low(end)).map(move |row| first + u64::from(row))
        })
    }

    /// All rows, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.range(0..u64::MAX)
    }

    /// The rows that are in this set and not in an older state of it: only blocks that are not
    /// shared are looked at.
    pub(crate) fn since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.blocks.iter().flat_map(move |(block, rows)| {
            let new = match older.blocks.get(block) {
                Some(old) if Arc::ptr_eq(old, rows) => RoaringBitmap::new(),
                Some(old) => rows.as_ref() - old.as_ref(),
                None => rows.as_ref().clone(),
            };
            new.into_iter().map(move |row| (block << BLOCK_BITS) + u64::from(row))
        })
    }
}

/// Writes a set as an object; an empty one needs none.
pub(super) async fn write(store: &SegmentStore, deletes: &Deletes) -> Result<Option<ObjectRef>> {
    if deletes.is_empty() {
        return Ok(None);
    }
    let mut set = RoaringTreemap::from_sorted_iter(deletes.iter())
        .map_err(|error| Error::internal("deleted rows are not sorted").source(error))?;
    set.optimize();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(deletes.len().to_le_bytes());
    set.serialize_into(&mut bytes)
        .map_err(|error| Error::internal("cannot serialise deleted rows").source(error))?;
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let path = paths::deletes(&store.fresh_id());
    let object = ObjectRef { path, bytes: bytes.len() as u64 };
    store.put(&object.path, Bytes::from(bytes)).await?;
    Ok(Some(object))
}

/// Reads what [`write`] wrote.
pub(super) async fn read(store: &SegmentStore, object: &ObjectRef) -> Result<Deletes> {
    let corrupt = |message: &str| Error::corrupt(&object.path, message);
    let bytes = store.range(&object.path, 0..object.bytes).await?;
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("it is too short"))?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(corrupt("its checksum differs"));
    }
    let body = body.strip_prefix(MAGIC).and_then(|body| body.split_first_chunk::<8>());
    let Some((rows, set)) = body else {
        return Err(corrupt("it is not a set of deleted rows of version 1"));
    };
    let set = RoaringTreemap::deserialize_from(set)
        .map_err(|error| corrupt("its bitmap is malformed").source(error))?;
    let deletes = Deletes::from_rows(set.iter());
    if deletes.len() != u64::from_le_bytes(*rows) {
        return Err(corrupt("it holds another number of rows than it says"));
    }
    Ok(deletes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_copies_one_block() {
        let old = Deletes::from_rows([5, 70_000, 200_000].into_iter());
        let new = old.with([6, 70_000].into_iter());

        assert_eq!((old.len(), new.len()), (3, 4));
        assert!(new.contains(RowId(6)) && !old.contains(RowId(6)));
        assert!(Arc::ptr_eq(&old.blocks[&3], &new.blocks[&3]));
        assert_eq!(new.since(&old).collect::<Vec<_>>(), [6]);
        assert_eq!(new.range(6..70_000).collect::<Vec<_>>(), [6]);
        assert_eq!(new.range(6..70_001).collect::<Vec<_>>(), [6, 70_000]);
        assert_eq!(new.iter().collect::<Vec<_>>(), [5, 6, 70_000, 200_000]);
        let less = new.without([5, 7, 200_000].into_iter());
        assert_eq!(less.iter().collect::<Vec<_>>(), [6, 70_000]);
        assert_eq!(less.len(), 2);
    }
}
