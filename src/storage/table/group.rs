//! Some thousands of rows that are read together.

use super::{Part, TableState};
use crate::{
    error::Result,
    ids::{ColumnId, RowId},
    storage::{
        columns::{ColumnSpec, columns_of},
        deletes::Deletes,
        segment::{GroupId, RowIds},
    },
};
use arrow::buffer::MutableBuffer;
use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array},
    buffer::BooleanBuffer,
    compute::take,
    util::bit_util::unset_bit,
};
use std::ops::Range;

/// A chunk of the memtable or a row group of a segment, as one state of its table has it.
#[derive(Debug, Clone)]
pub struct Group {
    part: Part,
    at: usize,
    deletes: Deletes,
}

impl Group {
    pub(super) fn new(part: Part, at: usize, deletes: Deletes) -> Self {
        Self { part, at, deletes }
    }

    /// The id of the first row.
    #[must_use]
    pub fn first_row(&self) -> RowId {
        self.range().start
    }

    /// Behind the id of the last row.
    #[must_use]
    pub fn end_row(&self) -> RowId {
        self.range().end
    }

    /// How many rows it has, deleted or not.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.part {
            Part::Segment(segment) => segment.group_rows(self.at),
            Part::Chunk(chunk) => chunk.batch().num_rows(),
        }
    }

    /// Whether it has none; no group of a table has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of its rows, by position.
    #[must_use]
    pub fn row_ids(&self) -> RowIds {
        match &self.part {
            Part::Segment(segment) => segment.row_ids(self.at),
            Part::Chunk(chunk) => chunk.row_ids(),
        }
    }

    /// Whether a row of it is deleted.
    #[must_use]
    pub fn has_deletes(&self) -> bool {
        self.deleted().next().is_some()
    }

    /// Which positions are not deleted; `None`: all of them.
    #[must_use]
    pub fn live_mask(&self) -> Option<BooleanBuffer> {
        let mut deleted = self.deleted().peekable();
        deleted.peek()?;
        let (rows, ids) = (self.len(), self.row_ids());
        let mut mask = MutableBuffer::new(rows.div_ceil(8)).with_bitset(rows.div_ceil(8), true);
        for position in deleted.filter_map(|row| ids.position(RowId(row))) {
            unset_bit(&mut mask, position);
        }
        Some(BooleanBuffer::new(mask.into(), 0, rows))
    }

    /// Its rows as they were appended; `None` when they are in a segment.
    #[must_use]
    pub fn memtable_batch(&self) -> Option<&RecordBatch> {
        match &self.part {
            Part::Segment(_) => None,
            Part::Chunk(chunk) => Some(chunk.batch()),
        }
    }

    /// What tells it apart, if it is of a segment: its rows never change then.
    #[must_use]
    pub fn segment(&self) -> Option<GroupId> {
        match &self.part {
            Part::Segment(segment) => Some(segment.group_id(self.at)),
            Part::Chunk(_) => None,
        }
    }

    /// Those of its rows that are deleted.
    pub fn deleted_rows(&self) -> impl Iterator<Item = RowId> + '_ {
        let ids = self.row_ids();
        self.deleted().map(RowId).filter(move |&row| ids.position(row).is_some())
    }

    /// Its columns, all rows, deleted or not; those that it lacks are filled in. A chunk's are
    /// not copied; a segment's come from the cache of decoded columns or are read and decoded.
    ///
    /// # Errors
    /// XX001 when the bytes are damaged, and what the store fails with.
    pub async fn columns(&self, columns: &[ColumnSpec]) -> Result<Vec<ArrayRef>> {
        match &self.part {
            Part::Segment(segment) => segment.columns(self.at, columns).await,
            Part::Chunk(chunk) => columns_of(chunk.batch(), columns),
        }
    }

    /// Whether a column lies in memory, decoded.
    #[must_use]
    pub fn is_at_hand(&self, column: &ColumnSpec) -> bool {
        match &self.part {
            Part::Segment(segment) => segment.is_at_hand(self.at, column.id),
            Part::Chunk(_) => true,
        }
    }

    /// Columns of the rows at these positions, in the order given.
    pub(super) async fn take(
        &self,
        positions: &UInt32Array,
        columns: &[ColumnSpec],
    ) -> Result<Vec<ArrayRef>> {
        match &self.part {
            Part::Segment(segment) => segment.take(self.at, positions, columns).await,
            Part::Chunk(chunk) => {
                let columns = columns_of(chunk.batch(), columns)?;
                columns.iter().map(|column| Ok(take(column, positions, None)?)).collect()
            }
        }
    }

    /// The smallest and greatest value of a column, arrays of length 1, over all rows, deleted or
    /// not, that are not NULL; where they are known without reading.
    #[must_use]
    pub fn statistics(&self, column: ColumnId) -> Option<(ArrayRef, ArrayRef)> {
        match &self.part {
            Part::Segment(segment) => segment.statistics(self.at, column),
            Part::Chunk(_) => None,
        }
    }

    fn range(&self) -> Range<RowId> {
        match &self.part {
            Part::Segment(segment) => segment.group_range(self.at),
            Part::Chunk(chunk) => chunk.range(),
        }
    }

    fn deleted(&self) -> impl Iterator<Item = u64> + '_ {
        let range = self.range();
        self.deletes.range(range.start.0..range.end.0)
    }
}

impl TableState {
    /// The groups that hold rows of a range, in order.
    pub fn groups_within(&self, rows: &Range<RowId>) -> impl Iterator<Item = Group> + '_ {
        let rows = rows.clone();
        self.inner
            .parts()
            .filter({
                let rows = rows.clone();
                move |part| part.range().start < rows.end && rows.start < part.range().end
            })
            .flat_map(|part| self.groups_of(part).collect::<Vec<_>>())
            .filter(move |group| group.first_row() < rows.end && rows.start < group.end_row())
    }
}
