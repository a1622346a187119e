//! The steps of a build, from an index at any stage to a whole one.

use super::{Building, Phase, Source, extend, limits::Limits};
use crate::{
    error::Result,
    exec::run::cancelled,
    ids::RowId,
    index::{Index, Slice, Stage, Training},
};
use async_trait::async_trait;
use std::ops::ControlFlow;
use tokio_util::sync::CancellationToken;

/// Vectors of the sample that are read at a time.
const SAMPLE_PIECE: usize = 4096;
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
        let training = self.sample().await?;
        self.building.phase(Phase::Training);
        let watch = |_: f32| match self.cancel.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let (threads, deleted) = (self.limits.threads, self.source.rows.deleted_ever());
        let trained = || training.run(threads, &watch);
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

    /// Vectors of rows spread evenly over the table, as many as do some good and there is memory for.
    async fn sample(&self) -> Result<Training> {
        let Source { rows, options, .. } = &self.source;
        let live = rows.live_rows();
        let most = Training::sample_rows(options, live, self.limits.sample_bytes()).max(1);
        let step = usize::try_from(live.div_ceil(most).max(1)).unwrap_or(1);
        let mut training = Training::begin(*options, live, most)?;
        // Of the next group, the first place that is wanted.
        let mut first = 0;
        for group in rows.groups() {
            let column = self.source.column(&group).await?;
            let begin = first;
            first = begin + (begin..group.len()).step_by(step).len() * step - group.len();
            for from in (begin..group.len()).step_by(SAMPLE_PIECE * step) {
                self.poll()?;
                let to = (from + SAMPLE_PIECE * step).min(group.len());
                let piece = self.source.slice(&group, &column, from..to, step)?;
                training.add_sample(&piece.vectors)?;
            }
        }
        Ok(training)
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
