//! Probe, fetch, score: one nearest-neighbour search.
//!
//! The core names the postings to read next by what it has seen so far, and scores them. Where these
//! are in memory it is asked for few at a time, so that it stops as soon as it may. Where they are not,
//! rounds are what is dear, and most cold searches take one: the scan parts of all postings that the
//! answer most likely takes, with the records of the nearest. When it turns out to take more, or when
//! records that are not there may hold a hit, these come in rounds of their own. A search sees its
//! version alone.

use super::{Index, Inner, costs::Costs, expected_dims, ffi, posting::Chunk, store::Want};
use crate::{
    error::{Error, Result, SqlState},
    ids::{RowId, RowSet},
};
use std::{fmt, sync::Arc};

/// Postings named at once while all are in memory: the fewer, the sooner the core may stop.
const WARM: u32 = 2;
/// Postings named at once while some are not in memory, at least, in the first round and those that
/// follow; and at most.
const COLD_FIRST: u32 = 16;
const COLD: u32 = 32;
const COLD_MAX: u32 = 512;
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
    /// When about so many more entries would have to be scored, the search gives up.
    pub entries_worth: u64,
    /// Whether a chunk of this summary may hold a row that may be found; `None`: any may.
    pub may_hold: Option<MayHold<'a>>,
}

/// A test of the summaries of chunks ([`Summaries`](super::Summaries)).
#[derive(Clone, Copy)]
pub struct MayHold<'a>(pub &'a (dyn Fn(&[u8]) -> bool + Send + Sync));

impl fmt::Debug for MayHold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MayHold")
    }
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
    /// Postings that were passed over, since by their summaries no row of theirs may be found.
    pub passed: usize,
    /// Vectors that were measured.
    pub scanned: u64,
    /// Chunks of postings that were in memory.
    pub resident: usize,
    /// Whether something had to be read from the store.
    pub waited: bool,
    /// Whether the search gave up: the hits are not all.
    pub gave_up: bool,
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
        let all_records = search.wants_all_records();
        let (mut near, mut missing) = (Near::default(), Vec::new());
        // The chunks that were scored by their scan part, by their numbers.
        let mut scanned: Vec<Arc<Chunk>> = Vec::new();
        let (mut batch, mut is_cold) = (WARM, false);
        let ahead_max = index.store.get().map_or(0, |store| store.source().ahead_max());
        let (mut scored, mut gave_up, mut waited) = (0, false, false);
        let mut resident = 0;
        let mut forecast = Forecast::of(request);
        loop {
            near.clear();
            near.name(batch, &mut search, index, request.may_hold)?;
            if is_cold {
                // Whoever needs more than was likely may need much more.
                batch = (2 * batch).min(COLD_MAX);
            } else if near.chunks.iter().any(|chunk| !chunk.is_resident()) {
                is_cold = true;
                batch = COLD;
                near.name_likely(request, &mut search, index)?;
            }
            // Bytes of records that are read before it is known which are wanted.
            let mut ahead = if is_cold { ahead_max } else { 0 };
            let missing_before = missing.len();
            for &chunk in &near.chunks {
                match chunk.resident() {
                    Some(here) if here.has_records() => search.score(&here, request.allowed)?,
                    Some(here) if !all_records => {
                        search.score_scan(&here, number_of(&scanned), request.allowed)?;
                        scanned.push(Arc::clone(chunk));
                    }
                    _ if all_records => missing.push(Want::whole(chunk)),
                    None if ahead >= chunk.bytes() => {
                        ahead -= chunk.bytes();
                        missing.push(Want::whole(chunk));
                    }
                    _ => missing.push(Want::scan(chunk)),
                }
            }
            resident += near.chunks.len() - (missing.len() - missing_before);
            scored += near.named;
            if missing.is_empty() && near.named > 0 {
                if forecast.is_too_dear(&search, &index.costs, index.core.entries()) {
                    gave_up = true;
                    break;
                }
                if scored >= SLICE {
                    scored = 0;
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let wanted = search.wanted()?;
            if missing.is_empty() && wanted.is_empty() {
                break;
            }
            let records = wanted.iter().map(|&number| Want::whole(&scanned[number as usize]));
            let wants: Vec<Want> = records.chain(missing.drain(..)).collect();
            let read = self.fetch_parts(wants.clone()).await?;
            waited = true;
            let (records, scans) = read.split_at(wanted.len());
            for (&number, chunk) in wanted.iter().zip(records) {
                search.score_records(chunk, number)?;
            }
            for (want, chunk) in wants[wanted.len()..].iter().zip(scans) {
                if chunk.has_records() {
                    search.score(chunk, request.allowed)?;
                } else {
                    search.score_scan(chunk, number_of(&scanned), request.allowed)?;
                    scanned.push(Arc::clone(&want.chunk));
                }
            }
            if forecast.is_too_dear(&search, &index.costs, index.core.entries()) {
                gave_up = true;
                break;
            }
        }
        let seen = search.seen();
        if !gave_up {
            index.costs.learn(request.k, seen.visible, seen.entries);
        }
        let answer = search.answer()?;
        Ok(Found {
            hits: answer.hits.into_iter().map(|(row, distance)| Hit { row, distance }).collect(),
            probes: answer.probes as usize - near.passed,
            passed: near.passed,
            scanned: answer.scanned,
            resident,
            waited,
            gave_up,
        })
    }
}

