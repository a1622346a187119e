//! The two ways to the nearest rows of a snapshot: by reading each, and by an index.
//!
//! Both give rows with exact distances, nearest first. A search may ask for all rows that tie with
//! the k-th, so that something else can decide between them.

use super::topk::{Neighbour, Query, TopK, offer_rows, scan_group};
use crate::{
    error::Result,
    ids::{RowId, RowSet},
    index::{self, Index, MayHold, Unit},
    sql::functions::points::Points,
    storage::{
        columns::ColumnSpec,
        reads,
        table::{Group, TableState},
    },
    vector::Metric,
};
use std::cmp::Ordering;

/// So few rows are always read: an index could hardly be quicker, and would not find all.
const READ_MIN: u64 = 2_000;
/// What it takes about, in picoseconds, to read and decode a byte that is not in memory.
const FAR_BYTE_PS: u64 = 1_000;
/// Of a group that is not in memory rows are read by themselves while they are fewer than one in
/// this many.
const SPARSE: u64 = 64;
/// Rows that are read by themselves at a time.
const SPARSE_ROWS: usize = 1024;
/// About what is read for one row by itself.
const PAGE_BYTES: u64 = 64 << 10;

/// An index is asked for so many times more rows while those that it gave end in a tie.
const TIE_GROWTH: usize = 4;

/// What is searched for, and among which rows.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours<'a> {
    /// The table's rows.
    pub rows: &'a TableState,
    /// Its column of points.
    pub column: &'a ColumnSpec,
    /// What else of the rows is wanted afterwards. Where an index had to be read from the store, it comes
    /// along with the points, so that nobody waits for it once more.
    pub others: &'a [ColumnSpec],
    /// Near what.
    pub query: &'a Query,
    /// How many.
    pub k: usize,
    /// Whether all rows that tie with the k-th are wanted too.
    pub ties: bool,
    /// The rows that may be found.
    pub allowed: &'a RowSet,
}

/// How an index is asked.
#[derive(Debug, Clone, Copy)]
pub struct Effort<'a> {
    /// The share of the nearest rows that is to be found.
    pub recall_target: f32,
    /// The least number of postings to read.
    pub probes_min: usize,
    /// Rows from here on are not the index's to see: they are a transaction's own.
    pub committed_end: RowId,
    /// When about so many more entries would have to be looked at, the index gives up.
    pub entries_worth: u64,
    /// Which chunks of postings may hold a row that may be found; `None`: all.
    pub may_hold: Option<MayHold<'a>>,
}

/// What a search found, and at what cost.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Nearest first.
    pub rows: Vec<Neighbour>,
    /// Vectors that were measured.
    pub scanned: u64,
    /// Of these, entries of the index.
    pub entries: u64,
    /// Postings that were read.
    pub probes: usize,
    /// Postings that were passed over.
    pub passed: usize,
    /// Whether something was read that was not in memory.
    pub was_far: bool,
}

