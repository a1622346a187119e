//! A transaction's own rows laid behind committed ones, without copying either.

use super::{Inner, Part, TableState};
use crate::ids::RowId;
use roaring::RoaringTreemap;
use std::sync::Arc;

/// The rows of another state, as they lie behind a state's own.
#[derive(Debug, Clone)]
pub(super) struct Laid {
    /// The id that row 0 of the other state has here.
    pub(super) base: RowId,
    /// Knows the keys of its rows.
    pub(super) rows: TableState,
}

impl TableState {
    /// This state with the rows of another behind its own: row n of the other has the id
    /// `next_row + n` here. For reading only: nothing is appended to such a state.
    #[must_use]
    pub fn overlay(&self, other: &Self) -> Self {
        if other.inner.next_row == RowId(0) {
            return self.clone();
        }
        let base = self.inner.next_row;
        let state = self.derive(|inner| {
            inner.settle(0);
            let parts = Arc::make_mut(&mut inner.parts);
            parts.extend(other.inner.parts().map(|part| part.behind(base)));
            inner.rows += other.inner.rows;
            inner.memtable_bytes += other.inner.memtable_bytes;
            inner.next_row = RowId(base.0 + other.inner.next_row.0);
            inner.laid = Some(Arc::new(Laid { base, rows: other.clone() }));
        });
        let deleted: RoaringTreemap = other.inner.deletes.iter().map(|row| base.0 + row).collect();
        if deleted.is_empty() { state } else { state.delete(&deleted) }
    }
}

impl Part {
    /// The same rows, their ids counted from `base`.
    fn behind(&self, base: RowId) -> Self {
        match self {
            Self::Segment(segment) => {
                let first = RowId(base.0 + segment.meta().first_row.0);
                Self::Segment(Arc::new(segment.at(first)))
            }
            Self::Chunk(chunk) => {
                let first = RowId(base.0 + chunk.range().start.0);
                Self::Chunk(Arc::new(chunk.at(first)))
            }
        }
    }
}

impl Inner {
    /// The rows that may have a key among those that were laid behind.
    pub(super) async fn laid_candidates(
        &self,
        constraint: crate::ids::Oid,
        hashes: &[u64],
    ) -> crate::error::Result<Option<Vec<Vec<RowId>>>> {
        let Some(laid) = &self.laid else { return Ok(None) };
        let mut found = Box::pin(laid.rows.key_candidates(constraint, hashes)).await?;
        for row in found.iter_mut().flatten() {
            row.0 += laid.base.0;
        }
        Ok(Some(found))
    }
}