/// Looks, from time to time, at how far a search has still to go.
struct Forecast {
    k: usize,
    entries_worth: u64,
    /// When so many entries were seen it looks next.
    next: u64,
}

/// Entries after which a search looks ahead for the first time.
const FORECAST_FIRST: u64 = 1024;

impl Forecast {
    fn of(request: &Search<'_>) -> Self {
        let Search { k, entries_worth, .. } = *request;
        // Without a filter what there is to know was known before.
        let next = if request.allowed.is_some() { FORECAST_FIRST } else { u64::MAX };
        Self { k, entries_worth, next }
    }

    /// Whether what is left would cost more than it is worth, as far as the entries tell that were
    /// seen so far: a filter whose rows lie far from the query shows in how few of these match.
    fn is_too_dear(&mut self, search: &ffi::Search, costs: &Costs, entries: u64) -> bool {
        let seen = search.seen();
        if seen.entries < self.next {
            return false;
        }
        self.next = seen.entries + seen.entries / 2;
        // Half an entry where there was none yet.
        let all = costs.expect(self.k, (2 * seen.visible).max(1), 2 * seen.entries).min(entries);
        let left = all.saturating_sub(seen.entries);
        // Of those that were passed over none is scored.
        left * seen.scanned / seen.entries.max(1) > self.entries_worth
    }
}

/// What the core named to be read next.
#[derive(Default)]
struct Near<'a> {
    /// Postings that may hold something.
    named: usize,
    /// Their chunks that may.
    chunks: Vec<&'a Arc<Chunk>>,
    /// Postings that were passed over, of this round and all before.
    passed: usize,
    postings: Vec<u32>,
}

impl<'a> Near<'a> {
    fn clear(&mut self) {
        self.named = 0;
        self.chunks.clear();
    }

    /// Adds the next postings, so many that may hold something, or all that the core names.
    fn name(
        &mut self,
        most: u32,
        search: &mut ffi::Search,
        index: &'a Inner,
        may_hold: Option<MayHold<'_>>,
    ) -> Result<()> {
        self.name_by(most, search, index, may_hold, ffi::Search::next)
    }

    /// Adds those that the answer most likely takes.
    fn name_likely(
        &mut self,
        request: &Search<'_>,
        search: &mut ffi::Search,
        index: &'a Inner,
    ) -> Result<()> {
        let (rows, entries) = (request.allowed.map_or(u64::MAX, RowSet::len), index.core.entries());
        let each = index.options.spill_rule.entries_a_row();
        let seldom = (entries / rows.saturating_mul(each).max(1)).max(1);
        #[expect(clippy::cast_precision_loss, reason = "about how deep")]
        let depth = request.k as f32 * seldom as f32;
        self.name_by(COLD_MAX, search, index, request.may_hold, |search, left, named| {
            search.next_likely(depth, left, named)
        })?;
        let few = COLD_FIRST.saturating_sub(u32::try_from(self.named).unwrap_or(u32::MAX));
        self.name(few, search, index, request.may_hold)
    }

    fn name_by(
        &mut self,
        most: u32,
        search: &mut ffi::Search,
        index: &'a Inner,
        may_hold: Option<MayHold<'_>>,
        next: impl Fn(&mut ffi::Search, u32, &mut Vec<u32>) -> Result<()>,
    ) -> Result<()> {
        let mut left = most;
        while left > 0 {
            self.postings.clear();
            next(search, left, &mut self.postings)?;
            if self.postings.is_empty() {
                break;
            }
            for &id in &self.postings {
                let chunks = index.postings.chunks(id);
                let before = self.chunks.len();
                match may_hold {
                    None => self.chunks.extend(chunks),
                    Some(MayHold(may_hold)) => {
                        for chunk in chunks {
                            if chunk.summary().is_none_or(may_hold) {
                                self.chunks.push(chunk);
                            } else {
                                search.pass_over(chunk.entries());
                            }
                        }
                    }
                }
                if self.chunks.len() == before && !chunks.is_empty() {
                    self.passed += 1;
                } else {
                    self.named += 1;
                    left -= 1;
                }
            }
        }
        Ok(())
    }
}

fn number_of(scanned: &[Arc<Chunk>]) -> u32 {
    u32::try_from(scanned.len()).expect("fewer chunks than entries")
}
