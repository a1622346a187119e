//! Every knob of an index, its default and its bounds. They are fixed when an index is made.

use crate::vector::{Metric, Space};
use serde::{Deserialize, Serialize};

/// Whether a vector has a second copy, and in which posting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spill {
    /// It has none: half the size, and twice the postings read by a search.
    None,
    /// Where SOAR's rule places it.
    #[default]
    Soar,
    /// Where SPANN's closure places it, under the rule of relative neighbourhood graphs: few have one.
    Closure,
}

impl Spill {
    /// All, by the names that they have in SQL.
    pub const ALL: [(&str, Self); 3] =
        [("soar", Self::Soar), ("closure", Self::Closure), ("none", Self::None)];

    /// Entries of nearly every row.
    #[must_use]
    pub const fn entries_a_row(self) -> u64 {
        match self {
            Self::Soar => 2,
            Self::None | Self::Closure => 1,
        }
    }
}

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
    /// How second copies are placed.
    #[serde(default)]
    pub spill_rule: Spill,
    /// SOAR's weight of the parallel part of the residual.
    pub spill_lambda: f32,
    /// Bits that a posting keeps of each coordinate: 4 or 8.
    #[serde(default = "default_code_bits")]
    pub code_bits: u32,
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
            spill_rule: Spill::default(),
            spill_lambda: 1.0,
            code_bits: default_code_bits(),
            seed: 0,
        }
    }
}

const fn default_code_bits() -> u32 {
    8
}

/// The metric of an index that is searched through SPFresh; `None`: searches are exact.
#[must_use]
pub fn indexed_metric(space: Space, metric: Metric) -> Option<Metric> {
    let is_dense = matches!(space, Space::Vector | Space::Halfvec);
    let is_indexed = matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine);
    (is_dense && is_indexed).then_some(metric)
}
