//! Builds vector indexes over the rows of a table: a sample trains the centroids, then all rows are
//! assigned, slice by slice and side by side, then postings are settled. Reads and writes go on
//! meanwhile; rows that come later are searched exactly until the index has them.
//!
//! ```text
//!   Source   which rows, which column, what kind of index
//!   Work     the steps, from an index at any stage to a whole one; cancelled between any two
//!   Room     where a build keeps what outgrows its memory:
//!              CREATE INDEX, REINDEX         objects that its index alone holds, until it commits
//!              Background                    checkpoints of the node, so that a build goes on
//!                                            where it was after a stop
//!   Progress what pg_stat_progress_create_index shows
//! ```
//!
//! Why there are two kinds: docs/adr/0006-builds-are-checkpoints.md.

mod background;
mod limits;
mod progress;
mod shared;
mod work;

pub use background::Background;
pub use limits::Limits;
pub use progress::{Building, Phase, Progress, Subject};
pub use shared::Builds;

use super::table::column_specs;
use crate::{
    catalog::{CODE_BITS_OPTION, Index as Entry, IndexKind, SPILL_OPTION, Table},
    error::{Error, Result, SqlState},
    ids::RowId,
    index::{Index, IndexOptions, Slice, Spill, indexed_metric},
    pgtype::PgType,
    sql::functions::points::Points,
    storage::{
        columns::ColumnSpec,
        table::{Group, TableState},
    },
    vector::Space,
};
use arrow::array::ArrayRef;
use std::{ops::Range, sync::Arc};

/// What an index is built of.
#[derive(Debug, Clone)]
pub struct Source {
    /// The table's rows.
    pub rows: TableState,
    /// Its vector column.
    pub column: ColumnSpec,
    /// What its points are.
    pub space: Space,
    /// How the index is to be.
    pub options: IndexOptions,
    /// Rows from here on are not indexed: they are a transaction's own.
    pub end: RowId,
}

impl Source {
    /// What an entry of the catalog asks for; `None` when searches by it are exact.
    ///
    /// # Errors
    /// 22000 when the column has no dimensions, 22023 for options out of bounds.
    pub fn new(entry: &Entry, table: &Table, rows: TableState, end: RowId) -> Result<Option<Self>> {
        let IndexKind::Vector { column, metric, .. } = entry.kind else { return Ok(None) };
        let place = table
            .position(column)
            .ok_or_else(|| Error::internal("an index of a column that is gone"))?;
        let kind = &table.columns[place].kind;
        let space = kind.space().ok_or_else(|| Error::internal("an index of no points"))?;
        let Some(metric) = indexed_metric(space, metric) else { return Ok(None) };
        let (PgType::Vector(Some(dims)) | PgType::Halfvec(Some(dims))) = *kind else {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "column does not have dimensions",
            ));
        };
        let mut options = IndexOptions::new(metric, u32::from(dims));
        let said = |name: &str| entry.options.get(name).map(String::as_str);
        let rule = Spill::ALL.iter().find(|(name, _)| said(SPILL_OPTION) == Some(*name));
        options.spill_rule = rule.map_or(options.spill_rule, |(_, rule)| *rule);
        let bits = said(CODE_BITS_OPTION).and_then(|bits| bits.parse().ok());
        options.code_bits = bits.unwrap_or(options.code_bits);
        options.check()?;
        let column = column_specs(table)?.swap_remove(place);
        Ok(Some(Self { rows, column, space, options, end }))
    }

    /// The column of a group.
    async fn column(&self, group: &Group) -> Result<ArrayRef> {
        let mut columns = group.columns(std::slice::from_ref(&self.column)).await?;
        Ok(columns.swap_remove(0))
    }

    /// Every `step`-th of some rows of a group, if it is live and has a vector.
    fn slice(
        &self,
        group: &Group,
        column: &ArrayRef,
        places: Range<usize>,
        step: usize,
    ) -> Result<Slice> {
        let (ids, mask) = (group.row_ids(), group.live_mask());
        let points = Points::new(self.space, column)?;
        let mut slice = Slice::default();
        for place in places.step_by(step) {
            let row = ids.row(place);
            if row < self.end
                && mask.as_ref().is_none_or(|mask| mask.value(place))
                && points.append_dense(place, &mut slice.vectors)
            {
                slice.rows.push(row);
            }
        }
        Ok(slice)
    }
}

/// Adds to an index what a table has from its watermark on, up to `end`, but hardly more than so many
/// rows.
///
/// # Errors
/// Those of reading and of the core.
pub async fn extend(index: &Index, source: &Source, end: RowId, rows_max: usize) -> Result<Index> {
    let mut index = index.clone();
    let (from, mut rows) = (index.watermark(), 0);
    for group in source.rows.groups_within(&(from..end)) {
        let column = source.column(&group).await?;
        let mut at = group.row_ids().first_from(from);
        while at < group.len() {
            if rows >= rows_max {
                return Ok(index);
            }
            let to = group.len().min(at + rows_max - rows);
            let slice = source.slice(&group, &column, at..to, 1)?;
            rows += to - at;
            at = to;
            if !slice.rows.is_empty() {
                let insert = || index.insert(&slice.rows, &slice.vectors);
                index = tokio::task::block_in_place(insert)?;
            }
            if let Some(last) = to.checked_sub(1) {
                index = index.advance(RowId(group.row_ids().row(last).0 + 1).min(end));
            }
        }
    }
    Ok(index.advance(end))
}

/// Whether searches go by an index once it is built; others are recorded and not built.
#[must_use]
pub fn is_searched(entry: &Entry, table: &Table) -> bool {
    let IndexKind::Vector { column, metric, .. } = entry.kind else { return false };
    let space = table.column_by_id(column).and_then(|column| column.kind.space());
    space.is_some_and(|space| indexed_metric(space, metric).is_some())
}

/// An entry's table in a picture.
#[must_use]
pub fn table_of(entry: &Entry, state: &super::state::DbState) -> Option<Arc<Table>> {
    state.catalog.table(entry.table).cloned()
}
