//! What conditions answered for groups of segments, kept.
//!
//! Segments never change, and a condition here has no parameter left: its answer for a row is the
//! same for ever. What is asked of rows that are gone is masked by whoever asks. Rows of the memtable
//! are few, and asked anew each time.

use crate::{clock::SharedClock, ids::ColumnId, storage::segment::GroupId};
use arrow::buffer::BooleanBuffer;
use datafusion::{
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    physical_expr::{PhysicalExpr, expressions::Literal},
};
use foyer::{Cache, CacheBuilder, S3FifoConfig};
use std::{
    any::Any,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A condition in which every parameter has its value.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Over `columns`, by their places in this list.
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) columns: Vec<ColumnId>,
    hash: u64,
    bytes: usize,
}

/// What an operator or a column of a condition takes, about.
const PART_BYTES: usize = 64;

impl Condition {
    pub(super) fn new(expr: Arc<dyn PhysicalExpr>, columns: Vec<ColumnId>) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        (&expr, &columns).hash(&mut hasher);
        let mut bytes = 0;
        let _ = expr.apply(|part| {
            let literal: Option<&Literal> = (part.as_ref() as &dyn Any).downcast_ref();
            bytes += PART_BYTES + literal.map_or(0, |literal| literal.value().size());
            Ok(TreeNodeRecursion::Continue)
        });
        Arc::new(Self { expr, columns, hash: hasher.finish(), bytes })
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.columns == other.columns && *self.expr == *other.expr
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// For which rows of a group something is true, by their positions.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    None,
    Some(BooleanBuffer),
    All,
}

impl Answer {
    pub(super) fn some(bits: BooleanBuffer) -> Self {
        match bits.count_set_bits() {
            0 => Self::None,
            all if all == bits.len() => Self::All,
            _ => Self::Some(bits),
        }
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The bits, where it is not the same for all rows.
    pub(super) fn bits(&self) -> Option<&BooleanBuffer> {
        match self {
            Self::Some(bits) => Some(bits),
            Self::None | Self::All => None,
        }
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, answer) | (answer, Self::All) => answer.clone(),
            (Self::Some(a), Self::Some(b)) => Self::some(a & b),
        }
    }

    /// How many of so many rows it is true for.
    pub(super) fn count(&self, rows: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Some(bits) => bits.count_set_bits(),
            Self::All => rows,
        }
    }

    fn bytes(&self) -> usize {
        self.bits().map_or(0, |bits| bits.len().div_ceil(8))
    }
}

/// Beside its bits, what an answer takes.
const ANSWER_BYTES: usize = 160;

/// The answers that are kept, bounded in bytes.
pub struct Answers {
    /// How long it takes to ask is measured by it.
    clock: SharedClock,
    kept: Cache<(Arc<Condition>, GroupId), Answer>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Answers {
    /// Room for about so many bytes.
    #[must_use]
    pub fn new(bytes: usize, clock: SharedClock) -> Self {
        let shards = (bytes >> 22).clamp(1, 16);
        let kept = CacheBuilder::new(bytes)
            .with_name("filters")
            .with_shards(shards)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_: &(Arc<Condition>, GroupId), answer: &Answer| {
                ANSWER_BYTES + answer.bytes()
            })
            .build();
        Self { clock, kept, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Answers that were there, and that were not, since the start.
    #[must_use]
    pub fn counters(&self) -> (&AtomicU64, &AtomicU64) {
        (&self.hits, &self.misses)
    }

    /// Bytes that are kept now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.kept.usage()).expect("memory fits 64 bits")
    }

    pub(super) fn get(&self, condition: &Arc<Condition>, group: GroupId) -> Option<Answer> {
        let key = (Arc::clone(condition), group);
        let found = self.kept.get(&key).map(|entry| entry.value().clone());
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether the answer is there, without counting the question.
    pub(super) fn has(&self, condition: &Arc<Condition>, group: GroupId) -> bool {
        self.kept.contains(&(Arc::clone(condition), group))
    }

    pub(super) fn keep(&self, condition: &Arc<Condition>, group: GroupId, answer: Answer) {
        self.kept.insert((Arc::clone(condition), group), answer);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
