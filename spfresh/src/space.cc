#include "space.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// Squares of differences of vectors within this stay far from overflow, sums over a posting too.
constexpr float kNorm2Max = 1e30F;

float Norm2(const float* vector, size_t dims) {
  float norm2;
  Dot(vector, {vector, 1, dims, dims}, &norm2);
  return norm2;
}

}  // namespace

Space::Space(const Options& options, float norm_bound)
    : metric_(options.metric),
      dims_(options.dims),
      stride_(options.metric == Metric::kInnerProduct ? dims_ + 1 : dims_),
      norm_bound_(norm_bound) {
  if (options.record_bits() == kWholeBits) return;
  stride_ = static_cast<uint32_t>((stride_ + kCodeAlign - 1) / kCodeAlign * kCodeAlign);
  rotation_ = std::make_shared<Rotation>(stride_, options.seed);
}

float Space::NormBound(const Options& options, const Rows& vectors) {
  if (options.metric != Metric::kInnerProduct) return 0;
  float most = 0;
  for (size_t i = 0; i < vectors.count; ++i) {
    const float norm2 = Norm2(vectors.data + i * vectors.stride, vectors.dims);
    if (norm2 <= kNorm2Max) most = std::max(most, norm2);
  }
  return std::sqrt(most);
}

bool Space::Fill(const float* vector, float* place) const {
  std::fill(place + dims_, place + stride_, 0.0F);
  const float norm2 = Norm2(vector, dims_);
  if (!(norm2 <= kNorm2Max)) return false;
  switch (metric_) {
    case Metric::kL2:
      std::memcpy(place, vector, dims_ * sizeof(float));
      return true;
    case Metric::kInnerProduct:
      std::memcpy(place, vector, dims_ * sizeof(float));
      place[dims_] = std::sqrt(std::max(0.0F, norm_bound_ * norm_bound_ - norm2));
      return true;
    case Metric::kCosine: {
      if (!(norm2 > 0)) return false;
      const double scale = 1.0 / std::sqrt(static_cast<double>(norm2));
      for (size_t i = 0; i < dims_; ++i) {
        place[i] = static_cast<float>(static_cast<double>(vector[i]) * scale);
      }
      return true;
    }
  }
  return false;
}

void Space::Rotate(float* place) const {
  if (rotation_ != nullptr) rotation_->Apply(place);
}

bool Space::Place(const float* vector, float* place) const {
  if (!Fill(vector, place)) return false;
  Rotate(place);
  return true;
}

bool Space::PlaceQuery(const float* query, float* place) const {
  if (!Fill(query, place)) return false;
  if (metric_ == Metric::kInnerProduct) place[dims_] = 0;
  Rotate(place);
  return true;
}

void Space::Recover(const float* place, float* vector) const {
  std::vector<float> turned(place, place + stride_);
  if (rotation_ != nullptr) rotation_->Invert(turned.data());
  std::copy_n(turned.data(), dims_, vector);
}

void Space::Scores(const float* query_place, const float* places, size_t count,
                   float* scores) const {
  const Rows rows{places, count, dims_, stride()};
  if (metric_ == Metric::kInnerProduct) {
    Dot(query_place, rows, scores);
    for (size_t i = 0; i < count; ++i) scores[i] = -scores[i];
  } else {
    L2Squared(query_place, rows, scores);
  }
}

float Space::Distance2(float score, float query_norm2) const {
  if (metric_ != Metric::kInnerProduct) return std::max(0.0F, score);
  return std::max(0.0F, query_norm2 + norm_bound_ * norm_bound_ + 2 * score);
}

float Space::Shown(float score) const {
  switch (metric_) {
    // An estimate may be a little below zero.
    case Metric::kL2:
      return std::sqrt(std::max(0.0F, score));
    case Metric::kCosine:
      return std::clamp(score / 2, 0.0F, 2.0F);
    case Metric::kInnerProduct:
      break;
  }
  return score;
}

}  // namespace spfresh
