//! Flush and compaction: rows move to segments, and to fewer and larger ones.
//!
//! Both are functions of a state that change nothing: they write segments and say which rows those
//! hold. The caller applies each [`Replacement`] to the newest state by [`TableState::replace`],
//! so that what was committed meanwhile stays. Rows that were deleted in the state that they were
//! given are not written again; all others keep their ids.

use super::{
    columns::{ColumnSpec, batch_of},
    segment::{Segment, SegmentStore, SegmentWriter},
    table::{Group, TableState},
};
use crate::{error::Result, ids::RowId};
use arrow::{
    array::{ArrayRef, BooleanArray},
    compute::filter,
};
use std::{ops::Range, sync::Arc};

/// What takes the place of the rows of a range.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// All rows that were there in this range.
    pub rows: Range<RowId>,
    /// Those of them that are left; none, when all were deleted.
    pub segments: Vec<Arc<Segment>>,
}

/// What a flush made of a memtable.
#[derive(Debug, Clone, Default)]
pub struct Flushed {
    /// One for each run of chunks that had no segment between them, in the order of the rows.
    pub replacements: Vec<Replacement>,
}

impl Flushed {
    /// A later state of the table, with the segments in place.
    #[must_use]
    pub fn apply(&self, state: &TableState) -> TableState {
        let replace =
            |state: TableState, new: &Replacement| state.replace(&new.rows, &new.segments);
        self.replacements.iter().fold(state.clone(), replace)
    }
}

/// When segments are worth being written again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionPolicy {
    /// Segments are not made larger than this.
    pub segment_bytes_max: u64,
    /// So many neighbours at least become one.
    pub neighbours_min: usize,
    /// A segment of which a greater part is deleted is written again by itself.
    pub deleted_fraction_max: f64,
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self { segment_bytes_max: 128 << 20, neighbours_min: 4, deleted_fraction_max: 0.3 }
    }
}

/// Writes all rows that are not yet in segments, but those that are deleted, as segments with the
/// keys that the state keeps.
///
/// # Errors
/// What the store fails with.
pub async fn flush(
    store: &SegmentStore,
    state: &TableState,
    columns: &[ColumnSpec],
) -> Result<Flushed> {
    let mut flushed = Flushed::default();
    for groups in state.unflushed() {
        flushed.replacements.push(rewrite(store, state, &groups, columns, None).await?);
    }
    Ok(flushed)
}

/// Writes neighbouring small segments, or one with many deleted rows, again as one; `None` when
/// there is nothing that is worth it. Called again until then, it does all there is to do.
///
/// # Errors
/// XX001 when a segment is damaged, and what the store fails with.
pub async fn compact(
    store: &SegmentStore,
    state: &TableState,
    columns: &[ColumnSpec],
    policy: &CompactionPolicy,
) -> Result<Option<Replacement>> {
    let Some(chosen) = choose(state, policy) else { return Ok(None) };
    let groups: Vec<Group> = state.groups_within(&chosen).collect();
    let bytes = Some(usize::try_from(policy.segment_bytes_max).unwrap_or(usize::MAX));
    let replacement = rewrite(store, state, &groups, columns, bytes).await?;
    Ok(Some(Replacement { rows: chosen, ..replacement }))
}

async fn rewrite(
    store: &SegmentStore,
    state: &TableState,
    groups: &[Group],
    columns: &[ColumnSpec],
    segment_bytes: Option<usize>,
) -> Result<Replacement> {
    let mut writer = SegmentWriter::new(store, columns, &state.keys());
    if let Some(bytes) = segment_bytes {
        writer = writer.segment_bytes(bytes);
    }
    for group in groups {
        let (ids, mut arrays) = (group.row_ids(), group.columns(columns).await?);
        let mut rows: Vec<RowId> = ids.iter().collect();
        if let Some(mask) = group.live_mask() {
            rows = mask.set_indices().map(|position| ids.row(position)).collect();
            let mask = BooleanArray::new(mask, None);
            let kept = arrays.iter().map(|array| filter(array, &mask));
            arrays = kept.collect::<Result<Vec<ArrayRef>, _>>()?;
        }
        writer.append_rows(&batch_of(columns, arrays, rows.len())?, &rows).await?;
    }
    let first = groups.first().map_or(RowId(0), Group::first_row);
    let rows = first..groups.last().map_or(first, Group::end_row);
    Ok(Replacement { rows, segments: writer.finish().await? })
}

/// A segment as the choice sees it.
struct Candidate {
    rows: Range<RowId>,
    /// Bytes of its live rows, about.
    bytes: u64,
    deleted_fraction: f64,
}

/// The rows to write again: those of a segment with too many deleted rows, else of the first
/// neighbours that are enough and alike in size: none holds more than half of their bytes, so that
/// a row is written O(log n) times.
fn choose(state: &TableState, policy: &CompactionPolicy) -> Option<Range<RowId>> {
    let runs: Vec<Vec<Candidate>> = state
        .segment_runs()
        .into_iter()
        .map(|run| run.iter().map(|segment| candidate(state, segment)).collect())
        .collect();
    let wasteful = runs.iter().flatten().find(|c| c.deleted_fraction > policy.deleted_fraction_max);
    if let Some(wasteful) = wasteful {
        return Some(wasteful.rows.clone());
    }
    for run in &runs {
        for start in 0..run.len() {
            let (mut bytes, mut largest) = (0, 0);
            for (end, next) in run.iter().enumerate().skip(start) {
                bytes += next.bytes;
                largest = largest.max(next.bytes);
                if bytes > policy.segment_bytes_max {
                    break;
                }
                let enough = end + 1 - start >= policy.neighbours_min.max(2);
                let is_last = run
                    .get(end + 1)
                    .is_none_or(|behind| bytes + behind.bytes > policy.segment_bytes_max);
                if enough && is_last && largest <= bytes / 2 {
                    return Some(run[start].rows.start..next.rows.end);
                }
            }
        }
    }
    None
}

fn candidate(state: &TableState, segment: &Segment) -> Candidate {
    let meta = segment.meta();
    let rows = meta.first_row..meta.end_row();
    let deleted = state.deleted_within(&rows);
    let live = meta.rows.saturating_sub(deleted);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let deleted_fraction = deleted as f64 / meta.rows.max(1) as f64;
    Candidate { rows, bytes: meta.bytes * live / meta.rows.max(1), deleted_fraction }
}
