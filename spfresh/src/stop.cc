#include "stop.h"

#include <algorithm>
#include <cmath>

namespace spfresh {
namespace {

// Where "x" lies between the values of an ascending or descending scale, on a logarithmic ruler:
// the position of the lower neighbour and the share of the way to the next.
template <size_t N>
float Position(const std::array<float, N>& scale, float x) {
  const float at = std::log(x);
  for (size_t i = 0; i + 1 < N; ++i) {
    const float low = std::log(scale[i]), high = std::log(scale[i + 1]);
    const float share = (at - low) / (high - low);
    if (share <= 1) return static_cast<float>(i) + std::max(0.0F, share);
  }
  return static_cast<float>(N - 1);
}

}  // namespace

Stop Stop::Toward(const Thresholds& thresholds, float part) const {
  Stop next = *this;
  for (size_t d = 0; d < thresholds.size(); ++d) {
    for (size_t m = 0; m < kMisses.size(); ++m) {
      float& own = next.thresholds_[d][m];
      own = std::lerp(own, thresholds[d][m], part);
    }
  }
  return next;
}

float Stop::Threshold(float recall_target, float depth) const {
  const float miss = Position(kMisses, std::max(1e-6F, 1 - recall_target));
  const float deep = Position(kDepths, std::max(1.0F, depth));
  const auto at = [](const auto& values, float position) {
    const auto low = static_cast<size_t>(position);
    const size_t high = std::min(low + 1, values.size() - 1);
    return std::pair{low, high};
  };
  const auto [miss_low, miss_high] = at(kMisses, miss);
  const auto [deep_low, deep_high] = at(kDepths, deep);
  const float miss_share = miss - static_cast<float>(miss_low);
  const float deep_share = deep - static_cast<float>(deep_low);
  const auto along = [&](size_t d) {
    return std::lerp(thresholds_[d][miss_low], thresholds_[d][miss_high], miss_share);
  };
  const float within = std::lerp(along(deep_low), along(deep_high), deep_share);
  if (depth <= kDepths.back()) return within;
  // Deeper than was measured: where thresholds grow with the depth, they go on growing.
  constexpr size_t kLast = kDepths.size() - 1;
  const float steps =
      std::log(depth / kDepths[kLast]) / std::log(kDepths[kLast] / kDepths[kLast - 1]);
  return within + steps * std::max(0.0F, along(kLast) - along(kLast - 1));
}

}  // namespace spfresh
