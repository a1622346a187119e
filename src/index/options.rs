//! Every knob of an index, its default and its bounds. They are fixed when an index is made.

use crate::vector::{Metric, Space};
use serde::{Deserialize, Serialize};

/// What an index is of, and how its postings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IndexOptions {
    /// By which distance it finds.
    pub metric: Metric,
    /// How long its vectors are.
    pub dims: u32,
    /// Entries of a posting that a split aims at, second copies included.
    pub posting_target: u32,
    /// More entries than this, and a posting is split.
    pub posting_max: u32,
    /// Fewer live entries than this, and a posting is merged into its neighbours.
    pub posting_min: u32,
    /// Whether each vector has a copy in the posting that SOAR's rule chooses.
    pub spill: bool,
    /// SOAR's weight of the parallel part of the residual.
    pub spill_lambda: f32,
    /// Every random choice follows from this.
    pub seed: u64,
}

impl IndexOptions {
    /// The defaults.
    #[must_use]
    pub fn new(metric: Metric, dims: u32) -> Self {
        Self {
            metric,
            dims,
            posting_target: 128,
            posting_max: 256,
            posting_min: 32,
            spill: true,
            spill_lambda: 1.0,
            seed: 0,
        }
    }
}

/// The metric of an index that is searched through SPFresh; `None`: searches are exact.
#[must_use]
pub fn indexed_metric(space: Space, metric: Metric) -> Option<Metric> {
    let is_dense = matches!(space, Space::Vector | Space::Halfvec);
    let is_indexed = matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine);
    (is_dense && is_indexed).then_some(metric)
}
