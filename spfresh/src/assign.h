// To which postings a vector goes: the nearest centroid, and by a rule one more.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "centroids.h"

namespace spfresh {

struct Assignment {
  uint32_t primary = kNowhere;
  // kNowhere where the rule finds none, or there is no rule.
  uint32_t spill = kNowhere;
  float primary_distance2 = 0;
  float spill_distance2 = 0;
};

// How second copies are placed.
struct SpillRule {
  Spill spill = Spill::kNone;
  float lambda = 0;
  float closure = 0;

  static SpillRule Of(const Options& options) {
    return {options.spill, options.spill_lambda, options.closure};
  }
};

// How much is looked at. Of a thousand vectors, kQuick finds the second nearest posting instead of
// the nearest for fifty where there are 16,000 of them, kUsual for three, kSure for none; where
// second copies are looked for too, kQuick is as kUsual (docs/adr/0009).
enum class Care : uint8_t { kQuick, kUsual, kSure };

// Assigns "count" placed vectors.
void Assign(const Centroids& centroids, const float* vectors, size_t count, const SpillRule& rule,
            std::vector<Assignment>* out, Care care = Care::kUsual);

// The postings that are nearest to a place, nearest first, with their squared distances.
std::vector<std::pair<uint32_t, float>> NearestPostings(const Centroids& centroids,
                                                        const float* place, size_t most);

// What a rule minimises, for a copy at "other" of a vector whose first copy is at "primary";
// infinite where the rule places none.
float SpillLoss(const float* vector, const float* primary, const float* other, size_t stride,
                const SpillRule& rule);

}  // namespace spfresh
