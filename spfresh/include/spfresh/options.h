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

// Whether a vector has a second copy, and in which posting.
enum class Spill : uint8_t {
  kNone = 0,
  // SOAR (NeurIPS'23): where |r'|^2 + lambda <r', r/|r|>^2 is least, r and r' being the residuals:
  // a query that misses the first posting since r points away from it finds the second one, whose
  // residual is orthogonal. It doubles the space and about halves what a search scans.
  kSoar = 1,
  // SPANN's closure (NeurIPS'21) with the rule of relative neighbourhood graphs: the nearest
  // posting that is not much farther than the first, and nearer to the vector than to the first
  // posting. Few vectors of many dimensions have one.
  kClosure = 2,
};

struct Options {
  Metric metric = Metric::kL2;
  uint32_t dims = 0;
  // Entries of a posting, spilled copies included: what a split aims at, what makes it split, and
  // below what it is merged into its neighbours.
  uint32_t posting_target = 128;
  uint32_t posting_max = 256;
  uint32_t posting_min = 32;
  Spill spill = Spill::kSoar;
  // SOAR's weight of the residual's parallel part.
  float spill_lambda = 1.0F;
  // By which share of its distance to the first posting a vector may be farther from that of its
  // closure copy.
  float closure = 0.15F;
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
