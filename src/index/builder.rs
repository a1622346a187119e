//! Builds an index in bulk: centroids are trained on a sample, rows are loaded as they stream by, and
//! at the end postings are settled.
//!
//! ```text
//!   trained ──> Loading ──load, load …──> loaded ──> Settling ──settle, settle …──> whole ──> Whole
//! ```
//!
//! Every version on the way is an index like any other: it can be checkpointed, opened and gone on
//! with, so that a build outlives its process, and what of it is stored can leave memory, so that it
//! fits any. Only its searches are slow, since the stop rule is not calibrated: nobody should ask it
//! before it is whole.
//!
//! Computation alone, but for `settle`: run it where blocking is allowed.

use super::{Index, IndexOptions, Inner, checked_rows, expected_dims, ffi};
use crate::{
    error::{Error, Result, SqlState},
    ids::RowId,
    vector::{DIMS_MAX, Metric},
};
use serde::{Deserialize, Serialize};
use std::{ops::ControlFlow, sync::Arc};

/// Told how far training is, from 0 to 1, between its steps; `Break` cancels it (57014).
pub type Watch<'a> = &'a (dyn Fn(f32) -> ControlFlow<()> + Sync);

/// Products of coordinates that one slice of rows takes to be assigned, about: some tenths of a
/// second, after which a build looks whether it is still wanted.
const SLICE_PRODUCTS: u64 = 4 << 30;
/// Rows of a slice, at least and at most.
const SLICE_ROWS: (usize, usize) = (256, 8192);

/// How far the build of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Rows are loaded, by ascending row: those below the watermark are in it.
    Loading,
    /// All rows are in it; postings may be too full, too empty, or in too many chunks.
    Settling,
    /// It is built.
    #[default]
    Whole,
}

/// Rows to load, which ascend.
#[derive(Debug, Default, Clone)]
pub struct Slice {
    /// The rows.
    pub rows: Vec<RowId>,
    /// Their vectors, one behind the other.
    pub vectors: Vec<f32>,
}

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

/// Centroids that are trained on a sample of the rows to come.
#[derive(Debug)]
pub struct Training {
    options: IndexOptions,
    core: ffi::Builder,
}

impl Training {
    /// How many vectors make a good sample of so many rows, of those for which there is memory.
    #[must_use]
    pub fn sample_rows(options: &IndexOptions, rows: u64, bytes: u64) -> u64 {
        ffi::Builder::sample_rows(options, rows, bytes)
    }

    /// For about `rows` rows; memory for a sample of `sample_rows` is taken at once.
    pub fn begin(options: IndexOptions, rows: u64, sample_rows: u64) -> Result<Self> {
        options.check()?;
        let core = ffi::Builder::begin(&options, rows, sample_rows)?;
        Ok(Self { options, core })
    }

    /// Takes a copy of some vectors of the sample, which is to be drawn evenly. Those beyond its size
    /// are left out.
    pub fn add_sample(&mut self, vectors: &[f32]) -> Result<()> {
        let odd = vectors.len() % self.options.dims as usize;
        if odd != 0 {
            return Err(expected_dims(self.options.dims, odd));
        }
        self.core.add_sample(vectors)
    }

    /// An index of nothing with trained centroids. What comes of it does not depend on how many
    /// threads train.
    pub fn run(mut self, threads: usize, watch: Watch<'_>) -> Result<Index> {
        self.core.start()?;
        while self.core.train(threads)? {
            poll(watch, self.core.trained())?;
        }
        let inner = Inner::new(self.options, self.core.version()?);
        Ok(Index(Arc::new(Inner { stage: Stage::Loading, ..inner })))
    }
}

impl Index {
    /// How far its build is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Whether it is built.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.stage == Stage::Whole
    }

    /// How many rows make a slice that is assigned in some tenths of a second.
    #[must_use]
    pub fn slice_rows(&self) -> usize {
        let each = u64::from(self.0.core.postings()) * u64::from(self.0.core.stride());
        let rows = SLICE_PRODUCTS / each.max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).clamp(SLICE_ROWS.0, SLICE_ROWS.1)
    }

    /// Adds slices, which ascend and are not below the watermark, each on a thread of its own. The
    /// watermark rises above them. What becomes of it does not depend on how many slices come
    /// together.
    pub fn load(&self, slices: &[Slice]) -> Result<Self> {
        let mut next = Inner::clone(&self.0);
        let mut slices = slices;
        // The first rows of an index without centroids make one, from which the others follow.
        if next.core.postings() == 0
            && let Some((first, rest)) = slices.split_first()
        {
            let change = next.core.insert(&next.checked(first)?, &first.vectors)?;
            next.take_in(change.version.clone(), change, first)?;
            slices = rest;
        }
        let base = next.core.clone();
        let words: Vec<Vec<u64>> = slices.iter().map(|s| next.checked(s)).collect::<Result<_>>()?;
        let insert = &|at: usize| base.insert(&words[at], &slices[at].vectors);
        let changes: Vec<Result<ffi::Change>> = std::thread::scope(|scope| {
            let others: Vec<_> =
                (1..slices.len()).map(|at| scope.spawn(move || insert(at))).collect();
            let first = (!slices.is_empty()).then(|| insert(0));
            let panicked = |_| Err(Error::internal("an insert panicked"));
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(panicked));
            first.into_iter().chain(others).collect()
        });
        for (change, slice) in changes.into_iter().zip(slices) {
            let change = change?;
            let merged = next.core.merge(&base, &change.version)?;
            next.take_in(merged, change, slice)?;
        }
        Ok(Self(Arc::new(next)))
    }

    /// The same with the chunks of each posting that are in memory alone as one: to be called before
    /// they are stored.
    pub fn tidied(&self) -> Result<Self> {
        let mut next = Inner::clone(&self.0);
        next.postings.tidy()?;
        Ok(Self(Arc::new(next)))
    }

    /// The same when all rows are loaded; [`Index::settle`] does the rest.
    pub fn loaded(&self) -> Result<Self> {
        let mut next = Inner::clone(&self.0);
        next.postings.tidy()?;
        next.core = next.core.loaded()?;
        next.stage = Stage::Settling;
        Ok(Self(Arc::new(next)))
    }

    /// The same when [`Index::settle`] has nothing more to do.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self(Arc::new(Inner { stage: Stage::Whole, ..Inner::clone(&self.0) }))
    }
}

impl Inner {
    fn checked(&self, slice: &Slice) -> Result<Vec<u64>> {
        let words = checked_rows(&self.options, &slice.rows, &slice.vectors)?;
        if slice.rows.first().is_some_and(|&row| row < self.watermark) {
            return Err(Error::internal("a row was handed to an index a second time"));
        }
        Ok(words)
    }

    fn take_in(&mut self, core: ffi::Version, change: ffi::Change, slice: &Slice) -> Result<()> {
        self.core = core;
        self.postings.load(change.postings)?;
        if !change.left_out.is_empty() {
            Arc::make_mut(&mut self.left_out).extend(change.left_out.into_iter().map(RowId));
        }
        if slice.rows.first().is_some_and(|&first| first < self.watermark) {
            return Err(Error::internal("slices of an index do not ascend"));
        }
        if let Some(&last) = slice.rows.last() {
            self.watermark = RowId(last.0 + 1);
        }
        Ok(())
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
