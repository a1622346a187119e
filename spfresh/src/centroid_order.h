// The postings of a version by the distance of their centroids to a query, nearest first, measured
// as late as possible: centroids are scanned by their codes (centroids.h), and one is measured only
// when its bound says that it may be the next. Most never are.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "query_code.h"
#include "version_state.h"

namespace spfresh {

class CentroidOrder {
 public:
  struct Near {
    float distance2;
    uint32_t posting;
    // The order of a heap whose top is the nearest.
    friend bool operator<(const Near& a, const Near& b) {
      return a.distance2 > b.distance2 || (a.distance2 == b.distance2 && a.posting > b.posting);
    }
  };

  // "code" is null to measure all at once. All outlive this.
  CentroidOrder(const Version::State& state, const float* place, const QueryCode* code);

  // The nearest that was not taken away; null when all were.
  const Near* Nearest();
  // Takes it away. REQUIRES: Nearest() was called since, and is not null.
  void Pop();

 private:
  // A posting whose centroid was scanned.
  struct Far {
    // A bound of its distance, and one for all that come behind it.
    float low2;
    float least2;
    uint32_t posting;
  };

  void Scan();
  void Sort();
  float Measure(uint32_t posting) const;

  const Version::State& state_;
  const float* place_;
  const QueryCode* code_;
  // In the order of their bounds; those before measured_ were measured.
  std::vector<Far> far_;
  size_t measured_ = 0;
  // A heap of those that were measured.
  std::vector<Near> near_;
};

}  // namespace spfresh
