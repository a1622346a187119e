//! Builds an index in bulk: centroids are trained on a sample, then rows are assigned as they stream
//! by. Computation alone: run it where blocking is allowed.

use super::{Index, IndexOptions, Inner, checked_rows, expected_dims, ffi, posting::Postings};
use crate::{
    error::{Error, Result, SqlState},
    ids::RowId,
    vector::{DIMS_MAX, Metric},
};
use futures::executor::block_on;
use std::{ops::ControlFlow, sync::Arc};

/// Told how far a build is, from 0 to 1, between its steps; `Break` cancels it (57014).
pub type Watch<'a> = &'a (dyn Fn(f32) -> ControlFlow<()> + Sync);

impl IndexOptions {
    /// Whether an index of this kind can be: 0A000 for a metric without one, 22023 for a number out
    /// of its bounds.
    pub fn check(&self) -> Result<()> {
        if !matches!(self.metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine) {
            let message = format!("an index cannot find by the metric {}", self.metric);
            return Err(Error::unsupported(message)
                .hint("Without an index the nearest rows are found exactly."));
        }
        if self.dims == 0 || self.dims as usize > DIMS_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("column cannot have more than {DIMS_MAX} dimensions for an index"),
            ));
        }
        ffi::check_options(self).map_err(|error| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, error.message().to_owned())
        })
    }
}

/// An index being built.
#[derive(Debug)]
pub struct Builder {
    options: IndexOptions,
    core: ffi::Builder,
    watermark: RowId,
}

impl Builder {
    /// Trains the centroids for about `rows` rows on a sample of their vectors, evenly drawn: all of
    /// them, or some 5,000 for each 10,000 rows, make a good index.
    pub fn new(options: IndexOptions, rows: u64, sample: &[f32], watch: Watch<'_>) -> Result<Self> {
        options.check()?;
        if !sample.len().is_multiple_of(options.dims as usize) {
            return Err(expected_dims(options.dims, sample.len() % options.dims as usize));
        }
        let mut core = ffi::Builder::begin(&options, rows, sample)?;
        while core.train()? {
            poll(watch, core.trained())?;
        }
        Ok(Self { options, core, watermark: RowId(0) })
    }

    /// Adds rows, which ascend from call to call; `vectors` are theirs, one behind the other.
    pub fn add(&mut self, rows: &[RowId], vectors: &[f32]) -> Result<()> {
        let words = checked_rows(&self.options, rows, vectors)?;
        if rows.first().is_some_and(|&row| row < self.watermark) {
            return Err(Error::internal("a row was handed to an index a second time"));
        }
        self.core.add(&words, vectors)?;
        if let Some(&last) = rows.last() {
            self.watermark = RowId(last.0 + 1);
        }
        Ok(())
    }

    /// The index, settled and calibrated.
    pub fn finish(self, watch: Watch<'_>) -> Result<Index> {
        let change = self.core.finish()?;
        let mut postings = Postings::default();
        postings.apply(change.postings)?;
        let mut index = Index(Arc::new(Inner {
            options: self.options,
            core: change.version,
            postings,
            watermark: self.watermark,
            left_out: Arc::new(change.left_out.into_iter().map(RowId).collect()),
            store: Arc::default(),
            sweep: 0,
            depth: Arc::default(),
            damaged: Arc::default(),
            costs: Arc::default(),
            tally: Arc::default(),
        }));
        // All is in memory, so that nothing waits.
        while let Some(next) = block_on(index.settle(&|_| true))? {
            poll(watch, 1.0)?;
            index = next;
        }
        Ok(index)
    }
}

fn poll(watch: Watch<'_>, progress: f32) -> Result<()> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            Err(Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"))
        }
    }
}
