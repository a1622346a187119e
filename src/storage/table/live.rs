//! The set of live rows, from an earlier state's where there is one.

use super::{Inner, Part};
use crate::{
    ids::{RowId, RowSet},
    storage::deletes::Deletes,
};
use std::sync::Arc;

/// The live rows of an earlier state, and what it takes to see what changed since.
#[derive(Debug, Clone)]
pub(super) struct Basis {
    live: Arc<RowSet>,
    next_row: RowId,
    deletes: Deletes,
}

impl Basis {
    pub(super) fn new(live: &Arc<RowSet>, state: &Inner) -> Self {
        let (next_row, deletes) = (state.next_row, state.deletes.clone());
        Self { live: Arc::clone(live), next_row, deletes }
    }
}

/// Rows are only ever appended and deleted (`replace`, which drops some, ends a basis): what
/// changed is the rows above the basis and the deletes that it does not have.
pub(super) fn compute(state: &Inner) -> Arc<RowSet> {
    let (mut set, first, deletes) = match &state.basis {
        Some(basis) if has_room(&basis.live, state.next_row) => {
            if basis.next_row == state.next_row
                && state.deletes.since(&basis.deletes).next().is_none()
            {
                return Arc::clone(&basis.live);
            }
            ((*basis.live).clone(), basis.next_row, basis.deletes.clone())
        }
        _ => {
            let first = state.parts().next().map_or(state.next_row, |part| part.range().start);
            // Room for rows to come, so that the next states need not start anew.
            let room = ((state.next_row.0 - first.0) / 8).max(1 << 16);
            let set = RowSet::empty(first, RowId(state.next_row.0 + room));
            (set, first, Deletes::default())
        }
    };
    let new = state.parts.partition_point(|part| part.range().end <= first);
    let chunks = state.memtable.chunks().iter().map(|chunk| Part::Chunk(Arc::clone(chunk)));
    for part in state.parts[new..].iter().cloned().chain(chunks) {
        let runs = match &part {
            Part::Chunk(chunk) => chunk.row_ids().runs(),
            Part::Segment(segment) => {
                (0..segment.groups()).flat_map(|group| segment.row_ids(group).runs()).collect()
            }
        };
        for run in runs {
            let start = run.start.max(first);
            if start < run.end {
                set.insert_range(start, run.end);
            }
        }
    }
    for row in state.deletes.since(&deletes) {
        set.remove(RowId(row));
    }
    Arc::new(set)
}

fn has_room(set: &RowSet, next_row: RowId) -> bool {
    next_row.0 <= set.base() + 64 * set.words().len() as u64
}
