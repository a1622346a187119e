// When a search may stop, so that it finds the share of the answer that it was asked for.
//
// Postings are read in the order of d, the distance of their centroid to the query. Let r be the
// distance of the k-th hit so far, d0 that of the nearest centroid. The quantity
//     progress = (d^2 - bias * d0^2) / r^2,   d of the next posting, bias in [0, 1],
// only grows while a search goes on (d grows, r shrinks), and where it is large little is left to
// be found: with bias 1 it is, but for a constant, the distance of the query to the plane between
// the cells over r, Quake's measure; with bias 0 it is the simple ratio d / r. Which bias serves
// best differs with the data and is found, with the threshold, by scanning everything for a sample
// of queries (see calibrate.h). The threshold depends on how deep the k-th hit lies among all
// rows: k without a filter, k / selectivity with one; a filter thus widens a search in two ways.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace spfresh {

class Stop {
 public:
  // Shares of the answer that may be missing, and depths, for which thresholds are kept.
  static constexpr std::array<float, 8> kMisses = {0.5F,  0.3F,  0.2F,  0.1F,
                                                   0.05F, 0.02F, 0.01F, 0.005F};
  static constexpr std::array<float, 4> kDepths = {1, 10, 100, 400};
  using Thresholds = std::array<std::array<float, kMisses.size()>, kDepths.size()>;

  // The state before any calibration: only a bound may stop a search.
  Stop() = default;
  Stop(float bias, const Thresholds& thresholds, uint64_t entries)
      : bias_(bias), entries_(entries), thresholds_(thresholds) {}

  bool calibrated() const { return entries_ != 0; }
  float bias() const { return bias_; }
  const Thresholds& thresholds() const { return thresholds_; }
  // The entries of the index when this was calibrated from the ground up.
  uint64_t entries() const { return entries_; }
  // Whether an index of so many entries is of the kind that this was calibrated for, so that it
  // can be followed (see Calibrator) instead of calibrated from the ground up.
  bool Suits(uint64_t entries) const {
    return calibrated() && entries <= entries_ + entries_ / 2 && entries >= entries_ / 2;
  }

  // The same with each threshold moved a part of the way to these.
  Stop Toward(const Thresholds& thresholds, float part) const;

  static float Progress(float bias, float next2, float nearest2, float kth2) {
    return (next2 - bias * nearest2) / kth2;
  }

  // The progress at which a search may stop. REQUIRES: calibrated()
  float Threshold(float recall_target, float depth) const;

 private:
  float bias_ = 0;
  uint64_t entries_ = 0;
  Thresholds thresholds_{};
};

}  // namespace spfresh
