//! How the memory of a node is divided. Embedding models share what is left.

use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use std::{num::NonZeroUsize, sync::Arc};

/// What takes most of it, in bytes.
pub(super) struct Memory {
    /// Decoded columns.
    pub(super) columns: usize,
    /// Postings of indexes.
    pub(super) postings: u64,
    /// Ranges of objects.
    pub(super) ranges: u64,
    /// What conditions answered.
    pub(super) filters: usize,
    /// What running statements share.
    pub(super) queries: Arc<dyn MemoryPool>,
}

impl Memory {
    pub(super) fn of(bytes: u64) -> Self {
        let share = |percent: u64| bytes / 100 * percent;
        let size = |percent| usize::try_from(share(percent)).unwrap_or(usize::MAX);
        let consumers = NonZeroUsize::new(3).expect("three is not zero");
        Self {
            columns: size(30),
            postings: share(20),
            ranges: share(5),
            filters: size(2),
            queries: Arc::new(TrackConsumersPool::new(FairSpillPool::new(size(30)), consumers)),
        }
    }
}
