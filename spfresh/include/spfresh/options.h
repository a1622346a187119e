// The knobs of an index. They are fixed when it is made and stored with it.
#pragma once

#include <cstdint>

#include "spfresh/status.h"

namespace spfresh {

enum class Metric : uint8_t { kL2 = 0, kInnerProduct = 1, kCosine = 2 };

inline constexpr uint32_t kDimsMax = 16'000;

struct Options {
  Metric metric = Metric::kL2;
  uint32_t dims = 0;
  // Entries of a posting, spilled copies included: what a split aims at, what makes it split, and
  // below what it is merged into its neighbours.
  uint32_t posting_target = 128;
  uint32_t posting_max = 256;
  uint32_t posting_min = 32;
  // Whether each vector has a second copy in the posting that SOAR's rule chooses. It doubles the
  // space and about halves what a search scans at equal recall.
  bool spill = true;
  // SOAR's weight of the residual's parallel part.
  float spill_lambda = 1.0F;
  // Every random choice follows from this number and from the data.
  uint64_t seed = 0;

  Status Check() const;
};

}  // namespace spfresh