impl Neighbours<'_> {
    /// For how many entries of an index reading every allowed row is as good; `None` when it is the
    /// better way, as far as can be told before.
    #[must_use]
    pub fn entries_worth(&self, index: &Index) -> Option<u64> {
        let matching = self.allowed.len();
        if matching <= READ_MIN {
            return None;
        }
        let row_bytes = u64::from(index.options().dims) * 4;
        let mut reading = matching * index.pace(Unit::Vector);
        for group in self.rows.groups().filter(|group| !group.is_at_hand(self.column)) {
            let wanted = self.allowed.count_within(group.first_row(), group.end_row());
            let whole = group.len() as u64 * row_bytes;
            let bytes = if is_sparse(wanted, &group) { wanted * PAGE_BYTES } else { whole };
            reading += if wanted == 0 { 0 } else { bytes * FAR_BYTE_PS };
        }
        let worth = reading / index.pace(Unit::Entry).max(1);
        let expected = index.expected_scan(self.k, matching, self.rows.live_rows());
        (expected < worth).then_some(worth)
    }

    /// The nearest, by reading every allowed row.
    ///
    /// # Errors
    /// Those of reading, and 22000 when dimensions differ.
    pub async fn by_reading(&self) -> Result<Found> {
        let mut found = Found::default();
        let top = self.read(RowId(0), self.k, &mut found).await?;
        found.rows = top.into_sorted();
        Ok(found)
    }

    /// The nearest, by an index and among the rows that it lacks; `None` when these are fewer than
    /// k, when so many tie that reading all is better, or when the index is found to be damaged.
    ///
    /// # Errors
    /// Those of reading and of the index.
    pub async fn by_index(&self, index: &Index, effort: Effort<'_>) -> Result<Option<Found>> {
        let Some(query) = self.query.dense() else { return Ok(None) };
        let mut found = Found::default();
        // One more than wanted shows whether the k-th ties with what follows.
        let mut wanted = self.k + usize::from(self.ties);
        loop {
            let search = index::Search {
                query,
                k: wanted,
                recall_target: effort.recall_target,
                probes_min: effort.probes_min,
                allowed: Some(self.allowed),
                below: effort.committed_end,
                entries_worth: effort.entries_worth,
                may_hold: effort.may_hold,
            };
            let answer = match index.search(&search).await {
                // It is built again; until then the rows themselves answer.
                Err(error) if index.is_damaged() => {
                    tracing::warn!(%error, "an index is damaged");
                    return Ok(None);
                }
                answer => answer?,
            };
            reads::near(answer.resident);
            found.probes += answer.probes;
            found.passed += answer.passed;
            if answer.gave_up {
                return Ok(None);
            }
            found.scanned += answer.scanned;
            found.entries += answer.scanned;
            found.was_far |= answer.waited;

            let mut top = self.read(index.watermark(), wanted, &mut found).await?;
            let rows: Vec<RowId> = answer.hits.iter().map(|hit| hit.row).collect();
            let mut columns = vec![self.column.clone()];
            if answer.waited {
                columns.extend_from_slice(self.others);
            }
            let exact = self.rows.take(&rows, &columns).await?;
            let points = Points::new(self.query.space, exact.column(0))?;
            // A row above the watermark that the index has already was read.
            let hits = rows.into_iter().enumerate().filter(|(_, row)| *row < index.watermark());
            offer_rows(&points, hits, self.query, &mut top)?;
            self.offer_left_out(index, &mut top, &mut found).await?;
            if !top.is_full() {
                return Ok(None);
            }
            found.rows = top.into_sorted();
            if !self.ties {
                return Ok(Some(found));
            }
            let kth = found.rows[self.k - 1];
            let tied = found.rows.partition_point(|row| row.nearness(&kth) != Ordering::Greater);
            if tied < wanted {
                found.rows.truncate(tied);
                return Ok(Some(found));
            }
            wanted *= TIE_GROWTH;
            if wanted as u64 > self.allowed.len() / 4 {
                return Ok(None);
            }
        }
    }

    /// Offers the allowed rows that have no place in an index, by reading each. They are few but under
    /// cosine, where zero has none; its distance is NaN there, and 1 that of a vector too long to be
    /// squared, so that none is among k that are nearer than 1.
    async fn offer_left_out(&self, index: &Index, top: &mut TopK, found: &mut Found) -> Result<()> {
        if index.options().metric == Metric::Cosine && top.kth().is_some_and(|kth| kth < 1.0) {
            return Ok(());
        }
        let left_out = index.left_out().iter().copied();
        let rows: Vec<RowId> = left_out.filter(|&row| self.allowed.contains(row)).collect();
        for rows in rows.chunks(SPARSE_ROWS) {
            let taken = self.rows.take(rows, std::slice::from_ref(self.column)).await?;
            let points = Points::new(self.query.space, taken.column(0))?;
            offer_rows(&points, rows.iter().copied().enumerate(), self.query, top)?;
            found.scanned += rows.len() as u64;
        }
        Ok(())
    }

    /// The nearest of the allowed rows from a row on, by reading each.
    async fn read(&self, from: RowId, k: usize, found: &mut Found) -> Result<TopK> {
        let mut top = if self.ties { TopK::with_ties(k) } else { TopK::new(k) };
        if k == 0 || self.allowed.is_empty() {
            return Ok(top);
        }
        let mut sparse = Vec::new();
        for group in self.rows.groups().filter(|group| group.end_row() > from) {
            let first = from.max(group.first_row());
            let wanted = self.allowed.count_within(first, group.end_row());
            found.scanned += wanted;
            if wanted == 0 {
                continue;
            }
            let is_far = !group.is_at_hand(self.column);
            found.was_far |= is_far;
            if is_far && is_sparse(wanted, &group) {
                let ids = group.row_ids();
                let rows = self.allowed.iter_within(first, group.end_row());
                sparse.extend(rows.filter(|&row| ids.position(row).is_some()));
            } else {
                scan_group(&group, self.column, self.allowed, first, self.query, &mut top).await?;
            }
            tokio::task::consume_budget().await;
        }
        for rows in sparse.chunks(SPARSE_ROWS) {
            let taken = self.rows.take(rows, std::slice::from_ref(self.column)).await?;
            let points = Points::new(self.query.space, taken.column(0))?;
            offer_rows(&points, rows.iter().copied().enumerate(), self.query, &mut top)?;
        }
        Ok(top)
    }
}

/// Whether so few rows of a group are wanted that it should not be read as a whole.
fn is_sparse(wanted: u64, group: &Group) -> bool {
    wanted * SPARSE < group.len() as u64
}
