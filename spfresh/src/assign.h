// To which postings a vector goes: the nearest centroid, and by SOAR's rule one more.
#pragma once

#include <cstdint>
#include <utility>
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

// How much is looked at. Of a thousand vectors, kQuick finds the second nearest posting instead of
// the nearest for fifty where there are 16,000 of them, kUsual for three, kSure for none; where
// second copies are looked for too, kQuick is as kUsual (docs/adr/0009).
enum class Care : uint8_t { kQuick, kUsual, kSure };

// Assigns "count" placed vectors. SOAR (NeurIPS'23): the second copy goes where
// |r'|^2 + lambda <r', r/|r|>^2 is least, r and r' being the residuals: a query that misses the
// first posting since r points away from it finds the second one, whose residual is orthogonal.
void Assign(const Centroids& centroids, const float* vectors, size_t count, Spill spill,
            float lambda, std::vector<Assignment>* out, Care care = Care::kUsual);

// The postings that are nearest to a place, nearest first, with their squared distances.
std::vector<std::pair<uint32_t, float>> NearestPostings(const Centroids& centroids,
                                                        const float* place, size_t most);

// What SOAR's rule minimises, for a copy at "other" of a vector whose first copy is at "primary".
float SpillLoss(const float* vector, const float* primary, const float* other, size_t stride,
                float lambda);

}  // namespace spfresh
