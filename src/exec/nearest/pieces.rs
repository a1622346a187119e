//! All rows by their distance, a few at a time: a search that goes on as far as it is read.
//!
//! Each piece is a search among the rows that did not come yet, so that every row comes once. While
//! that costs less the index finds them, each time about as many as came before; when so many came
//! that it does not, the rest is read. Within a piece rows ascend. A row that the index missed
//! comes with a later one, as it does under pgvector's relaxed order; with a recall target of 1, and
//! wherever rows are read from the beginning, there is none.
//!
//! A search for the k nearest behind a bound goes the same way until it has k.

use super::{search::Search, work::Work};
use crate::{exec::topk::Neighbour, ids::RowSet};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
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
    work: Work,
    /// Rows that did not come yet.
    left: Arc<RowSet>,
    /// Found, and not given yet.
    found: VecDeque<Neighbour>,
    /// How many rows were found.
    came: usize,
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
        let config = self.context.session_config();
        let work = Work::new(&self.search, config, Arc::clone(&self.schema), &self.metrics)?;
        work.check_dimensions()?;
        let consumer = MemoryConsumer::new("nearest rows");
        let memory = consumer.register(self.context.memory_pool());
        let (left, found) = (work.matching().await?, VecDeque::new());
        Ok(Run { work, left, found, came: 0, is_over: false, memory })
    }

    /// As many rows as the search is for, nearest first: those behind a bound.
    pub(super) async fn first(self) -> Result<RecordBatch> {
        let mut run = self.begin().await?;
        while run.found.len() < self.search.k && run.find().await? {}
        let mut found: Vec<Neighbour> = run.found.drain(..).collect();
        found.sort_unstable();
        if !self.search.ties {
            found.truncate(self.search.k);
        }
        run.work.rows_of(&found).await
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
        run.work.rows_of(&batch).await.map(Some)
    }
}

impl Run {
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
                let wanted = left.min(READ_MAX);
                self.memory.try_resize(wanted * size_of::<Neighbour>())?;
                self.work.by_reading(wanted, &self.left).await?
            }
        };
        self.came += found.len();
        let left = Arc::make_mut(&mut self.left);
        found.iter().for_each(|neighbour| left.remove(neighbour.row));
        // A row that is not there any more cannot be found, and will not be.
        self.is_over = found.is_empty();
        let (near, all) = self.work.within(found)?;
        self.is_over |= !all;
        self.found.extend(near);
        Ok(true)
    }
}
