//! Whether an index is what it should be, from its structure alone: no vector is read.

use super::{
    Index, ffi,
    posting::{SPILLED, row_of},
    store::Want,
};
use crate::{error::Result, ids::RowId};
use std::collections::HashMap;

/// What [`Index::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Distinct rows.
    pub rows: u64,
    /// Entries, second copies included.
    pub entries: u64,
    /// The largest posting.
    pub posting_entries_max: u32,
    /// Rows that have no first copy, or more than one: nothing is lost, but a split may lose sight.
    pub odd_rows: Vec<RowId>,
    /// What cannot be: each a sentence. Empty for a sound index.
    pub faults: Vec<String>,
}

impl Index {
    /// Counts everything twice: what the core says of a posting, and what its chunks hold.
    ///
    /// # Errors
    /// Those of reading what is not in memory.
    pub async fn verify(&self) -> Result<Report> {
        let core = &self.0.core;
        let mut report = Report::default();
        let mut primaries_of: HashMap<RowId, u32> = HashMap::new();
        for (id, posting) in self.0.postings.iter() {
            let (mut entries, mut primaries) = (0_u32, 0_u32);
            let scans = self.fetch_parts(posting.chunks.iter().map(Want::scan).collect()).await?;
            let words: Vec<Vec<u64>> =
                scans.iter().map(ffi::Chunk::words).collect::<Result<_>>()?;
            for word in words.into_iter().flatten() {
                let is_primary = u32::from(word & SPILLED == 0);
                entries += 1;
                primaries += is_primary;
                *primaries_of.entry(row_of(word)).or_default() += is_primary;
            }
            report.entries += u64::from(entries);
            report.posting_entries_max = report.posting_entries_max.max(entries);
            if !core.in_use(id) {
                report.faults.push(format!("posting {id} has no centroid"));
            } else if (entries, primaries) != (core.entries_of(id), core.primaries_of(id)) {
                report.faults.push(format!(
                    "posting {id} has {entries} entries, {primaries} of them first copies; its \
                     centroid counts {} and {}",
                    core.entries_of(id),
                    core.primaries_of(id),
                ));
            }
        }
        for id in 0..core.capacity() {
            if core.entries_of(id) > 0 && self.0.postings.get(id).is_none() {
                report.faults.push(format!("posting {id} is lost"));
            }
        }
        if report.entries != core.entries() {
            report.faults.push(format!(
                "{} entries are counted, the index says {}",
                report.entries,
                core.entries()
            ));
        }
        report.rows = primaries_of.len() as u64;
        report.odd_rows =
            primaries_of.into_iter().filter(|&(_, n)| n != 1).map(|(row, _)| row).collect();
        report.odd_rows.sort_unstable();
        Ok(report)
    }
}
