//! Whether an index is what it should be: everything is counted anew, from the chunks themselves and
//! against what the table has.
//!
//! What may be otherwise for a while, and is put right by upkeep, has a bound and is measured (rows
//! that are not with their nearest centroid, entries of dead rows); what may never be otherwise has
//! the bound 0 (lost rows, counts that disagree).

use super::{
    Index, IndexOptions, ffi,
    posting::{Chunk, Posting, SPILLED, live_of, row_of},
};
use crate::{error::Result, ids::RowId};
use roaring::RoaringTreemap;
use std::{collections::HashMap, fmt::Write as _, sync::Arc};

/// Chunks that are read at once.
const READ_AT_ONCE: usize = 64;
/// Of the rows that are wrong, so many are named.
const NAMED: usize = 10;
/// The share of rows that may be with another centroid than their nearest while rows come and go.
const MISPLACED_MAX: f64 = 0.01;
/// The share of entries that may be of dead rows.
const DEAD_MAX: f64 = 0.15;
/// What postings hold at least of what they should, on average.
const FILL_MIN: f64 = 0.6;
/// With fewer postings than this, how full they are says nothing.
const FILLED_MIN: u32 = 8;
/// The share of estimates that may lie outside bounds that hold but for chance. Of few estimates more may:
/// so many that sound bounds have more once in a million times at most.
const UNBOUNDED_MAX: f64 = 0.01;
const CHANCE_LN: f64 = -13.8;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub measured: f64,
    /// What it may be at most; for `fill`, at least.
    pub bound: f64,
    /// More of what was found, for people.
    pub detail: String,
}

/// What [`Verification::report`] says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Live rows that it has.
    pub rows: u64,
    /// Entries, second copies and those of dead rows included.
    pub entries: u64,
    /// Entries of the largest posting.
    pub posting_entries_max: u32,
    /// Live rows that have no first copy, or more than one.
    pub odd_rows: Vec<RowId>,
    /// What cannot be: each a sentence. Empty for a sound index.
    pub faults: Vec<String>,
    /// All that was checked.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// An index that was counted, to be compared with its table.
#[derive(Debug)]
pub struct Verification {
    options: IndexOptions,
    postings: u32,
    left_out: RoaringTreemap,
    found: ffi::Verified,
    /// Live rows with a copy, with a first copy, and with more than one.
    present: RoaringTreemap,
    first: RoaringTreemap,
    doubled: RoaringTreemap,
    lost: Vec<RowId>,
    lost_count: u64,
}

