//! What a search aims at so that it finds what it shall.
//!
//! An index's stop rule is calibrated on queries of its own making, and filters and clients ask others:
//! where answers tell that less is found than was wished, or more, the miss that searches of this
//! kind aim at is made smaller, or larger. To find less takes many more answers than to find more.

use super::{Answered, Estimate};

/// An aim is changed when so many answers to it are known: to find more, and to find less.
const MORE_AFTER: usize = 30;
const LESS_AFTER: usize = 200;
/// The aimed miss is at least one in so many of the allowed one, and at most so many times that: a
/// calibration errs to the safe side by about as much, and queries that change find too little until
/// answers tell.
const CARE_MAX: f64 = 16.0;
const CARE_MIN: f64 = 0.5;
/// The steps.
const STEP_MIN: f64 = 1.25;
const STEP_MAX: f64 = 2.0;

/// The aim of searches of one kind.
#[derive(Debug)]
pub(super) struct Aim {
    /// The aimed miss is the allowed one over this.
    care: f64,
    /// The answers to searches with this aim.
    answered: Vec<Answered>,
}

impl Default for Aim {
    fn default() -> Self {
        Self { care: 1.0, answered: Vec::new() }
    }
}

impl Aim {
    /// What to ask for where so much is wished.
    pub(super) fn at(&self, target: f64) -> f64 {
        1.0 - (1.0 - target) / self.care
    }

    /// Learns from an answer to a search that aimed so.
    pub(super) fn learn(&mut self, answered: Answered, target: f64) {
        self.answered.push(answered);
        let count = self.answered.len();
        if count < MORE_AFTER {
            return;
        }
        let Some(known) = Estimate::of(self.answered.iter().copied()) else { return };
        let care = if known.high < target && self.care < CARE_MAX {
            let short = (1.0 - known.recall) / (1.0 - target).max(f64::EPSILON);
            self.care * short.clamp(STEP_MIN, STEP_MAX)
        } else if count < LESS_AFTER {
            return;
        } else if known.low > target {
            self.care / STEP_MIN
        } else {
            self.care
        };
        self.care = care.clamp(CARE_MIN, CARE_MAX);
        self.answered.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    /// Answers from searches that miss `factor` times what they aim at: the mean share found over the
    /// last thousand of some thousands, and the aim at the end.
    fn settled(target: f64, factor: f64) -> (f64, f64) {
        let chance = SeededClock::shared(3);
        let mut aim = Aim::default();
        let (mut found, mut counted) = (0.0, 0.0);
        for turn in 0..6000 {
            let miss = (1.0 - aim.at(target)) * factor;
            let hits = (0..10).filter(|_| {
                let drawn = chance.random() >> 11;
                #[expect(clippy::cast_precision_loss, reason = "53 bits")]
                let drawn = drawn as f64 / (1_u64 << 53) as f64;
                drawn >= miss
            });
            let share = super::super::count(hits.count()) / 10.0;
            aim.learn(Answered { share, wanted: 10.0 }, target);
            if turn >= 5000 {
                found += share;
                counted += 1.0;
            }
        }
        (found / counted, aim.at(target))
    }

    #[test]
    fn searches_that_miss_too_much_come_to_find_what_they_shall() {
        for (target, factor) in [(0.9, 2.0), (0.95, 3.0), (0.95, 8.0), (0.99, 5.0), (0.8, 1.5)] {
            let (found, aim) = settled(target, factor);
            assert!(found >= target - 0.01, "{target} {factor}: {found}");
            assert!(found <= target + 0.75 * (1.0 - target), "{target} {factor}: {found} at {aim}");
        }
    }

    #[test]
    fn searches_that_find_enough_aim_at_what_they_shall() {
        for (target, factor) in [(0.9, 0.5), (0.95, 0.4), (0.99, 0.5), (0.95, 0.7), (0.95, 1.0)] {
            let (found, aim) = settled(target, factor);
            assert!((found - target).abs() <= 0.02, "{target} {factor}: {found} at {aim}");
        }
        // An aim is never lower than that.
        assert!((settled(0.95, 0.0).1 - 0.9).abs() < 1e-9);
    }

    #[test]
    fn few_answers_and_chance_change_nothing() {
        let mut aim = Aim::default();
        for _ in 0..MORE_AFTER - 1 {
            aim.learn(Answered { share: 0.0, wanted: 10.0 }, 0.95);
        }
        assert_eq!(aim.at(0.95), 0.95);
        aim.learn(Answered { share: 0.0, wanted: 10.0 }, 0.95);
        assert_eq!(aim.at(0.95), 0.975);
        // However little is found, the aim stays below everything.
        for _ in 0..10_000 {
            aim.learn(Answered { share: 0.0, wanted: 10.0 }, 0.95);
        }
        assert!((aim.at(0.95) - (1.0 - 0.05 / CARE_MAX)).abs() < 1e-9);
    }
}
