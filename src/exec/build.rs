//! Builds a vector index over the rows of a snapshot: a sample trains the centroids, then all rows
//! are assigned, a group at a time. Reads and writes go on meanwhile; rows that come later are
//! searched exactly until the index has them.

use super::{
    progress::{Build, Phase},
    run::Run,
    table::column_specs,
};
use crate::{
    catalog::{Index as Entry, IndexKind, Table},
    error::{Error, Result, SqlState},
    ids::RowId,
    index::{Builder, Index, IndexOptions, indexed_metric},
    pgtype::PgType,
    sql::functions::points::Points,
    storage::{columns::ColumnSpec, table::TableState},
    vector::Space,
};
use std::{ops::ControlFlow, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A sample of so many vectors trains the centroids of any index.
const SAMPLE_ROWS: u64 = 65_536;

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
        let options = IndexOptions::new(metric, u32::from(dims));
        options.check()?;
        let column = column_specs(table)?.swap_remove(place);
        Ok(Some(Self { rows, column, space, options, end }))
    }

    /// Builds, on a thread that may block.
    ///
    /// # Errors
    /// 57014 when cancelled; those of reading and of the core.
    pub async fn build(self, run: &Run, build: Arc<Build>) -> Result<Index> {
        let cancel = run.cancel().clone();
        run.compute(async move { self.work(&cancel, Some(&build)).await }).await
    }

    /// Builds where the caller may be blocked.
    ///
    /// # Errors
    /// Those of [`Source::build`].
    pub async fn work(&self, cancel: &CancellationToken, build: Option<&Build>) -> Result<Index> {
        let watch = |phase| {
            move |part: f32| {
                build.inspect(|build| build.at(phase, part));
                if cancel.is_cancelled() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }
        };
        let live = self.rows.live_rows();
        build.inspect(|build| build.expect(live));
        let sample = self.sample(live).await?;
        let training = watch(Phase::Training);
        let mut builder =
            tokio::task::block_in_place(|| Builder::new(self.options, live, &sample, &training))?;
        drop(sample);
        let mut end = RowId(0);
        for group in self.rows.groups() {
            let (ids, vectors) = self.vectors(&group, 1).await?;
            if cancel.is_cancelled() {
                return Err(super::run::cancelled());
            }
            tokio::task::block_in_place(|| builder.add(&ids, &vectors))?;
            build.inspect(|build| build.assigned(ids.len()));
            end = group.end_row();
        }
        let settling = watch(Phase::Settling);
        build.inspect(|build| build.at(Phase::Settling, 0.0));
        let index = tokio::task::block_in_place(|| builder.finish(&settling))?;
        Ok(index.advance(end.max(self.rows.next_row()).min(self.end)))
    }

    /// Vectors of rows spread evenly over the table.
    async fn sample(&self, live: u64) -> Result<Vec<f32>> {
        let step = usize::try_from(live.div_ceil(SAMPLE_ROWS).max(1)).unwrap_or(1);
        let mut sample = Vec::new();
        for group in self.rows.groups() {
            sample.extend(self.vectors(&group, step).await?.1);
        }
        Ok(sample)
    }

    /// Every `step`-th live row of a group that has a vector.
    async fn vectors(
        &self,
        group: &crate::storage::table::Group,
        step: usize,
    ) -> Result<(Vec<RowId>, Vec<f32>)> {
        let columns = group.columns(std::slice::from_ref(&self.column)).await?;
        let (ids, mask) = (group.row_ids(), group.live_mask());
        let points = Points::new(self.space, &columns[0])?;
        let (mut rows, mut vectors) = (Vec::new(), Vec::new());
        for place in (0..group.len()).step_by(step) {
            let row = ids.row(place);
            if row < self.end
                && mask.as_ref().is_none_or(|mask| mask.value(place))
                && points.append_dense(place, &mut vectors)
            {
                rows.push(row);
            }
        }
        Ok((rows, vectors))
    }
}

/// Adds to an index what a table has from its watermark on, up to `end`.
///
/// # Errors
/// Those of reading and of the core.
pub async fn extend(index: &Index, source: &Source, end: RowId) -> Result<Index> {
    let mut index = index.clone();
    let from = index.watermark();
    for group in source.rows.groups().filter(|group| group.end_row() > from) {
        let (ids, vectors) = source.vectors(&group, 1).await?;
        let skipped = ids.partition_point(|&row| row < from);
        let kept = ids.len() - skipped;
        if kept > 0 {
            let dims = vectors.len() / ids.len();
            let (ids, vectors) = (&ids[skipped..], &vectors[skipped * dims..]);
            index = tokio::task::block_in_place(|| index.insert(ids, vectors))?;
        }
    }
    Ok(index.advance(end))
}

/// An entry's table in a picture.
#[must_use]
pub fn table_of(entry: &Entry, state: &super::state::DbState) -> Option<Arc<Table>> {
    state.catalog.table(entry.table).cloned()
}
