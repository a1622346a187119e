//! Distances without an index, by the core's kernels.

use super::bridge;
use crate::vector::Metric;

/// `vectors` holds `out.len()` vectors as long as `query`; the caller has checked it.
pub(in crate::index) fn distances(metric: Metric, query: &[f32], vectors: &[f32], out: &mut [f64]) {
    assert_eq!(Some(vectors.len()), query.len().checked_mul(out.len()));
    bridge::distances(metric_code(metric), query, vectors, out);
}

/// `vectors` holds vectors as long as `query`; `at` and `out` are of one length.
pub(in crate::index) fn distances_at(
    metric: Metric,
    query: &[f32],
    vectors: &[f32],
    at: &[u32],
    out: &mut [f64],
) {
    let rows = vectors.len().checked_div(query.len()).unwrap_or(0);
    assert_eq!(at.len(), out.len());
    assert!(at.iter().all(|&row| (row as usize) < rows));
    if rows > 0 {
        bridge::distances_at(metric_code(metric), query, vectors, at, out);
    }
}

/// Which instructions the kernels use here.
pub(in crate::index) fn kernel_target() -> &'static str {
    bridge::kernel_target()
}

/// What the core calls a metric between vectors.
pub(super) fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::L2 => 0,
        Metric::InnerProduct => 1,
        Metric::Cosine => 2,
        Metric::L1 => 3,
        Metric::Hamming | Metric::Jaccard => unreachable!("{metric} is between bit strings"),
    }
}
