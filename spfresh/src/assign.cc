#include "assign.h"

#include <algorithm>
#include <cmath>

#include "spfresh/distance.h"

namespace spfresh {
namespace {

// Vectors that are compared with all centroids together: a block of a page times these stays in the
// second-level cache.
constexpr size_t kTile = 32;
// SOAR's loss lies between |r'|^2 and (1 + lambda) |r'|^2, so the best is among the near ones.
constexpr size_t kSpillCandidates = 48;
// |x|^2 + |c|^2 - 2 x.c is wrong by some units in the last place of its parts.
constexpr float kRounding = 4e-6F;

struct Candidate {
  float distance2;
  uint32_t id;
};

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

class Assigner {
 public:
  Assigner(const Centroids& centroids, Spill spill, float lambda)
      : centroids_(centroids), spill_(spill), lambda_(lambda) {
    for (uint32_t page = 0; page < centroids.pages(); ++page) {
      for (uint32_t i = 0; i < kPage; ++i) {
        if (centroids.posting_page(page).postings[i].in_use) ids_.push_back(page * kPage + i);
      }
    }
    dots_.resize(kTile * kPage);
    distances_.resize(kTile * ids_.size());
  }

  void Tile(const float* vectors, size_t count, Assignment* out) {
    const size_t stride = centroids_.stride();
    size_t done = 0;
    for (uint32_t page = 0; page < centroids_.pages(); ++page) {
      DotMany({vectors, count, stride, stride},
              {centroids_.page(page).rows.data(), kPage, stride, stride}, dots_.data());
      const auto& norm2 = centroids_.page(page).norm2;
      for (; done < ids_.size() && ids_[done] / kPage == page; ++done) {
        const uint32_t slot = ids_[done] % kPage;
        for (size_t v = 0; v < count; ++v) {
          distances_[v * ids_.size() + done] = norm2[slot] - 2 * dots_[v * kPage + slot];
        }
      }
    }
    for (size_t v = 0; v < count; ++v) {
      out[v] = One(vectors + v * stride, distances_.data() + v * ids_.size());
    }
  }

 private:
  // "distance2" lacks |x|^2, which is the same for all.
  Assignment One(const float* vector, const float* distance2) {
    const size_t stride = centroids_.stride();
    const size_t n = ids_.size();
    const size_t nearest = std::min_element(distance2, distance2 + n) - distance2;
    float norm2;
    Dot(vector, {vector, 1, stride, stride}, &norm2);
    // What rounding may have put in the wrong order is measured again.
    const float slack = kRounding * (norm2 + std::fabs(distance2[nearest]) + norm2);
    Assignment to;
    to.primary_distance2 = std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < n; ++i) {
      if (distance2[i] > distance2[nearest] + slack) continue;
      const float exact = Distance2(vector, centroids_.centroid(ids_[i]), stride);
      if (exact < to.primary_distance2) {
        to.primary = ids_[i];
        to.primary_distance2 = exact;
      }
    }
    if (to.primary == kNowhere) to.primary = ids_[nearest];
    if (spill_ == Spill::kYes && n > 1 && to.primary_distance2 > 0)
      PlaceSpill(vector, distance2, &to);
    return to;
  }

  // A vector that equals its centroid has no residual to be orthogonal to, and no copy.
  void PlaceSpill(const float* vector, const float* distance2, Assignment* to) {
    const size_t stride = centroids_.stride();
    near_.clear();
    // The bound of the near ones is found on a sample, so that few candidates are sorted.
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] == to->primary) continue;
      if (near_.size() >= kSpillCandidates && distance2[i] >= near_.front().distance2) continue;
      near_.push_back({distance2[i], ids_[i]});
      std::push_heap(near_.begin(), near_.end(), Nearer);
      if (near_.size() > kSpillCandidates) {
        std::pop_heap(near_.begin(), near_.end(), Nearer);
        near_.pop_back();
      }
    }
    residual_.resize(stride);
    const float* centroid = centroids_.centroid(to->primary);
    for (size_t i = 0; i < stride; ++i) residual_[i] = vector[i] - centroid[i];
    float along_vector;
    Dot(residual_.data(), {vector, 1, stride, stride}, &along_vector);
    float best = std::numeric_limits<float>::infinity();
    for (const Candidate& candidate : near_) {
      const float* other = centroids_.centroid(candidate.id);
      const float length2 = Distance2(vector, other, stride);
      float along_other;
      Dot(residual_.data(), {other, 1, stride, stride}, &along_other);
      const float parallel = along_vector - along_other;
      const float loss = length2 + lambda_ * parallel * parallel / to->primary_distance2;
      if (loss < best) {
        best = loss;
        to->spill = candidate.id;
        to->spill_distance2 = length2;
      }
    }
  }

  static bool Nearer(const Candidate& a, const Candidate& b) {
    return a.distance2 < b.distance2 || (a.distance2 == b.distance2 && a.id < b.id);
  }

  const Centroids& centroids_;
  const Spill spill_;
  const float lambda_;
  std::vector<uint32_t> ids_;
  std::vector<float> dots_;
  std::vector<float> distances_;
  std::vector<float> residual_;
  std::vector<Candidate> near_;
};

}  // namespace

float SpillLoss(const float* vector, const float* primary, const float* other, size_t stride,
                float lambda) {
  float parallel = 0;
  for (size_t i = 0; i < stride; ++i) parallel += (vector[i] - primary[i]) * (vector[i] - other[i]);
  const float length2 = Distance2(vector, primary, stride);
  const float along = length2 > 0 ? lambda * parallel * parallel / length2 : 0.0F;
  return Distance2(vector, other, stride) + along;
}

void Assign(const Centroids& centroids, const float* vectors, size_t count, Spill spill,
            float lambda, std::vector<Assignment>* out) {
  out->resize(count);
  Assigner assigner(centroids, spill, lambda);
  for (size_t from = 0; from < count; from += kTile) {
    assigner.Tile(vectors + from * centroids.stride(), std::min(kTile, count - from),
                  out->data() + from);
  }
}

}  // namespace spfresh
