//! What searches of an index cost lately: how many entries they came by, by how deep the k-th hit lies
//! among those near the query (k without a filter, k over the share that matches with one), and how
//! long an entry takes.

use super::Index;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Depths are told apart by their power of two.
const OCTAVES: usize = 24;
/// A search counts as one in so many.
const MEMORY: u64 = 8;
/// Before anything is known: so many entries for depth 1, and with the root of the depth more.
const AT_FIRST: u64 = 2000;

/// A measurement of fewer units than this says more of what is around them.
const UNITS_MIN: u64 = 2_000;
/// What is measured may differ from what is known before by this factor.
const PACE_FACTOR: u64 = 4;

/// What takes the time of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// To look at an entry of a posting that is in memory, with all that follows from it.
    Entry,
    /// To measure a vector of the table that is in memory.
    Vector,
}

impl Unit {
    /// In picoseconds, before anything was measured: for each, and what a dimension adds.
    fn at_first(self, dims: u32) -> u64 {
        let (each, dimension) = match self {
            Self::Entry => (5_000, 16),
            Self::Vector => (40_000, 200),
        };
        each + u64::from(dims) * dimension
    }
}

/// What is known of an index. Shared by all its versions.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// Moving means of entries seen, by octave; 0 where nothing is known.
    entries: [AtomicU64; OCTAVES],
    /// Picoseconds of an entry and of a vector; 0 where nothing was measured.
    paces: [AtomicU64; 2],
}

impl Costs {
    /// A search for the k nearest came by so many entries, of which so many could be found.
    pub(super) fn learn(&self, k: usize, visible: u64, entries: u64) {
        let mean = &self.entries[octave(k, visible, entries)];
        // Of two that learn at the same time one may be lost.
        let next = match mean.load(Ordering::Relaxed) {
            0 => entries,
            old => (old * (MEMORY - 1) + entries) / MEMORY,
        };
        mean.store(next.max(1), Ordering::Relaxed);
    }

    /// How many entries a search for the k nearest will about come by, where of so many entries so many
    /// can be found.
    pub(super) fn expect(&self, k: usize, visible: u64, entries: u64) -> u64 {
        let octave = octave(k, visible, entries);
        let known = |octave: usize| match self.entries[octave].load(Ordering::Relaxed) {
            0 => None,
            mean => Some((octave, mean)),
        };
        let distance = |&(known, _): &(usize, u64)| known.abs_diff(octave);
        let (near, mean) =
            (0..OCTAVES).filter_map(known).min_by_key(distance).unwrap_or((0, AT_FIRST));
        // The root of the ratio of depths: a factor of two for two octaves, of three halves for one.
        let steps = near.abs_diff(octave);
        let factor = |mean: u64| {
            let twos = mean << (steps / 2).min(20);
            if steps % 2 == 1 { twos + twos / 2 } else { twos }
        };
        if near <= octave { factor(mean) } else { mean * mean / factor(mean).max(1) }
    }
}

impl Costs {
    fn pace(&self, unit: Unit, dims: u32) -> u64 {
        match self.paces[unit as usize].load(Ordering::Relaxed) {
            0 => unit.at_first(dims),
            known => known,
        }
    }

    /// What else ran meanwhile only ever adds to a time: it goes down quickly and up slowly.
    fn learn_pace(&self, unit: Unit, dims: u32, count: u64, took: Duration) {
        if count < UNITS_MIN {
            return;
        }
        let measured =
            u64::try_from(took.as_nanos() * 1000 / u128::from(count)).unwrap_or(u64::MAX);
        let first = unit.at_first(dims);
        let measured = measured.clamp(first / PACE_FACTOR, first * PACE_FACTOR);
        let known = self.pace(unit, dims);
        let next = if measured < known {
            known - (known - measured) / 2
        } else {
            known + (measured - known) / 32
        };
        self.paces[unit as usize].store(next, Ordering::Relaxed);
    }
}

impl Index {
    /// How many picoseconds one takes of late.
    #[must_use]
    pub fn pace(&self, unit: Unit) -> u64 {
        self.0.costs.pace(unit, self.0.options.dims)
    }

    /// So many took so long, nothing of them being read from the store.
    pub fn learn_pace(&self, unit: Unit, count: u64, took: Duration) {
        self.0.costs.learn_pace(unit, self.0.options.dims, count, took);
    }

    /// How many entries a search for the k nearest will about look at, when so many of the live rows
    /// may be found, and these lie anywhere.
    #[must_use]
    pub fn expected_scan(&self, k: usize, matching: u64, live: u64) -> u64 {
        self.0.costs.expect(k, matching, live).min(self.0.core.entries())
    }
}

fn octave(k: usize, visible: u64, entries: u64) -> usize {
    let depth = (k as u64).saturating_mul(entries) / visible.max(1);
    (depth.max(1).ilog2() as usize).min(OCTAVES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_goes_down_quickly_and_up_slowly() {
        let costs = Costs::default();
        let first = costs.pace(Unit::Vector, 100);
        let measured = |ps: u64| {
            costs.learn_pace(Unit::Vector, 100, 10_000, Duration::from_nanos(10 * ps));
            costs.pace(Unit::Vector, 100)
        };
        assert_eq!((first, measured(first / 2)), (60_000, 45_000));
        for _ in 0..10 {
            measured(first / 2);
        }
        let slow = measured(2 * first);
        assert!(slow > 30_000 && slow < 34_000, "{slow}");
        assert!((0..1000).all(|_| measured(1) >= first / PACE_FACTOR));
        assert!((0..1000).all(|_| measured(u64::from(u32::MAX)) <= first * PACE_FACTOR));
        costs.learn_pace(Unit::Entry, 100, 10, Duration::ZERO);
        assert_eq!(costs.pace(Unit::Entry, 100), 6_600, "too few to tell");
    }

    #[test]
    fn what_is_known_stands_for_what_is_near() {
        let costs = Costs::default();
        // By depth: one may be found of so many.
        let expect = |depth: u64| costs.expect(1, 1, depth);
        assert_eq!((expect(1), expect(4), expect(8)), (2000, 4000, 6000));
        costs.learn(1, 64, 1024);
        assert_eq!((expect(16), expect(64), expect(4)), (1024, 2048, 512));
        costs.learn(1, 576, 9216);
        assert_eq!(expect(16), 2048);
        assert_eq!((octave(10, 100, 100), octave(10, 1, 100), octave(1, 5, 5)), (3, 9, 0));
    }
}
