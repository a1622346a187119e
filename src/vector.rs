//! What every floor means by a vector and by nearness.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The most dimensions that a vector may have, as in pgvector.
pub const DIMS_MAX: usize = 16_000;

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
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 4] = [Self::L2, Self::InnerProduct, Self::Cosine, Self::L1];

    /// pgvector's operator.
    #[must_use]
    pub fn operator(self) -> &'static str {
        match self {
            Self::L2 => "<->",
            Self::InnerProduct => "<#>",
            Self::Cosine => "<=>",
            Self::L1 => "<+>",
        }
    }

    /// The metric of one of pgvector's operators.
    #[must_use]
    pub fn from_operator(operator: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.operator() == operator)
    }

    /// pgvector's operator class for `vector`.
    #[must_use]
    pub fn operator_class(self) -> &'static str {
        match self {
            Self::L2 => "vector_l2_ops",
            Self::InnerProduct => "vector_ip_ops",
            Self::Cosine => "vector_cosine_ops",
            Self::L1 => "vector_l1_ops",
        }
    }

    /// The metric of one of pgvector's operator classes.
    #[must_use]
    pub fn from_operator_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.operator_class() == class)
    }

    /// The word of `WITH (distance_metric = …)`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::InnerProduct => "inner_product",
            Self::Cosine => "cosine",
            Self::L1 => "l1",
        }
    }

    /// The metric of a word, with the words of other systems for it.
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
