// When a search may stop, so that it finds the share of the answer that it was asked for.
//
// Postings are read in the order of d, the distance of their centroid to the query. Let r be the
// distance of the k-th hit so far, d0 that of the nearest centroid, n the entries read, and n_i as
// many when the i-th of the k nearest hits so far came. The quantity
//     progress = (d^2 - bias * d0^2) / r^2 + 0.1 * mean log(n / n_i),
// where d is of the next posting and the bias in [0, 1], grows while a search goes on (d grows, r
// shrinks), and where it is large little is left to be found. With bias 1 its first part is, but
// for a constant, the distance of the query to the plane between the cells over r, Quake's measure;
// with bias 0 it is the simple ratio d / r. Which bias serves best differs with the data and with
// the depth at which the k-th hit lies among all rows (k without a filter, k / selectivity with
// one; a filter thus widens a search in two ways): where an answer is one cluster the first serves,
// where it is many clusters the second. The second part tells queries apart whose hits lie together
// from those whose hits go on coming.
//
// What progress is enough differs with how far the query is from the rows, which the nearest
// centroid tells before anything is read. So there are thresholds for some kinds of queries, from
// among the rows to far off, and a query between two kinds has to satisfy both. Biases and
// thresholds are found by scanning everything for a sample of queries (see calibrate.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace spfresh {

class Stop {
 public:
  // Shares of the answer that may be missing, depths, and the number of kinds of queries, for which
  // thresholds are kept.
  static constexpr std::array<float, 8> kMisses = {0.5F,  0.3F,  0.2F,  0.1F,
                                                   0.05F, 0.02F, 0.01F, 0.005F};
  static constexpr std::array<float, 6> kDepths = {1, 4, 10, 30, 100, 400};
  static constexpr size_t kKinds = 4;

  // How far a search has come: the squared distances of the next posting, the nearest and the k-th
  // hit; and how long the hits have been there, the mean of log(n / n_i), where n_i counts the
  // posting in which the hit was.
  struct Place {
    float next2;
    float nearest2;
    float kth2;
    float waited;

    // REQUIRES: kth2 > 0
    float Progress(float bias) const;
  };
  // The progress at which a search may stop.
  struct Limit {
    float bias;
    float threshold;
  };
  using ByMiss = std::array<float, kMisses.size()>;
  // At one depth, the bias; for each kind of queries and each miss, the threshold, and how far the
  // posting is before which most searches stop: its squared distance in that of the nearest.
  struct Rule {
    float bias = 0;
    std::array<ByMiss, kKinds> thresholds{};
    std::array<ByMiss, kKinds> ends{};
  };
  struct Rules {
    // By kind, the squared distance of the nearest centroid, ascending.
    std::array<float, kKinds> nearest2{};
    std::array<Rule, kDepths.size()> at{};

    // For a query whose nearest centroid is so far, by the rule of that index and the miss of this
    // one.
    float Threshold(size_t depth, size_t miss, float query_nearest2) const;
  };

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

  // The same with all but the biases moved a part of the way to those of rules with the same
  // biases.
  Stop Toward(const Rules& rules, float part) const;

  // What a search has to reach whose k-th hit lies so deep and whose nearest centroid is so far:
  // the limits of the depths below and above it, both, since what is wanted between them need not
  // lie between theirs: an answer is then still in its cluster, or no longer. REQUIRES:
  // calibrated()
  std::array<Limit, 2> At(float recall_target, float depth, float nearest2) const;

  // The squared distance of the posting before which most such searches stop.
  float End2(float recall_target, float depth, float nearest2) const;

 private:
  uint64_t entries_ = 0;
  Rules rules_{};
};

}  // namespace spfresh
