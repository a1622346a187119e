//! All rows by their distance, a few at a time: a search that goes on as far as it is read.
//!
//! Each piece is a search among the rows that did not come yet, so that every row comes once. While
//! that costs less the index finds them, each time about as many as came before; when so many came
//! that it does not, the rest is read. Within a piece rows ascend. A row that the index missed
//! comes with a later one, as it does under pgvector's relaxed order; with a recall target of 1, and
//! wherever rows are read from the beginning, there is none.
//!
//! A search for the k nearest behind a bound goes the same way until it has k.

use super::{
    search::Search,
    work::{Base, Work},
};
use crate::{
    exec::{constant::one_row, topk::Neighbour},
    ids::RowSet,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{Stream, stream};
use std::{collections::VecDeque, sync::Arc};

/// Rows of the first piece.
const FIRST: usize = 64;
/// Rows whose columns are fetched at a time.
const BATCH: usize = 1024;
/// When the rest is read, so many of its nearest rows are kept in mind at most: for those behind them
/// it is read again.
const READ_MAX: usize = 1 << 20;

/// A run for all rows.
pub(super) struct Pieces {
    search: Arc<Search>,
    context: Arc<TaskContext>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
    run: Option<Run>,
}

/// A run that has begun.
struct Run {
    work: Arc<Work>,
    /// Rows that did not come yet.
    left: Arc<RowSet>,
    /// Found, and not given yet.
    found: VecDeque<Neighbour>,
    /// How many rows were found.
    came: usize,
    /// How many of the nearest rows are kept in mind when the rest is read.
    read_max: usize,
    /// Whether all that is left lies beyond the radius.
    is_over: bool,
    memory: MemoryReservation,
}

impl Pieces {
    pub(super) fn new(
        search: Arc<Search>,
        context: Arc<TaskContext>,
        schema: SchemaRef,
        metrics: ExecutionPlanMetricsSet,
    ) -> Self {
        Self { search, context, schema, metrics, run: None }
    }

    /// The rows, found as they are asked for.
    pub(super) fn stream(self) -> impl Stream<Item = Result<RecordBatch>> {
        stream::try_unfold(self, |mut pieces| async move {
            Ok(pieces.next().await?.map(|batch| (batch, pieces)))
        })
    }

    async fn begin(&self) -> Result<Run> {
        let base = Base::of_one(&self.search, self.context.session_config(), &self.metrics)?;
        let work = Work::new(&base, self.search.questions(&one_row()?)?.at(0)?)?;
        Run::begin(Arc::new(work), self.context.memory_pool()).await
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.run.is_none() {
            self.run = Some(self.begin().await?);
        }
        let run = self.run.as_mut().expect("it has begun");
        while run.found.is_empty() {
            if !run.find().await? {
                return Ok(None);
            }
        }
        let batch: Vec<Neighbour> = run.found.drain(..run.found.len().min(BATCH)).collect();
        run.memory.try_resize(run.found.len() * size_of::<Neighbour>())?;
        run.work.rows_of(&batch, &self.schema).await.map(Some)
    }
}

/// As many rows as a search is for, nearest first.
pub(super) async fn find(work: &Arc<Work>, pool: &Arc<dyn MemoryPool>) -> Result<Vec<Neighbour>> {
    let _timed = work.timed();
    if work.beyond.is_none() {
        return work.find().await;
    }
    let mut run = Run::begin(Arc::clone(work), pool).await?;
    let Search { k, ties, .. } = *work.base.search.as_ref();
    while run.found.len() < k && run.find().await? {}
    let mut found: Vec<Neighbour> = run.found.drain(..).collect();
    found.sort_unstable();
    if !ties {
        found.truncate(k);
    }
    Ok(found)
}

/// At least as many rows as a search is for, if there are as many: those that came already, and behind
/// them in pieces those that did not.
pub(super) async fn go_on(
    work: &Arc<Work>,
    pool: &Arc<dyn MemoryPool>,
    came: &[Neighbour],
) -> Result<Vec<Neighbour>> {
    let _timed = work.timed();
    let mut run = Run::begin(Arc::clone(work), pool).await?;
    let left = Arc::make_mut(&mut run.left);
    came.iter().for_each(|neighbour| left.remove(neighbour.row));
    run.came = came.len();
    run.read_max = work.base.search.k.saturating_sub(came.len()).max(BATCH);
    run.found.extend(came);
    while run.found.len() < work.base.search.k && run.find().await? {}
    Ok(run.found.into())
}

impl Run {
    async fn begin(work: Arc<Work>, pool: &Arc<dyn MemoryPool>) -> Result<Self> {
        work.check_dimensions()?;
        let memory = MemoryConsumer::new("nearest rows").register(pool);
        let (left, found) = (work.matching().await?, VecDeque::new());
        Ok(Self { work, left, found, came: 0, read_max: READ_MAX, is_over: false, memory })
    }

    /// The next piece, put behind what was found; whether there was one.
    async fn find(&mut self) -> Result<bool> {
        if self.is_over || self.left.is_empty() {
            return Ok(false);
        }
        let wanted = self.came.max(FIRST);
        let found = match self.work.by_index(wanted, &self.left).await? {
            Some(found) => found,
            None => {
                let left = usize::try_from(self.left.len()).unwrap_or(usize::MAX);
                let wanted = left.min(self.read_max);
                self.memory.try_resize(wanted * size_of::<Neighbour>())?;
                self.work.by_reading(wanted, &self.left).await?
            }
        };
        self.came += found.len();
        let left = Arc::make_mut(&mut self.left);
        found.iter().for_each(|neighbour| left.remove(neighbour.row));
        // A row that is not there any more cannot be found, and will not be.
        self.is_over = found.is_empty();
        let (near, all) = self.work.within(found);
        self.is_over |= !all;
        self.found.extend(near);
        Ok(true)
    }
}
