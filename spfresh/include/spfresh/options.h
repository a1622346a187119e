// The knobs of an index. They are fixed when it is made and stored with it.
#pragma once

#include <cstdint>

#include "spfresh/status.h"

namespace spfresh {

enum class Metric : uint8_t { kL2 = 0, kInnerProduct = 1, kCosine = 2 };

inline constexpr uint32_t kDimsMax = 16'000;

// From so many dimensions on, postings hold codes; below, vectors are kept whole.
inline constexpr uint32_t kCodedDims = 64;
inline constexpr uint32_t kWholeBits = 32;

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
  // Bits that a posting keeps of each coordinate: 8, 4, or 32 for the whole vector. With 4 an index
  // has about half the size, and returns more candidates for their exact distances to decide.
  uint32_t code_bits = 8;
  // Every random choice follows from this number and from the data.
  uint64_t seed = 0;

  Status Check() const;

  // What of a coordinate is kept indeed.
  uint32_t record_bits() const { return dims < kCodedDims ? kWholeBits : code_bits; }
};

}  // namespace spfresh
