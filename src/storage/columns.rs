//! Columns as storage knows them, by number and type, and the cache of decoded ones.
//!
//! Storage never learns a column's name: a batch calls column 3 `c3`, whatever SQL calls it. What
//! was read and decoded once stays in a [`ColumnCache`], bounded in bytes and shared by all
//! segments, so that fetching ten rows by their ids costs microseconds.

use crate::{
    error::{Error, Result},
    ids::ColumnId,
    pgtype::PgType,
    storage::reads,
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array},
    compute::take,
    datatypes::{Field, Schema},
};
use foyer::{Cache, CacheBuilder, S3FifoConfig};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One column of a table.
#[derive(Debug, Clone)]
pub struct ColumnSpec {
    /// Its number.
    pub id: ColumnId,
    /// Its type.
    pub kind: PgType,
    /// The value, an array of length 1, of rows written before the column was added; `None` = NULL.
    pub missing: Option<ArrayRef>,
}

impl ColumnSpec {
    /// A column that is NULL in rows older than itself.
    #[must_use]
    pub fn new(id: ColumnId, kind: PgType) -> Self {
        Self { id, kind, missing: None }
    }

    /// The Arrow field of the column in a batch.
    #[must_use]
    pub fn field(&self) -> Field {
        self.kind.field(&column_name(self.id), true)
    }

    /// The column in `rows` rows that were written before it was added.
    pub(crate) fn filled(&self, rows: usize) -> Result<ArrayRef> {
        match &self.missing {
            None => Ok(new_null_array(&self.kind.arrow(), rows)),
            Some(value) => Ok(take(value, &UInt32Array::from(vec![0; rows]), None)?),
        }
    }
}

/// What a batch calls a column: `c3`.
#[must_use]
pub fn column_name(id: ColumnId) -> String {
    format!("c{id}")
}

/// A batch of these columns, which may be none.
pub(crate) fn batch_of(
    columns: &[ColumnSpec],
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let schema = Schema::new(columns.iter().map(ColumnSpec::field).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)?)
}

/// A batch's columns in the order of `columns`, those that it lacks filled in.
pub(crate) fn columns_of(batch: &RecordBatch, columns: &[ColumnSpec]) -> Result<Vec<ArrayRef>> {
    columns
        .iter()
        .map(|spec| match batch.column_by_name(&column_name(spec.id)) {
            None => spec.filled(batch.num_rows()),
            Some(array) if *array.data_type() == spec.kind.arrow() => Ok(Arc::clone(array)),
            Some(array) => Err(Error::internal(format!(
                "column {} holds {}, not {}",
                spec.id,
                array.data_type(),
                spec.kind
            ))),
        })
        .collect()
}

/// Bytes that an array's rows take, without what its buffers hold besides.
pub(crate) fn array_bytes(array: &dyn Array) -> u64 {
    let bytes = array.to_data().get_slice_memory_size().unwrap_or(0);
    u64::try_from(bytes).expect("memory fits 64 bits")
}

/// Bytes that a batch's rows take.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| array_bytes(column)).sum()
}

/// A decoded part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CacheKey {
    /// A column of a row group, or a page of it.
    Column {
        segment: u128,
        group: usize,
        column: ColumnId,
        /// `None`: all pages.
        page: Option<usize>,
    },
    /// A block of keys in a side object, by where it begins.
    Keys { side: u128, at: u64 },
}

/// Decoded columns, and keys, of hot segments, bounded in bytes. A scan of everything does not drive
/// out what is read again and again.
pub struct ColumnCache {
    arrays: Cache<CacheKey, ArrayRef>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How well a [`ColumnCache`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCacheCounts {
    /// Arrays that were there.
    pub hits: u64,
    /// Arrays that had to be read and decoded.
    pub misses: u64,
    /// Bytes that lie in it now.
    pub bytes: u64,
}

impl ColumnCache {
    /// A cache of at most about this many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        // A shard must hold several of the largest columns, some 16 MiB each.
        let shards = (bytes >> 26).clamp(1, 16);
        let arrays = CacheBuilder::new(bytes)
            .with_name("columns")
            .with_shards(shards)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_: &CacheKey, array: &ArrayRef| array.get_array_memory_size())
            .build();
        Self { arrays, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Hits and misses since the start, bytes now.
    #[must_use]
    pub fn counts(&self) -> ColumnCacheCounts {
        ColumnCacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: u64::try_from(self.arrays.usage()).expect("memory fits 64 bits"),
        }
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<ArrayRef> {
        let found = self.arrays.get(key).map(|entry| Arc::clone(entry.value()));
        // One that is absent is counted where it is read.
        reads::near(usize::from(found.is_some()));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether the array is there, without counting the question.
    pub(crate) fn holds(&self, key: &CacheKey) -> bool {
        self.arrays.contains(key)
    }

    pub(crate) fn insert(&self, key: CacheKey, array: ArrayRef) {
        self.arrays.insert(key, array);
    }
}

impl fmt::Debug for ColumnCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn the_cache_keeps_its_bound_and_counts() {
        let cache = ColumnCache::new(1 << 20);
        let key = |group| CacheKey::Column { segment: 1, group, column: ColumnId(1), page: None };
        for group in 0..100 {
            cache.insert(key(group), Arc::new(Int64Array::from(vec![0; 8192])));
        }

        assert!(cache.get(&key(99)).is_some());
        assert!(cache.get(&key(100)).is_none());
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses), (1, 1));
        assert!(counts.bytes <= 1 << 20 && counts.bytes >= 8 * 8192);
    }
}
