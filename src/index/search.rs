//! Probe, fetch, score: one nearest-neighbour search.
//!
//! The core names the postings to read next by what it has seen so far; what is not in memory is
//! fetched, several at a time and more each round, so that a cold search takes few rounds; the core
//! scores it. A search sees its version alone.

use super::{Index, expected_dims, ffi};
use crate::{
    error::{Error, Result, SqlState},
    ids::{RowId, RowSet},
};
use std::sync::Arc;

/// Postings named at once while all are in memory: the fewer, the sooner the core may stop.
const WARM: u32 = 2;
/// Postings named at once after the first that had to be fetched, and at most.
const COLD_MIN: u32 = 16;
const COLD_MAX: u32 = 64;
/// Postings scored before others get a turn on this thread.
const SLICE: usize = 64;

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Near what.
    pub query: &'a [f32],
    /// How many rows.
    pub k: usize,
    /// The share of the k nearest that shall be found, above 0; 1.0 finds all.
    pub recall_target: f32,
    /// At least so many postings are read.
    pub probes_min: usize,
    /// Only these rows may be found; `None` allows all.
    pub allowed: Option<&'a RowSet>,
    /// Rows from this one on are not seen.
    pub below: RowId,
}

/// A row and how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The row.
    pub row: RowId,
    /// As the metric's SQL operator shows it, to float precision; an estimate from 64 dimensions on.
    pub distance: f32,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Nearest first, ties by row; fewer than k only when fewer rows of the index are allowed. From 64
    /// dimensions on some more than k: those that codes leave open, for exact distances to decide.
    pub hits: Vec<Hit>,
    /// Postings that were looked at.
    pub probes: usize,
    /// Vectors that were measured.
    pub scanned: u64,
}

impl Index {
    /// Finds the nearest rows. Waits only for postings that are not in memory.
    ///
    /// Fails with 22000 for a query of other dimensions, and for one without a place: ask
    /// [`Index::has_place`] first.
    pub async fn search(&self, request: &Search<'_>) -> Result<Found> {
        let index = &self.0;
        if request.query.len() != index.options.dims as usize {
            return Err(expected_dims(index.options.dims, request.query.len()));
        }
        if !(request.recall_target > 0.0 && request.recall_target <= 1.0) {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "recall_target must be above 0 and at most 1, not {}",
                    request.recall_target
                ),
            ));
        }
        let wish = ffi::Request {
            k: u32::try_from(request.k).unwrap_or(u32::MAX),
            recall_target: request.recall_target,
            probes_min: u32::try_from(request.probes_min).unwrap_or(u32::MAX),
            below: request.below,
        };
        let mut search = ffi::Search::begin(&index.core, request.query, wish)?;
        let mut postings = Vec::new();
        let mut missing = Vec::new();
        let mut batch = WARM;
        let mut scored = 0;
        loop {
            postings.clear();
            search.next(batch, &mut postings)?;
            if postings.is_empty() {
                break;
            }
            for chunk in postings.iter().flat_map(|&id| index.postings.chunks(id)) {
                if let Some(resident) = chunk.resident() {
                    search.score(&resident, request.allowed)?;
                } else if chunk.any_visible(request.allowed, request.below) {
                    missing.push(Arc::clone(chunk));
                } else {
                    search.skip(chunk.entries());
                }
            }
            if !missing.is_empty() {
                for chunk in self.fetch(&missing).await? {
                    search.score(&chunk, request.allowed)?;
                }
                missing.clear();
                batch = (batch * 2).clamp(COLD_MIN, COLD_MAX);
            }
            scored += postings.len();
            if scored >= SLICE {
                scored = 0;
                tokio::task::yield_now().await;
            }
        }
        let answer = search.answer()?;
        Ok(Found {
            hits: answer.hits.into_iter().map(|(row, distance)| Hit { row, distance }).collect(),
            probes: answer.probes as usize,
            scanned: answer.scanned,
        })
    }
}
