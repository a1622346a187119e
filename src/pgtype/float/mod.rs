//! Binary fractions: `real` and `double precision`.
//!
//! Written with the fewest digits that lead back to the same number, laid out as C's `%g` does;
//! read fast where the digits fit a machine word, and always to the nearest number.

mod read;
mod write;

pub(super) use read::{beyond, is_lost, parse_f32, parse_f64, scan_f32};
pub(super) use write::{write_f32, write_f64};

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
