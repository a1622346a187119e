// To which postings a vector goes: the nearest centroid, and by SOAR's rule one more.
#pragma once

#include <cstdint>
#include <vector>

#include "centroids.h"

namespace spfresh {

struct Assignment {
  uint32_t primary = kNowhere;
  // kNowhere where there is no second posting, or spill is off.
  uint32_t spill = kNowhere;
  float primary_distance2 = 0;
  float spill_distance2 = 0;
};

enum class Spill : uint8_t { kNo, kYes };

// Assigns "count" placed vectors. SOAR (NeurIPS'23): the second copy goes where
// |r'|^2 + lambda <r', r/|r|>^2 is least, r and r' being the residuals: a query that misses the
// first posting since r points away from it finds the second one, whose residual is orthogonal.
void Assign(const Centroids& centroids, const float* vectors, size_t count, Spill spill,
            float lambda, std::vector<Assignment>* out);

// What SOAR's rule minimises, for a copy at "other" of a vector whose first copy is at "primary".
float SpillLoss(const float* vector, const float* primary, const float* other, size_t stride,
                float lambda);

}  // namespace spfresh
