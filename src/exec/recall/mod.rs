//! Recall, counted: how much of the true answer searches by an index find.
//!
//! Live queries are answered a second time by reading rows, on the rows that they saw, whenever the
//! budget allows ([`Recall`]): at most one core in a hundred, rows at hand first, few bytes from
//! the store. A measurement on demand asks queries of its own ([`Subject::measure`]). Both tell a share with
//! its interval of confidence ([`Estimate`]), and nothing while there are too few queries.
//!
//! ```text
//!   a search ──> Recall::offer ──> Sample ──> answered again, at its pace ──> windows
//!     ^                                                                          │
//!     └── Recall::aim, so that it finds what it shall <──────────────────────────┤
//!                              nearlake_stat_recall, metrics, a warning <────────┘
//!   nearlake_recall() ──> measure ──> rows of the table and recent queries as queries ──> Estimate
//! ```

mod aim;
mod estimate;
mod live;
mod measure;
mod pace;
mod windows;

pub use estimate::{Answered, Estimate};
pub use live::{Recall, RecallTask, Sample};
pub use measure::{Measured, Subject};

/// How many of the rows a search may find: recall is told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Band {
    /// No filter.
    Unfiltered,
    /// At least 30 in a hundred match.
    Loose,
    /// From 1 to 30 in a hundred.
    Selective,
    /// Fewer than 1 in a hundred.
    Narrow,
}

impl Band {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unfiltered, Self::Loose, Self::Selective, Self::Narrow];

    /// That of a search under a filter that so many of the live rows match.
    #[must_use]
    pub fn of(is_filtered: bool, matching: u64, live: u64) -> Self {
        let at_least = |percent: u64| matching.saturating_mul(100) >= live.saturating_mul(percent);
        match is_filtered {
            false => Self::Unfiltered,
            true if at_least(30) => Self::Loose,
            true if at_least(1) => Self::Selective,
            true => Self::Narrow,
        }
    }

    /// As views and metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfiltered => "unfiltered",
            Self::Loose => ">= 30 %",
            Self::Selective => "1-30 %",
            Self::Narrow => "< 1 %",
        }
    }
}

/// The share of the true nearest rows in an answer, by distances: `found` are those of the answer,
/// `missed` those of rows that it lacks, both ascending. Each missed one stands for `weight` rows,
/// where only a part of the rows was read. A row as near as a true one is right.
fn share_found(found: &[f64], missed: &[f64], weight: f64) -> f64 {
    let wanted = count(found.len());
    let (mut right, mut taken) = (0.0, 0.0);
    let mut missed = missed.iter().peekable();
    for distance in found {
        while missed.next_if(|&missed| missed < distance).is_some() {
            taken += weight;
        }
        right += (wanted - taken - right).clamp(0.0, 1.0);
    }
    if found.is_empty() { 1.0 } else { right / wanted }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows in an answer are small")]
fn count(items: usize) -> f64 {
    items as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_found_is_that_of_the_true_answer() {
        assert_eq!(share_found(&[1.0, 2.0, 3.0], &[], 1.0), 1.0);
        // The true answer is 1, 2, 2.5.
        assert_eq!(share_found(&[1.0, 2.0, 3.0, 4.0], &[2.5, 2.6], 1.0), 0.5);
        assert_eq!(share_found(&[1.0, 2.0], &[0.1, 0.2, 0.3], 1.0), 0.0);
        // As near as a true one is right.
        assert_eq!(share_found(&[1.0, 2.0], &[2.0, 2.0], 1.0), 1.0);
        // Half of the rows were read: what was missed there is missed twice.
        assert_eq!(share_found(&[1.0, 2.0, 3.0, 4.0], &[2.5], 2.0), 0.5);
        assert_eq!(share_found(&[], &[1.0], 1.0), 1.0);
    }

    #[test]
    fn bands_meet_without_a_gap() {
        assert_eq!(Band::of(false, 1, 100), Band::Unfiltered);
        assert_eq!(Band::of(true, 30, 100), Band::Loose);
        assert_eq!(Band::of(true, 299, 1000), Band::Selective);
        assert_eq!(Band::of(true, 10, 1000), Band::Selective);
        assert_eq!(Band::of(true, 9, 1000), Band::Narrow);
    }
}
