//! The options of an index as the core takes them.

use super::{bridge, checked, distance::metric_code};
use crate::{
    error::Result,
    index::options::{IndexOptions, Spill},
};

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
        // The numbers of spfresh::Spill.
        spill: match options.spill_rule {
            Spill::None => 0,
            Spill::Soar => 1,
            Spill::Closure => 2,
        },
        spill_lambda: options.spill_lambda,
        code_bits: options.code_bits,
        seed: options.seed,
    }
}
