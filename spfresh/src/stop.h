// When a search may stop, so that it finds the share of the answer that it was asked for.
//
// Postings are read in the order of d, the distance of their centroid to the query. Let r be the
// distance of the k-th hit so far, d0 that of the nearest centroid. The quantity
//     progress = (d^2 - bias * d0^2) / r^2,   d of the next posting, bias in [0, 1],
// only grows while a search goes on (d grows, r shrinks), and where it is large little is left to
// be found: with bias 1 it is, but for a constant, the distance of the query to the plane between
// the cells over r, Quake's measure; with bias 0 it is the simple ratio d / r. Which bias serves
// best differs with the data and with the depth at which the k-th hit lies among all rows (k
// without a filter, k / selectivity with one; a filter thus widens a search in two ways): where an
// answer is one cluster the first serves, where it is many clusters the second. Both bias and
// threshold are found by scanning everything for a sample of queries (see calibrate.h).
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
  static constexpr std::array<float, 6> kDepths = {1, 4, 10, 30, 100, 400};
  // The progress at which a search may stop.
  struct Limit {
    float bias;
    float threshold;

    bool Reached(float next2, float nearest2, float kth2) const {
      return next2 - bias * nearest2 >= threshold * kth2;
    }
  };
  // At one depth: the bias, and the threshold for each miss. And how far the k-th hit of most
  // queries lies at most: r^2 / d0^2.
  struct Rule {
    float bias = 0;
    float reach = 1;
    std::array<float, kMisses.size()> thresholds{};
  };
  using Rules = std::array<Rule, kDepths.size()>;

  // The state before any calibration: only a bound may stop a search.
  Stop() = default;
  Stop(const Rules& rules, uint64_t entries) : entries_(entries), rules_(rules) {}

  bool calibrated() const { return entries_ != 0; }
  const Rules& rules() const { return rules_; }
  // The entries of the index when this was calibrated from the ground up.
  uint64_t entries() const { return entries_; }
  // Whether an index of so many entries is of the kind that this was calibrated for, so that it
  // can be followed (see Calibrator) instead of calibrated from the ground up.
  bool Suits(uint64_t entries) const {
    return calibrated() && entries <= entries_ + entries_ / 2 && entries >= entries_ / 2;
  }

  // The same with each threshold and reach moved a part of the way to those of rules with the same
  // biases.
  Stop Toward(const Rules& rules, float part) const;

  // What a search has to reach whose k-th hit lies so deep: the limits of the depths below and
  // above it, both, since what is wanted between them need not lie between theirs: an answer is
  // then still in its cluster, or no longer. REQUIRES: calibrated()
  std::array<Limit, 2> At(float recall_target, float depth) const;

  // The squared distance within which the k-th hit most likely is, when it lies so deep and the
  // nearest centroid is so far.
  float Kth2(float depth, float nearest2) const;

 private:
  uint64_t entries_ = 0;
  Rules rules_{};
};

}  // namespace spfresh
