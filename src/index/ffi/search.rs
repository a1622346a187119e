//! Searches: which postings are worth reading, and the nearest of what they hold.

use super::{bridge, checked, chunk::Chunk, version::Version};
use crate::{
    error::Result,
    ids::{RowId, RowSet},
};
use cxx::UniquePtr;

/// What a search asks of the core.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Request {
    pub(in crate::index) k: u32,
    pub(in crate::index) recall_target: f32,
    pub(in crate::index) probes_min: u32,
    pub(in crate::index) below: RowId,
}

/// What the core found.
#[derive(Debug)]
pub(in crate::index) struct Answer {
    pub(in crate::index) hits: Vec<(RowId, f32)>,
    pub(in crate::index) probes: u32,
    pub(in crate::index) scanned: u64,
}

/// One search.
pub(in crate::index) struct Search(UniquePtr<bridge::Search>);

impl Search {
    pub(in crate::index) fn begin(
        version: &Version,
        query: &[f32],
        request: Request,
    ) -> Result<Self> {
        let wanted = bridge::Request {
            k: request.k,
            recall_target: request.recall_target,
            probes_min: request.probes_min,
            below: request.below.0,
        };
        let made = bridge::search_begin(&version.0, query, &wanted);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn next(&mut self, most: u32, postings: &mut Vec<u32>) -> Result<()> {
        checked(bridge::search_next(self.0.pin_mut(), most, postings))
    }

    /// Those that the answer most likely takes, whose last hit lies so deep among all rows.
    pub(in crate::index) fn next_likely(
        &mut self,
        depth: f32,
        most: u32,
        postings: &mut Vec<u32>,
    ) -> Result<()> {
        checked(bridge::search_next_likely(self.0.pin_mut(), depth, most, postings))
    }

    pub(in crate::index) fn score(
        &mut self,
        chunk: &Chunk,
        allowed: Option<&RowSet>,
    ) -> Result<()> {
        let search = self.0.pin_mut();
        checked(match allowed {
            None => bridge::search_score(search, &chunk.0),
            Some(rows) => bridge::search_score_allowed(search, &chunk.0, rows.base(), rows.words()),
        })
    }

    /// A chunk without its records, which is known by `number` from now on.
    pub(in crate::index) fn score_scan(
        &mut self,
        chunk: &Chunk,
        number: u32,
        allowed: Option<&RowSet>,
    ) -> Result<()> {
        let search = self.0.pin_mut();
        checked(match allowed {
            None => bridge::search_score_scan(search, &chunk.0, number),
            Some(rows) => {
                let (base, words) = (rows.base(), rows.words());
                bridge::search_score_scan_allowed(search, &chunk.0, number, base, words)
            }
        })
    }

    /// So many entries of postings that were named may not be found, as is known without them.
    pub(in crate::index) fn pass_over(&mut self, entries: u32) {
        self.0.pin_mut().pass_over(entries);
    }

    /// What was seen so far.
    pub(in crate::index) fn seen(&self) -> Seen {
        let Self(search) = self;
        Seen { scanned: search.scanned(), entries: search.seen(), visible: search.visible() }
    }

    /// The numbers of the chunks whose records are wanted next.
    pub(in crate::index) fn wanted(&mut self) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        checked(bridge::search_wanted(self.0.pin_mut(), &mut numbers))?;
        Ok(numbers)
    }

    pub(in crate::index) fn score_records(&mut self, chunk: &Chunk, number: u32) -> Result<()> {
        checked(bridge::search_score_records(self.0.pin_mut(), &chunk.0, number))
    }

    /// Whether chunks are of no use without their records.
    pub(in crate::index) fn wants_all_records(&self) -> bool {
        self.0.wants_all_records()
    }

    pub(in crate::index) fn answer(&self) -> Result<Answer> {
        let hits = bridge::search_hits(&self.0);
        checked(hits.status)?;
        Ok(Answer {
            hits: hits.hits.iter().map(|hit| (RowId(hit.row), hit.distance)).collect(),
            probes: hits.probes,
            scanned: hits.scanned,
        })
    }
}

/// Entries that a search has come by.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Seen {
    /// Those that were scored.
    pub(in crate::index) scanned: u64,
    /// All, those that were passed over too.
    pub(in crate::index) entries: u64,
    /// Of these, about how many may be found.
    pub(in crate::index) visible: u64,
}
