//! The steps of a build, from an index at any stage to a whole one.

use super::{Building, Phase, Source, extend, limits::Limits};
use crate::{
    error::Result,
    exec::run::cancelled,
    ids::RowId,
    index::{Index, Slice, Stage},
};
use async_trait::async_trait;
use std::ops::ControlFlow;
use tokio_util::sync::CancellationToken;

/// Of a table of more rows than this, one in `SAMPLE_STEP` trains the centroids, as far as there is memory
/// for them: 32 for each posting to come, of 128 entries in two copies.
const SAMPLE_ROWS: u64 = 65_536;
const SAMPLE_STEP: u64 = 2;
/// So many at least, however little memory there is.
const SAMPLE_ROWS_MIN: u64 = 1024;
/// Steps of settling between two looks at what is in memory: a step that joins postings adds some
/// megabytes.
const STEPS: usize = 4;
/// Rows that are inserted into a settled index before it is settled again.
const CATCH_UP_ROWS: usize = 16_384;
/// What PostgreSQL counts a table in.
const BLOCK_BYTES: u64 = 8192;

/// Where a build keeps its index on the way.
#[async_trait]
pub(super) trait Room: Send + Sync {
    /// It is so far. An error when nobody wants it any more.
    async fn show(&self, index: &Index) -> Result<()>;
    /// It has outgrown its memory, or has come to where it would be a pity to begin anew: afterwards
    /// what it holds may leave memory.
    async fn store(&self, index: &Index) -> Result<()>;
}

/// A build.
pub(super) struct Work<'a> {
    pub(super) source: Source,
    pub(super) limits: Limits,
    pub(super) building: &'a Building,
    pub(super) cancel: &'a CancellationToken,
    pub(super) room: &'a dyn Room,
}

impl Work<'_> {
    /// From nothing to a whole index.
    pub(super) async fn all(&self) -> Result<Index> {
        let index = self.train().await?;
        let index = self.load(index).await?;
        Ok(self.settle(index).await?.whole())
    }

    /// An index whose centroids are trained.
    pub(super) async fn train(&self) -> Result<Index> {
        self.building.phase(Phase::Initializing);
        self.count(RowId(0));
        let sample = self.sample().await?;
        self.building.phase(Phase::Training);
        let (options, live) = (self.source.options, self.source.rows.live_rows());
        let watch = |_: f32| match self.cancel.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let (threads, deleted) = (self.limits.threads, self.source.rows.deleted_ever());
        let trained = || Index::trained(options, live, sample, threads, &watch);
        // Rows that are dead by now do not come into it.
        let index = tokio::task::block_in_place(trained)?.clean_of(deleted);
        self.room.store(&index).await?;
        Ok(index)
    }

    /// The index with the rows that it lacks.
    pub(super) async fn load(&self, mut index: Index) -> Result<Index> {
        if index.stage() != Stage::Loading {
            return Ok(index);
        }
        self.building.phase(Phase::Loading);
        let Source { rows, end, options, .. } = &self.source;
        let end = rows.next_row().min(*end);
        let bytes_max = self.limits.slices_bytes() / self.limits.threads.max(1);
        let row_bytes = options.dims as usize * size_of::<f32>();
        let slice_rows = index.slice_rows().min(bytes_max / row_bytes).max(1);
        let mut slices: Vec<Slice> = Vec::new();
        for group in rows.groups_within(&(index.watermark()..end)) {
            let column = self.source.column(&group).await?;
            let mut at = group.row_ids().first_from(index.watermark());
            while at < group.len() {
                let to = (at + slice_rows).min(group.len());
                let slice = self.source.slice(&group, &column, at..to, 1)?;
                at = to;
                if !slice.rows.is_empty() {
                    slices.push(slice);
                }
                if slices.len() >= self.limits.threads {
                    index = self.take_in(index, std::mem::take(&mut slices)).await?;
                }
            }
        }
        let index = self.take_in(index, slices).await?.advance(end);
        self.count(index.watermark());
        Ok(index)
    }

    async fn take_in(&self, index: Index, slices: Vec<Slice>) -> Result<Index> {
        self.poll()?;
        let index = tokio::task::block_in_place(|| index.load(&slices))?;
        self.count(index.watermark());
        self.keep(index).await
    }

    /// The settled index with rows that came since, settled again.
    pub(super) async fn catch_up(&self, mut index: Index) -> Result<Index> {
        let Source { rows, end, .. } = &self.source;
        let end = rows.next_row().min(*end);
        while index.watermark() < end {
            self.poll()?;
            index = extend(&index, &self.source, end, CATCH_UP_ROWS).await?;
            index = self.settle(index).await?;
        }
        Ok(index)
    }

    /// The index when all rows are loaded and nothing is left to do but to call it whole.
    pub(super) async fn settle(&self, mut index: Index) -> Result<Index> {
        self.building.phase(Phase::Settling);
        if index.stage() == Stage::Loading {
            index = tokio::task::block_in_place(|| index.loaded())?;
        }
        loop {
            index = self.keep(index).await?;
            for _ in 0..STEPS {
                self.poll()?;
                // A row that is dead by now is some reader's yet, or is dropped by upkeep later.
                let Some(next) = index.settle(&|_| true).await? else { return Ok(index) };
                index = next;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Makes room where the index holds more in memory than it may.
    async fn keep(&self, index: Index) -> Result<Index> {
        if index.stats().unstored_bytes <= self.limits.unstored_bytes() {
            self.room.show(&index).await?;
            return Ok(index);
        }
        let index = tokio::task::block_in_place(|| index.tidied())?;
        self.room.store(&index).await?;
        Ok(index)
    }

    /// Vectors of rows spread evenly over the table.
    async fn sample(&self) -> Result<Vec<f32>> {
        let rows = &self.source.rows;
        let row_bytes = u64::from(self.source.options.dims) * 4;
        let most = self.limits.sample_bytes() / row_bytes;
        let wanted = (rows.live_rows() / SAMPLE_STEP).max(SAMPLE_ROWS);
        let most = most.clamp(SAMPLE_ROWS_MIN, wanted);
        let step = usize::try_from(rows.live_rows().div_ceil(most).max(1)).unwrap_or(1);
        let mut sample = Vec::new();
        for group in rows.groups() {
            self.poll()?;
            let column = self.source.column(&group).await?;
            sample.extend(self.source.slice(&group, &column, 0..group.len(), step)?.vectors);
        }
        Ok(sample)
    }

    fn count(&self, watermark: RowId) {
        let rows = &self.source.rows;
        let (blocks, tuples) = (rows.bytes().div_ceil(BLOCK_BYTES), rows.live_rows());
        self.building.total(blocks, tuples);
        let first = rows.groups().next().map_or(RowId(0), |group| group.first_row());
        let done = watermark.0.saturating_sub(first.0);
        let all = rows.next_row().0.saturating_sub(first.0).max(1);
        // Dead rows are spread as the others are, as far as anyone knows.
        let share = |of: u64| u64::try_from(u128::from(of) * u128::from(done) / u128::from(all));
        self.building.done(share(blocks).unwrap_or(0), share(tuples).unwrap_or(0));
    }

    fn poll(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(cancelled()),
            false => Ok(()),
        }
    }
}
