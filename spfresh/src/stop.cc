#include "stop.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace spfresh {
namespace {

// What it weighs that hits have been there for long.
constexpr float kPatience = 0.1F;

// Where "x" lies between the values of an ascending or descending scale, on a logarithmic ruler:
// its neighbours, and the share of the way from the one to the other.
struct Between {
  size_t low;
  size_t high;
  float share;

  float Of(const float* values) const { return std::lerp(values[low], values[high], share); }
};

template <size_t N>
Between PlaceOn(const std::array<float, N>& scale, float x) {
  const float at = std::log(x);
  for (size_t i = 0; i + 1 < N; ++i) {
    const float low = std::log(scale[i]), high = std::log(scale[i + 1]);
    const float share = (at - low) / (high - low);
    if (share <= 0) return {i, i, 0};
    if (share < 1) return {i, i + 1, share};
  }
  return {N - 1, N - 1, 0};
}

Between PlaceAt(float depth) { return PlaceOn(Stop::kDepths, std::max(1.0F, depth)); }
Between PlaceOfMiss(float recall_target) {
  return PlaceOn(Stop::kMisses, std::max(1e-6F, 1 - recall_target));
}
Between KindOf(const Stop::Rules& rules, float nearest2) {
  return PlaceOn(rules.nearest2, std::max(std::numeric_limits<float>::min(), nearest2));
}

}  // namespace

float Stop::Place::Progress(float bias) const {
  return (next2 - bias * nearest2) / kth2 + kPatience * waited;
}

float Stop::Rules::Threshold(size_t depth, size_t miss, float query_nearest2) const {
  const Between kind = KindOf(*this, query_nearest2);
  return std::max(at[depth].thresholds[kind.low][miss], at[depth].thresholds[kind.high][miss]);
}

Stop Stop::Toward(const Rules& rules, float part) const {
  Stop next = *this;
  const auto move = [part](float& own, float to) { own = std::lerp(own, to, part); };
  for (size_t kind = 0; kind < kKinds; ++kind) {
    move(next.rules_.nearest2[kind], rules.nearest2[kind]);
    for (size_t d = 0; d < kDepths.size(); ++d) {
      Rule& own = next.rules_.at[d];
      for (size_t m = 0; m < kMisses.size(); ++m) {
        move(own.thresholds[kind][m], rules.at[d].thresholds[kind][m]);
        move(own.ends[kind][m], rules.at[d].ends[kind][m]);
      }
    }
  }
  return next;
}

std::array<Stop::Limit, 2> Stop::At(float recall_target, float depth, float nearest2) const {
  const Between miss = PlaceOfMiss(recall_target), deep = PlaceAt(depth);
  const auto of = [&](size_t d) {
    return Limit{rules_.at[d].bias,
                 std::lerp(rules_.Threshold(d, miss.low, nearest2),
                           rules_.Threshold(d, miss.high, nearest2), miss.share)};
  };
  return {of(deep.low), of(deep.high)};
}

float Stop::End2(float recall_target, float depth, float nearest2) const {
  const Between miss = PlaceOfMiss(recall_target), deep = PlaceAt(depth);
  const Between kind = KindOf(rules_, nearest2);
  const auto of = [&](size_t d) {
    const auto& ends = rules_.at[d].ends;
    return std::lerp(miss.Of(ends[kind.low].data()), miss.Of(ends[kind.high].data()), kind.share);
  };
  return nearest2 * std::lerp(of(deep.low), of(deep.high), deep.share);
}

}  // namespace spfresh