impl Index {
    /// Reads all there is. `live` tells the rows that some reader may still see. `sample` are vectors
    /// that the table has for some rows: the codes of these rows are compared with them.
    ///
    /// # Errors
    /// Those of reading what is not in memory.
    pub async fn verify(
        &self,
        live: &(dyn Fn(RowId) -> bool + Sync),
        sample: &HashMap<RowId, Vec<f32>>,
    ) -> Result<Verification> {
        let mut verifier = ffi::Verifier::begin(&self.0.core)?;
        let (mut present, mut first, mut doubled) =
            (RoaringTreemap::new(), RoaringTreemap::new(), RoaringTreemap::new());
        let mut query: Option<&[f32]> = None;
        // All that there are, whether the core knows them or not.
        let of = |(id, posting): (u32, &Arc<Posting>)| {
            posting.chunks.iter().map(|chunk| (id, Arc::clone(chunk))).collect::<Vec<_>>()
        };
        let all: Vec<(u32, Arc<Chunk>)> = self.0.postings.iter().flat_map(of).collect();
        for some in all.chunks(READ_AT_ONCE) {
            let chunks: Vec<Arc<Chunk>> = some.iter().map(|(_, chunk)| Arc::clone(chunk)).collect();
            for ((id, _), chunk) in some.iter().zip(self.fetch(&chunks).await?) {
                let is_live = live_of(&chunk, live)?;
                verifier.add_chunk(*id, &chunk, &is_live)?;
                for ((entry, word), is_live) in (0..).zip(chunk.words()?).zip(is_live) {
                    let row = row_of(word);
                    if let Some(vector) = sample.get(&row) {
                        let other = query.unwrap_or(vector);
                        verifier.compare(&chunk, entry, vector, other)?;
                        query = Some(vector);
                    }
                    if is_live == 0 {
                        continue;
                    }
                    present.insert(row.0);
                    if word & SPILLED == 0 && !first.insert(row.0) {
                        doubled.insert(row.0);
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(Verification {
            options: self.0.options,
            postings: self.0.core.postings(),
            left_out: self.0.left_out.iter().map(|row| row.0).collect(),
            found: verifier.found()?,
            present,
            first,
            doubled,
            lost: Vec::new(),
            lost_count: 0,
        })
    }
}

impl Verification {
    /// Here is a live row with a vector that the index is to have.
    pub fn expect(&mut self, row: RowId) {
        if self.first.contains(row.0) || self.left_out.contains(row.0) {
            return;
        }
        self.lost_count += 1;
        if self.lost.len() < NAMED {
            self.lost.push(row);
        }
    }

    /// What was found.
    #[must_use]
    pub fn report(self) -> Report {
        let odd = &(&self.present - &self.first) | &self.doubled;
        let found = &self.found;
        let (posting_target, posting_max) = (self.options.posting_target, self.options.posting_max);
        let room = f64::from(self.postings) * f64::from(posting_target);
        let fill = if room > 0.0 { number(found.entries) / room } else { 1.0 };
        let mut checks = vec![
            at_most("structure", number(found.faults.len() as u64), 0.0, found.faults.join("; ")),
            at_most(
                "lost_rows",
                number(self.lost_count),
                0.0,
                named("without a first copy", &self.lost),
            ),
            at_most(
                "doubled_rows",
                number(self.doubled.len()),
                0.0,
                named(
                    "with more than one first copy",
                    &self.doubled.iter().take(NAMED).map(RowId).collect::<Vec<_>>(),
                ),
            ),
            at_most(
                "nearest_partition",
                share(found.misplaced, found.placed),
                MISPLACED_MAX,
                format!("{} of {} rows, nearer to another centroid", found.misplaced, found.placed),
            ),
            at_most(
                "stale_entries",
                share(found.dead, found.entries),
                DEAD_MAX,
                format!("{} of {} entries", found.dead, found.entries),
            ),
            at_most(
                "posting_size",
                f64::from(found.overfull),
                0.0,
                format!("above {} entries; the largest has {}", 2 * posting_max, found.largest),
            ),
            at_most(
                "radius",
                number(found.outside),
                0.0,
                format!("of {} entries, outside their posting's radius", found.entries),
            ),
            at_most(
                "codes",
                number(found.untrue),
                0.0,
                format!("of {}, farther from their vector than their code says", found.compared),
            ),
            at_most(
                "bounds",
                share(found.unbounded, found.estimates),
                chance_bound(UNBOUNDED_MAX, found.estimates),
                format!(
                    "{} of {} estimates, outside their bounds",
                    found.unbounded, found.estimates
                ),
            ),
        ];
        checks.push(Check {
            name: "fill",
            ok: fill >= FILL_MIN || self.postings < FILLED_MIN,
            measured: fill,
            bound: FILL_MIN,
            detail: format!(
                "{} entries in {} postings, {posting_target} wanted in each",
                found.entries, self.postings
            ),
        });
        Report {
            rows: self.present.len(),
            entries: found.entries,
            posting_entries_max: found.largest,
            odd_rows: odd.iter().map(RowId).collect(),
            faults: found.faults.clone(),
            checks,
        }
    }
}

fn at_most(name: &'static str, measured: f64, bound: f64, detail: String) -> Check {
    Check { name, ok: measured <= bound, measured, bound, detail }
}

/// The share of some trials that a share of all leads to but once in a million times: Chernoff's bound,
/// by which at least a share p of n has at most the chance exp(-n KL(p, share)).
fn chance_bound(share: f64, trials: u64) -> f64 {
    let divergence =
        |p: f64| p * (p / share).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - share)).max(1e-300).ln();
    let (mut low, mut high) = (share, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if number(trials) * divergence(middle) > -CHANCE_LN { high = middle } else { low = middle }
    }
    high
}

fn named(what: &str, rows: &[RowId]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let before = if at == 0 { format!("{what}: row ") } else { ", ".to_owned() };
        let _ = write!(text, "{before}{}", row.0);
    }
    text
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { number(part) / number(of) }
}

#[expect(clippy::cast_precision_loss, reason = "a share, shown to people")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_estimates_may_miss_their_bounds_by_chance_and_many_may_not() {
        let worst = |trials: u64| chance_bound(0.01, trials) * number(trials);
        assert!(worst(230) > 10.0 && worst(230) < 20.0, "{}", worst(230));
        assert!(worst(1_000_000) < 10_600.0, "{}", worst(1_000_000));
        assert!((chance_bound(0.01, 0) - 1.0).abs() < 1e-9);
    }
}
