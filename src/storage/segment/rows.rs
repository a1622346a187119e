//! The ids of rows that lie together.

use crate::ids::RowId;
use std::{ops::Range, sync::Arc};

/// Ids of the rows of a group, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowIds {
    /// All ids from `first`.
    Contiguous {
        /// The first.
        first: RowId,
        /// How many.
        len: usize,
    },
    /// Ids with gaps, where rows were dropped.
    Sparse {
        /// What the offsets count from.
        base: RowId,
        /// The ids less the base, ascending.
        offsets: Arc<[u32]>,
    },
}

impl RowIds {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Contiguous { len, .. } => *len,
            Self::Sparse { offsets, .. } => offsets.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the row at a position, which must be less than `len`.
    #[must_use]
    pub fn row(&self, position: usize) -> RowId {
        match self {
            Self::Contiguous { first, .. } => RowId(first.0 + position as u64),
            Self::Sparse { base, offsets } => RowId(base.0 + u64::from(offsets[position])),
        }
    }

    /// Where a row is, if it is there.
    #[must_use]
    pub fn position(&self, row: RowId) -> Option<usize> {
        match self {
            Self::Contiguous { first, len } => {
                let position = usize::try_from(row.0.checked_sub(first.0)?).ok()?;
                (position < *len).then_some(position)
            }
            Self::Sparse { base, offsets } => {
                let offset = u32::try_from(row.0.checked_sub(base.0)?).ok()?;
                offsets.binary_search(&offset).ok()
            }
        }
    }

    /// The position of the first row that is not below this one.
    #[must_use]
    pub fn first_from(&self, row: RowId) -> usize {
        match self {
            Self::Contiguous { first, len } => {
                let position = row.0.saturating_sub(first.0);
                usize::try_from(position).unwrap_or(usize::MAX).min(*len)
            }
            Self::Sparse { base, offsets } => {
                let offset = row.0.saturating_sub(base.0);
                offsets.partition_point(|&at| u64::from(at) < offset)
            }
        }
    }

    /// All ids.
    pub fn iter(&self) -> impl Iterator<Item = RowId> + '_ {
        (0..self.len()).map(|position| self.row(position))
    }

    /// The runs of contiguous ids.
    pub(in crate::storage) fn runs(&self) -> Vec<Range<RowId>> {
        match self {
            Self::Contiguous { first, len } => vec![*first..RowId(first.0 + *len as u64)],
            Self::Sparse { base, offsets } => offsets
                .chunk_by(|a, b| a + 1 == *b)
                .map(|run| {
                    let first = base.0 + u64::from(run[0]);
                    RowId(first)..RowId(first + run.len() as u64)
                })
                .collect(),
        }
    }
}
