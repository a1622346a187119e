//! The Rust face of SPFresh: an index of the vectors of one column.
//!
//! An [`Index`] is an immutable version, cheap to clone. What changes it returns the next version
//! and leaves this one as it is, so that a search that began goes on undisturbed. One task at a time
//! changes an index; any number may search any of its versions.
//!
//! ```text
//! rows ──> Training, load, loaded, settle ────────┐                      ┌──> search ──> Found
//!          Index::empty ──────────────────────────┼──> Index ──> insert ─┼──> settle, sweep ──> Index
//!          Index::open <── IndexCheckpoint <── checkpoint <──────────────┘
//! ```
//!
//! **What is in it.** Every row below [`Index::watermark`] that was handed in and whose vector has a
//! place. Those without a place (zero under cosine, squares that overflow) are listed by
//! [`Index::left_out`] and never found: the caller measures them itself, as it does rows from the
//! watermark on (exec/neighbours.rs). Nothing is deleted from an index: a search is told which rows may be found, and
//! [`Index::sweep`] finds entries whose rows are dead for every reader, and drops them.
//!
//! **The life of a chunk.** A posting's entries lie in chunks, in memory when made. [`Index::checkpoint`]
//! writes those that are not stored yet; when the manifest that names the checkpoint is durable,
//! [`Index::adopt`] lets them go from memory by need, and they are read again lazily: first what a scan
//! reads, and of few of them the records.
//!
//! **The core** (`spfresh/`, behind `ffi.rs`) decides which postings are near, scores them, and splits,
//! merges and reassigns; it reads nothing and keeps no time. Here is what waits.

mod builder;
mod checkpoint;
mod costs;
mod directory;
mod ffi;
mod options;
mod posting;
mod search;
mod store;
mod tally;
mod upkeep;
mod verify;
mod warm;

#[cfg(test)]
mod tests;

pub use builder::{Slice, Stage, Training, Watch};
pub use checkpoint::{IndexCheckpoint, ObjectRef, Summaries};
pub use costs::Unit;
pub use ffi::set_thread_slice;
pub use options::{IndexOptions, Spill, indexed_metric};
pub use posting::Hold;
pub use search::{Found, Hit, MayHold, Search};
pub use store::{ObjectSink, ObjectSource, PostingStore, Put};
pub use tally::UpkeepCounts;
pub use upkeep::{Sweep, Swept};
pub use verify::{Check, Report, Verification};

use crate::{
    error::{Error, ErrorKind, Result, SqlState},
    ids::RowId,
    vector::Metric,
};
use posting::Postings;
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, Ordering},
};

/// One immutable version of an index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Index(Arc<Inner>);

/// Tells a version of an index from all others: see [`Index::mark`].
#[derive(Debug, Clone)]
pub struct Mark(Weak<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    options: IndexOptions,
    stage: Stage,
    core: ffi::Version,
    postings: Postings,
    watermark: RowId,
    /// Ascending.
    left_out: Arc<Vec<RowId>>,
    /// Whence stored chunks are read; unset until the first checkpoint. Shared by all versions.
    store: Arc<OnceLock<Arc<PostingStore>>>,
    /// See [`Index::is_clean_of`].
    clean_of: u64,
    /// Shared by all versions.
    damaged: Arc<AtomicBool>,
    /// Shared by all versions.
    costs: Arc<costs::Costs>,
    /// Shared by all versions.
    tally: Arc<tally::Tally>,
}

impl Inner {
    /// All of a version that has no rows.
    fn new(options: IndexOptions, core: ffi::Version) -> Self {
        Self {
            options,
            stage: Stage::Whole,
            core,
            postings: Postings::default(),
            watermark: RowId(0),
            left_out: Arc::default(),
            store: Arc::default(),
            clean_of: 0,
            damaged: Arc::default(),
            costs: Arc::default(),
            tally: Arc::default(),
        }
    }
}

/// How large an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStats {
    /// Postings.
    pub postings: u32,
    /// Entries of all postings, second copies and dead rows included.
    pub entries: u64,
    /// Bytes of all postings, wherever they are.
    pub bytes: u64,
    /// Bytes of postings that are in memory.
    pub resident_bytes: u64,
    /// Bytes of postings that no durable checkpoint names yet.
    pub unstored_bytes: u64,
    /// Rows that have no place in the index.
    pub left_out: u64,
    /// Entries when the stop rule was last calibrated; 0 = never, and searches are exact.
    pub calibrated_entries: u64,
}

impl Index {
    /// An index of nothing.
    pub fn empty(options: IndexOptions) -> Result<Self> {
        options.check()?;
        let core = ffi::Version::empty(&options)?;
        Ok(Self(Arc::new(Inner::new(options, core))))
    }

    /// Adds rows, which ascend and are not below the watermark; `vectors` are theirs, one behind the
    /// other. The watermark rises above them. Splits nothing: [`Index::settle`] does, later.
    pub fn insert(&self, rows: &[RowId], vectors: &[f32]) -> Result<Self> {
        let words = checked_rows(&self.0.options, rows, vectors)?;
        if rows.first().is_some_and(|&row| row < self.0.watermark) {
            return Err(Error::internal("a row was handed to an index a second time"));
        }
        let change = self.0.core.insert(&words, vectors)?;
        let mut next = self.with(change)?;
        if let Some(&last) = rows.last() {
            next.watermark = RowId(last.0 + 1);
        }
        Ok(Self(Arc::new(next)))
    }

