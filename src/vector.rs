//! What every floor means by a vector and by nearness.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The most dimensions that a vector may have, as in pgvector.
pub const DIMS_MAX: usize = 16_000;
/// The most dimensions that a sparse vector may have.
pub const SPARSE_DIMS_MAX: u32 = 1_000_000_000;
/// The most elements of a sparse vector that are not zero.
pub const SPARSE_ELEMENTS_MAX: usize = 16_000;

/// What points are, between which there are distances: one of four types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// `vector`: single precision.
    Vector,
    /// `halfvec`: half precision.
    Halfvec,
    /// `sparsevec`: mostly zeros.
    Sparsevec,
    /// `bit`: bit strings.
    Bit,
}

impl Space {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vector, Self::Halfvec, Self::Sparsevec, Self::Bit];

    /// The name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Halfvec => "halfvec",
            Self::Sparsevec => "sparsevec",
            Self::Bit => "bit",
        }
    }

    /// The metrics between points of this type.
    pub fn metrics(self) -> impl Iterator<Item = Metric> {
        Metric::ALL.into_iter().filter(move |metric| metric.is_of_bits() == (self == Self::Bit))
    }

    /// pgvector's operator class for a metric; [`Space::metrics`] has those that there are.
    #[must_use]
    pub fn operator_class(self, metric: Metric) -> String {
        let word = match metric {
            Metric::L2 => "l2",
            Metric::InnerProduct => "ip",
            Metric::Cosine => "cosine",
            Metric::L1 => "l1",
            Metric::Hamming => "hamming",
            Metric::Jaccard => "jaccard",
        };
        format!("{}_{word}_ops", self.name())
    }

    /// What one of pgvector's operator classes is for.
    #[must_use]
    pub fn of_operator_class(class: &str) -> Option<(Self, Metric)> {
        let all = Self::ALL.into_iter().flat_map(|space| space.metrics().map(move |m| (space, m)));
        all.into_iter().find(|(space, metric)| space.operator_class(*metric) == class)
    }
}

/// How far two vectors are apart. Smaller is nearer, for every metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Euclidean distance, `<->`.
    L2,
    /// The negative inner product, `<#>`.
    InnerProduct,
    /// One minus the cosine of the angle, `<=>`; NaN where a vector is zero.
    Cosine,
    /// Taxicab distance, `<+>`.
    L1,
    /// How many bits differ, `<~>`.
    Hamming,
    /// One minus the share of the bits set in either that are set in both, `<%>`.
    Jaccard,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 6] =
        [Self::L2, Self::InnerProduct, Self::Cosine, Self::L1, Self::Hamming, Self::Jaccard];

    /// Whether it is between bit strings rather than vectors.
    #[must_use]
    pub fn is_of_bits(self) -> bool {
        matches!(self, Self::Hamming | Self::Jaccard)
    }

    /// pgvector's operator.
    #[must_use]
    pub fn operator(self) -> &'static str {
        match self {
            Self::L2 => "<->",
            Self::InnerProduct => "<#>",
            Self::Cosine => "<=>",
            Self::L1 => "<+>",
            Self::Hamming => "<~>",
            Self::Jaccard => "<%>",
        }
    }

    /// The metric of one of pgvector's operators.
    #[must_use]
    pub fn from_operator(operator: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.operator() == operator)
    }

    /// The word of `WITH (distance_metric = …)`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::InnerProduct => "inner_product",
            Self::Cosine => "cosine",
            Self::L1 => "l1",
            Self::Hamming => "hamming",
            Self::Jaccard => "jaccard",
        }
    }

    /// The metric between vectors of a word, with the words of other systems for it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "l2" | "euclidean" | "l2_distance" | "euclidean_squared" => Some(Self::L2),
            "inner_product" | "ip" | "dot" | "dot_product" => Some(Self::InnerProduct),
            "cosine" | "cosine_distance" => Some(Self::Cosine),
            "l1" | "manhattan" | "taxicab" | "l1_distance" => Some(Self::L1),
            _ => None,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
