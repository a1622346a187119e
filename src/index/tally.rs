//! What upkeep did to an index since the process started, for whoever watches it.

use super::Index;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts that all versions of an index share.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) splits: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) renewals: AtomicU64,
    pub(super) calibrations: AtomicU64,
    pub(super) checked: AtomicU64,
    pub(super) reassigned: AtomicU64,
    /// Entries, and those of dead rows among them, at the last look at all of them.
    pub(super) seen_entries: AtomicU64,
    pub(super) seen_dead: AtomicU64,
}

/// What upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepCounts {
    /// Postings that became several.
    pub splits: u64,
    /// Postings that went up in their neighbours.
    pub merges: u64,
    /// Postings that were made anew and stayed one.
    pub renewals: u64,
    /// Calibrations of the stop rule.
    pub calibrations: u64,
    /// Entries that were looked at to see whether another posting is nearer.
    pub checked: u64,
    /// Entries that moved to one.
    pub reassigned: u64,
}

impl Tally {
    /// A posting was made anew, and there are more postings than before, fewer, or as many.
    pub(super) fn rebuilt(&self, before: u32, after: u32, checked: u64, moved: u64) {
        let steps = match after.cmp(&before) {
            std::cmp::Ordering::Greater => &self.splits,
            std::cmp::Ordering::Less => &self.merges,
            std::cmp::Ordering::Equal => &self.renewals,
        };
        steps.fetch_add(1, Relaxed);
        self.checked.fetch_add(checked, Relaxed);
        self.reassigned.fetch_add(moved, Relaxed);
    }
}

impl Index {
    /// What upkeep did to it, in this version and those before, since it was opened or built.
    #[must_use]
    pub fn upkeep_counts(&self) -> UpkeepCounts {
        let tally = &self.0.tally;
        UpkeepCounts {
            splits: tally.splits.load(Relaxed),
            merges: tally.merges.load(Relaxed),
            renewals: tally.renewals.load(Relaxed),
            calibrations: tally.calibrations.load(Relaxed),
            checked: tally.checked.load(Relaxed),
            reassigned: tally.reassigned.load(Relaxed),
        }
    }

    /// Of its entries, the share whose rows are dead, as of the last time that all were looked at;
    /// `None` before the first.
    #[must_use]
    pub fn stale_share(&self) -> Option<f64> {
        let entries = self.0.tally.seen_entries.load(Relaxed);
        let dead = self.0.tally.seen_dead.load(Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        (entries > 0).then(|| dead as f64 / entries as f64)
    }
}
