#include "stop.h"

#include <algorithm>
#include <cmath>

namespace spfresh {
namespace {

// Where "x" lies between the values of an ascending or descending scale, on a logarithmic ruler:
// its neighbours, and the share of the way from the one to the other.
struct Place {
  size_t low;
  size_t high;
  float share;
};

template <size_t N>
Place PlaceOn(const std::array<float, N>& scale, float x) {
  const float at = std::log(x);
  for (size_t i = 0; i + 1 < N; ++i) {
    const float low = std::log(scale[i]), high = std::log(scale[i + 1]);
    const float share = (at - low) / (high - low);
    if (share <= 0) return {i, i, 0};
    if (share < 1) return {i, i + 1, share};
  }
  return {N - 1, N - 1, 0};
}

Place PlaceAt(float depth) { return PlaceOn(Stop::kDepths, std::max(1.0F, depth)); }

}  // namespace

Stop Stop::Toward(const Rules& rules, float part) const {
  Stop next = *this;
  for (size_t d = 0; d < rules.size(); ++d) {
    next.rules_[d].reach = std::lerp(next.rules_[d].reach, rules[d].reach, part);
    for (size_t m = 0; m < kMisses.size(); ++m) {
      float& own = next.rules_[d].thresholds[m];
      own = std::lerp(own, rules[d].thresholds[m], part);
    }
  }
  return next;
}

std::array<Stop::Limit, 2> Stop::At(float recall_target, float depth) const {
  const Place miss = PlaceOn(kMisses, std::max(1e-6F, 1 - recall_target));
  const Place deep = PlaceAt(depth);
  const auto of = [&](const Rule& rule) {
    const auto& thresholds = rule.thresholds;
    return Limit{rule.bias, std::lerp(thresholds[miss.low], thresholds[miss.high], miss.share)};
  };
  return {of(rules_[deep.low]), of(rules_[deep.high])};
}

float Stop::Kth2(float depth, float nearest2) const {
  const Place deep = PlaceAt(depth);
  return nearest2 * std::lerp(rules_[deep.low].reach, rules_[deep.high].reach, deep.share);
}

}  // namespace spfresh
