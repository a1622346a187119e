//! What a state of a table consists of, in the order of its rows.

use super::{keyed::KeyIndex, live::Basis, overlay::Laid};
use crate::{
    ids::{RowId, RowSet},
    storage::{
        deletes::Deletes,
        memtable::{Chunk, Memtable},
        segment::Segment,
    },
};
use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

#[derive(Debug, Clone, Default)]
pub(super) struct Inner {
    /// Ordered by row id; all before the memtable.
    pub(super) parts: Arc<Vec<Part>>,
    pub(super) memtable: Memtable,
    pub(super) memtable_bytes: u64,
    pub(super) next_row: RowId,
    /// Rows of all parts and the memtable, deleted or not.
    pub(super) rows: u64,
    /// Only rows that are there.
    pub(super) deletes: Deletes,
    pub(super) keys: Vec<KeyIndex>,
    pub(super) live: OnceLock<Arc<RowSet>>,
    pub(super) basis: Option<Basis>,
    /// A transaction's own rows, the last of `parts`.
    pub(super) laid: Option<Arc<Laid>>,
}

/// Rows that came together.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Segment(Arc<Segment>),
    Chunk(Arc<Chunk>),
}

impl Part {
    pub(super) fn range(&self) -> Range<RowId> {
        match self {
            Self::Segment(segment) => segment.meta().first_row..segment.meta().end_row(),
            Self::Chunk(chunk) => chunk.range(),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Segment(segment) => segment.meta().rows,
            Self::Chunk(chunk) => chunk.batch().num_rows() as u64,
        }
    }

    pub(super) fn groups(&self) -> usize {
        match self {
            Self::Segment(segment) => segment.groups(),
            Self::Chunk(_) => 1,
        }
    }

    /// The group and the position in it of a row, if it is there.
    pub(super) fn find(&self, row: RowId) -> Option<(usize, usize)> {
        match self {
            Self::Segment(segment) => segment.find(row),
            Self::Chunk(chunk) => Some((0, chunk.row_ids().position(row)?)),
        }
    }
}

impl Inner {
    /// All parts, the memtable's chunks as the last ones.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let chunks = self.memtable.chunks().iter().map(|chunk| Part::Chunk(Arc::clone(chunk)));
        self.parts.iter().cloned().chain(chunks)
    }

    /// The part at a place in this order.
    pub(super) fn part(&self, at: usize) -> Option<Part> {
        match at.checked_sub(self.parts.len()) {
            None => self.parts.get(at).cloned(),
            Some(at) => self.memtable.chunks().get(at).cloned().map(Part::Chunk),
        }
    }

    /// Where a row is: part, group and position.
    pub(super) fn find(&self, row: RowId) -> Option<(usize, usize, usize)> {
        let chunks = self.memtable.chunks();
        if chunks.first().is_some_and(|first| first.range().start <= row) {
            let at = chunks.partition_point(|chunk| chunk.range().end <= row);
            let position = chunks.get(at)?.row_ids().position(row)?;
            return Some((self.parts.len() + at, 0, position));
        }
        let at = self.parts.partition_point(|part| part.range().end <= row);
        let (group, position) = self.parts.get(at)?.find(row)?;
        Some((at, group, position))
    }

    /// Moves chunks of the memtable, but the last few, to the parts that are not copied at every
    /// commit.
    pub(super) fn settle(&mut self, keep: usize) {
        let settled = self.memtable.take_settled(keep);
        if !settled.is_empty() {
            Arc::make_mut(&mut self.parts).extend(settled.into_iter().map(Part::Chunk));
        }
    }

    /// Puts segments in the place of the parts within a range. A chunk may reach over its ends,
    /// when rows were joined to it since the segments were made; what lies outside stays.
    pub(super) fn replace_parts(&mut self, old: &Range<RowId>, new: &[Arc<Segment>]) {
        let memtable_start = self.memtable.chunks().first().map(|chunk| chunk.range().start);
        let (before, behind) = (RowId(0)..old.start, old.end..RowId(u64::MAX));
        let mut parts: Vec<Part> = Vec::new();
        let mut rest: Vec<Part> = Vec::new();
        for part in self.parts() {
            let range = part.range();
            match &part {
                _ if range.end <= old.start => parts.push(part),
                _ if range.start >= old.end => rest.push(part),
                Part::Segment(_) => {}
                Part::Chunk(chunk) => {
                    parts.extend(chunk.within(&before).map(Part::Chunk));
                    rest.extend(chunk.within(&behind).map(Part::Chunk));
                }
            }
        }
        parts.extend(new.iter().cloned().map(Part::Segment));
        parts.extend(rest);
        // The memtable stays what it was, less what is now in segments.
        let is_chunk = |part: &Part| match part {
            Part::Segment(_) => false,
            Part::Chunk(chunk) => memtable_start.is_some_and(|start| chunk.range().end > start),
        };
        let tail = parts.iter().rev().take_while(|part| is_chunk(part)).count();
        let chunks =
            parts.split_off(parts.len() - tail).into_iter().filter_map(|part| match part {
                Part::Chunk(chunk) => Some(chunk),
                Part::Segment(_) => None,
            });
        self.memtable = self.memtable.of(chunks.collect());
        self.parts = Arc::new(parts);
        self.rows = self.parts().map(|part| part.rows()).sum();
        self.memtable_bytes = self
            .parts()
            .map(|part| match part {
                Part::Chunk(chunk) => chunk.bytes(),
                Part::Segment(_) => 0,
            })
            .sum();
    }
}
