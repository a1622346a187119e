//! The arithmetic of dense vectors under their distances. Sums are kept in single precision as pgvector
//! keeps them.

use crate::{
    error::Result,
    pgtype::vector::{Element, different_dimensions},
    vector::Metric,
};

/// How far two dense vectors of the same dimensions are apart.
///
/// # Panics
/// For the metrics of bit strings.
#[must_use]
pub(crate) fn distance<A: Element, B: Element>(metric: Metric, a: &[A], b: &[B]) -> f64 {
    match metric {
        Metric::L2 => f64::from(sum(a, b, |x, y| (x - y) * (x - y))).sqrt(),
        Metric::InnerProduct => -f64::from(sum(a, b, |x, y| x * y)),
        Metric::L1 => f64::from(sum(a, b, |x, y| (x - y).abs())),
        Metric::Cosine => {
            let dot = f64::from(sum(a, b, |x, y| x * y));
            let norms = f64::from(sum(a, a, |x, y| x * y)) * f64::from(sum(b, b, |x, y| x * y));
            cosine(dot, norms)
        }
        Metric::Hamming | Metric::Jaccard => unreachable!("{metric} is between bit strings"),
    }
}

/// The cosine distance of two vectors by their product and that of their squared norms.
pub(crate) fn cosine(dot: f64, norms: f64) -> f64 {
    1.0 - (dot / norms.sqrt()).clamp(-1.0, 1.0)
}

/// Eight sums side by side, so that the compiler can keep them in one register.
fn sum<A: Element, B: Element>(a: &[A], b: &[B], term: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_parts.remainder().iter().zip(b_parts.remainder());
    let tail: f32 = rest.map(|(x, y)| term(x.real(), y.real())).sum();
    for (x, y) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane].real(), y[lane].real());
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Refuses two dense vectors that do not go together.
///
/// # Errors
/// 22000, in pgvector's words.
pub(crate) fn check_same<A: Element, B>(a: &[A], b: &[B]) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(different_dimensions(A::NAME, a.len(), b.len()))
}
