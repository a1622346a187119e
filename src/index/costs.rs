//! What searches of an index cost lately: how many vectors they looked at, by how deep the k-th hit
//! lies among all rows (k without a filter, k over the share that matches with one).

use super::Index;
use std::sync::atomic::{AtomicU64, Ordering};

/// Depths are told apart by their power of two.
const OCTAVES: usize = 24;
/// A search counts as one in so many.
const MEMORY: u64 = 8;
/// Before anything is known: so many vectors for depth 1, and with the root of the depth more.
const AT_FIRST: u64 = 2000;

/// Moving means of vectors looked at; 0 where nothing is known. Shared by all versions of an index.
#[derive(Debug, Default)]
pub(super) struct Costs([AtomicU64; OCTAVES]);

impl Costs {
    fn learn(&self, octave: usize, scanned: u64) {
        let mean = &self.0[octave];
        // Of two that learn at the same time one may be lost.
        let next = match mean.load(Ordering::Relaxed) {
            0 => scanned,
            old => (old * (MEMORY - 1) + scanned) / MEMORY,
        };
        mean.store(next.max(1), Ordering::Relaxed);
    }

    fn expect(&self, octave: usize) -> u64 {
        let known = |octave: usize| match self.0[octave].load(Ordering::Relaxed) {
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

impl Index {
    /// How many vectors a search for the k nearest will about look at, when so many of the live rows
    /// may be found.
    #[must_use]
    pub fn expected_scan(&self, k: usize, matching: u64, live: u64) -> u64 {
        self.0.costs.expect(octave(k, matching, live)).min(self.0.core.entries())
    }

    /// Tells how many vectors such a search looked at.
    pub fn learn_scan(&self, k: usize, matching: u64, live: u64, scanned: u64) {
        self.0.costs.learn(octave(k, matching, live), scanned);
    }
}

fn octave(k: usize, matching: u64, live: u64) -> usize {
    let depth = (k as u64).saturating_mul(live) / matching.max(1);
    (depth.max(1).ilog2() as usize).min(OCTAVES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stands_for_what_is_near() {
        let costs = Costs::default();
        assert_eq!((costs.expect(0), costs.expect(2), costs.expect(3)), (2000, 4000, 6000));
        costs.learn(4, 1000);
        assert_eq!((costs.expect(4), costs.expect(6), costs.expect(2)), (1000, 2000, 500));
        costs.learn(4, 9000);
        assert_eq!(costs.expect(4), 2000);
        assert_eq!((octave(10, 100, 100), octave(10, 1, 100), octave(1, 5, 5)), (3, 9, 0));
    }
}
