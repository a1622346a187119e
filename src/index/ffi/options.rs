//! The options of an index as the core takes them.

use super::{bridge, checked, distance::metric_code};
use crate::{error::Result, index::options::IndexOptions};

/// Whether the core takes them.
pub(in crate::index) fn check_options(wanted: &IndexOptions) -> Result<()> {
    checked(bridge::check_options(&options(wanted)))
}

pub(super) fn options(options: &IndexOptions) -> bridge::Options {
    bridge::Options {
        metric: metric_code(options.metric),
        dims: options.dims,
        posting_target: options.posting_target,
        posting_max: options.posting_max,
        posting_min: options.posting_min,
        spill: options.spill,
        spill_lambda: options.spill_lambda,
        seed: options.seed,
    }
}
