//! From queries that were answered twice to a share and its interval.

/// A query that was answered twice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    /// The share of its true neighbours that were found.
    pub share: f64,
    /// How many it wanted.
    pub wanted: f64,
}

/// A share of true neighbours found, as far as some queries tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean of the queries'.
    pub recall: f64,
    /// Below this it is not, with 97.5 percent confidence.
    pub low: f64,
    /// Above this it is not, with 97.5 percent confidence.
    pub high: f64,
    /// The queries.
    pub queries: usize,
}

/// How many standard errors 95 percent of samples lie within.
const Z: f64 = 1.96;

impl Estimate {
    /// Wilson's interval over the neighbours that were wanted, widened as far as those of one query
    /// are missed together; `None` without queries.
    #[must_use]
    pub fn of(answered: impl Iterator<Item = Answered> + Clone) -> Option<Self> {
        let queries = answered.clone().count();
        if queries == 0 {
            return None;
        }
        let n = super::count(queries);
        let recall = answered.clone().map(|query| query.share).sum::<f64>() / n;
        let wanted = answered.clone().map(|query| query.wanted.max(1.0)).sum::<f64>();
        let spread: f64 = answered.map(|query| (query.share - recall).powi(2)).sum();
        // The variance of a query's share beside that of as many independent neighbours.
        let independent = recall * (1.0 - recall) * n / wanted;
        let together = if queries > 1 && independent > 0.0 {
            (spread / (n - 1.0) / independent).max(1.0)
        } else {
            1.0
        };
        let trials = wanted / together;
        let centre = (recall + Z * Z / (2.0 * trials)) / (1.0 + Z * Z / trials);
        let half = Z / (1.0 + Z * Z / trials)
            * (recall * (1.0 - recall) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
        let (low, high) = ((centre - half).max(0.0), (centre + half).min(1.0));
        let [recall, low, high] = [recall, low.min(recall), high.max(recall)].map(shown);
        Some(Self { recall, low, high, queries })
    }
}

/// As many digits as can mean anything.
fn shown(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(shares: &[f64]) -> Estimate {
        Estimate::of(shares.iter().map(|&share| Answered { share, wanted: 10.0 })).unwrap()
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows() {
        let few = estimate(&[1.0, 0.9, 1.0, 0.8]);
        assert!((few.recall - 0.925).abs() < 1e-9, "{few:?}");
        assert!(few.low < 0.86 && few.high > 0.96, "{few:?}");
        let many = estimate(&[1.0, 0.9, 1.0, 0.8].repeat(100));
        assert!(many.high - many.low < 0.03, "{many:?}");
        assert!(many.low < 0.925 && many.high > 0.925, "{many:?}");
        assert!(Estimate::of(std::iter::empty()).is_none());
    }

    #[test]
    fn neighbours_that_are_missed_together_tell_less() {
        let apart = estimate(&[0.9].repeat(100));
        let together = estimate(&[[1.0].repeat(90), [0.0].repeat(10)].concat());
        assert!((apart.recall - together.recall).abs() < 1e-9);
        assert!(together.high - together.low > 2.5 * (apart.high - apart.low), "{together:?}");
    }

    #[test]
    fn all_found_is_not_certainty() {
        let all = estimate(&[1.0; 30]);
        assert_eq!((all.recall, all.high), (1.0, 1.0));
        assert!(all.low < 0.99, "{all:?}");
    }
}
