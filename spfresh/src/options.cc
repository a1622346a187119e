#include "spfresh/options.h"

#include <string>

namespace spfresh {

Status Options::Check() const {
  if (metric > Metric::kCosine) return Status::Invalid("metric is unknown");
  if (dims < 1 || dims > kDimsMax) {
    return Status::Invalid("dims must be between 1 and " + std::to_string(kDimsMax) + ", not " +
                           std::to_string(dims));
  }
  if (posting_target < 4 || posting_target > 65'536) {
    return Status::Invalid("posting_target must be between 4 and 65536, not " +
                           std::to_string(posting_target));
  }
  // A split makes two postings of at least half of the maximum: they must not split again.
  if (posting_max < posting_target + posting_target / 2 || posting_max > 262'144) {
    return Status::Invalid("posting_max must be between 1.5 times posting_target and 262144, not " +
                           std::to_string(posting_max));
  }
  // And they must not be merged at once.
  if (posting_min > posting_target / 2) {
    return Status::Invalid("posting_min must be at most half of posting_target, not " +
                           std::to_string(posting_min));
  }
  if (!(spill_lambda >= 0.0F && spill_lambda <= 16.0F)) {
    return Status::Invalid("spill_lambda must be between 0 and 16");
  }
  if (!(closure >= 0.0F && closure <= 16.0F)) {
    return Status::Invalid("closure must be between 0 and 16");
  }
  if (spill > Spill::kClosure) {
    return Status::Invalid("spill must be none, soar or closure");
  }
  if (code_bits != 4 && code_bits != 8 && code_bits != kWholeBits) {
    return Status::Invalid("code_bits must be 4, 8 or 32, not " + std::to_string(code_bits));
  }
  return {};
}

}  // namespace spfresh
