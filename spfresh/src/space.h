// Where vectors lie in the index. Every metric becomes Euclidean distance in some space, so that
// clusters, radii and the stop rule have one geometry:
//   l2              the vector itself;
//   cosine          the vector at unit length: d^2 = 2 (1 - cos);
//   inner product   one more coordinate, sqrt(M^2 - |x|^2) with M a bound of the norms, and 0 for a
//                   query: d^2 = |q|^2 + M^2 - 2 q.x. A vector longer than M gets 0 there and is
//                   still scored exactly; only the geometry is a little off for it.
// Vectors that postings keep as codes are then filled up with zeros and rotated at random
// (rotation.h), which leaves all distances as they are.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "rotation.h"
#include "spfresh/distance.h"
#include "spfresh/options.h"

namespace spfresh {

class Space {
 public:
  Space() = default;
  Space(const Options& options, float norm_bound);

  // M for these vectors; 0 for metrics that need none.
  static float NormBound(const Options& options, const Rows& vectors);

  Metric metric() const { return metric_; }
  uint32_t dims() const { return dims_; }
  // Floats of a placed vector.
  uint32_t stride() const { return stride_; }
  float norm_bound() const { return norm_bound_; }

  // Writes stride() floats. False, and nothing promised about *place, for a vector that has no
  // place: not finite, so long that squares overflow, or without a direction under cosine.
  bool Place(const float* vector, float* place) const;
  bool PlaceQuery(const float* query, float* place) const;
  // A vector that has this place: dims() floats.
  void Recover(const float* place, float* vector) const;

  // A score is what a scan compares: d^2, or the negative inner product. Smaller is nearer.
  // REQUIRES: places are not rotated.
  void Scores(const float* query_place, const float* places, size_t count, float* scores) const;
  // A score as squared distance in this space.
  float Distance2(float score, float query_norm2) const;
  // A score as the SQL operator shows it.
  float Shown(float score) const;

 private:
  // Before rotation.
  bool Fill(const float* vector, float* place) const;
  void Rotate(float* place) const;

  Metric metric_ = Metric::kL2;
  uint32_t dims_ = 0;
  uint32_t stride_ = 0;
  float norm_bound_ = 0;
  // Null where vectors are kept whole.
  std::shared_ptr<const Rotation> rotation_;
};

}  // namespace spfresh