    /// The same with a watermark at least as high: the rows up to there have no vector.
    #[must_use]
    pub fn advance(&self, watermark: RowId) -> Self {
        if watermark <= self.0.watermark {
            return self.clone();
        }
        Self(Arc::new(Inner { watermark, ..Inner::clone(&self.0) }))
    }

    /// Every row below this that was handed in is here, or left out.
    #[must_use]
    pub fn watermark(&self) -> RowId {
        self.0.watermark
    }

    /// The rows below the watermark that a search never finds since their vectors have no place: zero
    /// under cosine, not finite, or too long to be squared. Ascending.
    #[must_use]
    pub fn left_out(&self) -> &[RowId] {
        &self.0.left_out
    }

    /// Whether a search for this vector can be made: false for one without a place, and for one of
    /// other dimensions.
    #[must_use]
    pub fn has_place(&self, query: &[f32]) -> bool {
        self.0.core.has_place(query)
    }

    /// Whether both are versions of one index: one that was made of the other by changes.
    #[must_use]
    pub fn is_kin(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.damaged, &other.0.damaged)
    }

    /// What tells this version from all others, and keeps none of it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(Arc::downgrade(&self.0))
    }

    /// Whether it is the version that a mark was of.
    #[must_use]
    pub fn is(&self, mark: &Mark) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.0), mark.0.as_ptr())
    }

    /// What this index is of.
    #[must_use]
    pub fn options(&self) -> &IndexOptions {
        &self.0.options
    }

    /// How large it is.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        let mut stats = IndexStats {
            postings: self.0.core.postings(),
            entries: self.0.core.entries(),
            bytes: 0,
            resident_bytes: 0,
            unstored_bytes: 0,
            left_out: self.0.left_out.len() as u64,
            calibrated_entries: self.0.core.calibrated_entries(),
        };
        for chunk in self.0.postings.iter().flat_map(|(_, posting)| &posting.chunks) {
            let (scan, records) = chunk.resident_len();
            stats.bytes += chunk.bytes();
            stats.resident_bytes += u64::from(scan) + u64::from(records);
            stats.unstored_bytes += if chunk.is_stored() { 0 } else { chunk.bytes() };
        }
        stats
    }

    /// The version that a change of the core makes of this one.
    fn with(&self, change: ffi::Change) -> Result<Inner> {
        let mut next = Inner::clone(&self.0);
        next.core = change.version;
        next.postings.apply(change.postings)?;
        if !change.left_out.is_empty() {
            Arc::make_mut(&mut next.left_out).extend(change.left_out.into_iter().map(RowId));
        }
        Ok(next)
    }

    /// These chunks in memory with their records, read where they are not.
    async fn fetch(&self, chunks: &[Arc<posting::Chunk>]) -> Result<Vec<ffi::Chunk>> {
        self.fetch_parts(chunks.iter().map(store::Want::whole).collect()).await
    }

    /// What is wanted of these chunks, in one round of reads for all that is not in memory.
    async fn fetch_parts(&self, wants: Vec<store::Want>) -> Result<Vec<ffi::Chunk>> {
        let here: Option<Vec<_>> = wants.iter().map(store::Want::resident).collect();
        if let Some(here) = here {
            return Ok(here);
        }
        let store =
            self.0.store.get().ok_or_else(|| {
                Error::internal("a posting was taken out of memory without a store")
            })?;
        let read = store.fetch(&wants, self.0.core.stride()).await;
        if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            self.0.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    /// Whether an object of it turned out to be lost or damaged, in this version or another: searches
    /// of it may fail from now on, and it should be built again.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Relaxed)
    }
}

/// The distance of a query to each vector, as the metric's SQL operator shows it and as pgvector
/// computes it: sums in float, what follows in double. `out` has a place for each vector.
///
/// # Panics
///
/// When `vectors` is not `out.len()` vectors of the query's length.
pub fn distances(metric: Metric, query: &[f32], vectors: &[f32], out: &mut [f64]) {
    ffi::distances(metric, query, vectors, out);
}

/// The same for some of the vectors, wherever they lie.
///
/// # Panics
///
/// When `at` and `out` differ in length, or one of `at` is not the place of a vector.
pub fn distances_at(metric: Metric, query: &[f32], vectors: &[f32], at: &[u32], out: &mut [f64]) {
    ffi::distances_at(metric, query, vectors, at, out);
}

/// Which instructions the distance kernels use on this machine, for the log.
#[must_use]
pub fn kernel_target() -> &'static str {
    ffi::kernel_target()
}

/// What pgvector says to a vector of another length.
fn expected_dims(expected: u32, found: usize) -> Error {
    Error::new(SqlState::DATA_EXCEPTION, format!("expected {expected} dimensions, not {found}"))
}

/// The rows as numbers, when they ascend and have a vector each.
fn checked_rows(options: &IndexOptions, rows: &[RowId], vectors: &[f32]) -> Result<Vec<u64>> {
    if vectors.len() != rows.len() * options.dims as usize {
        let each = vectors.len().checked_div(rows.len()).unwrap_or(vectors.len());
        return Err(expected_dims(options.dims, each));
    }
    let is_ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_ascending || rows.last().is_some_and(|row| row.0 >= posting::ROW_END) {
        return Err(Error::internal("the rows of an index do not ascend"));
    }
    Ok(rows.iter().map(|row| row.0).collect())
}
