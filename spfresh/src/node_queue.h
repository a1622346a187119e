// The lowest nodes of a tree of centroids, in the order in which the nearest of their children may
// be expected.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "centroids.h"
#include "query_code.h"

namespace spfresh {

class NodeQueue {
 public:
  // "code" is the place's, by any metric. The nearest child of a node is expected nearer than most
  // by "reach" standard deviations of its children. All outlive this.
  NodeQueue(const CentroidTree& tree, const CentroidQuery& query, const QueryCode* code,
            float reach)
      : tree_(tree), query_(query), code_(code), reach_(reach) {}

  // Begins at the root, which the tree must have. Without this there is nothing in the queue.
  void Start();
  // What the next is expected at, or above it; infinite when there is none.
  float bound2() const {
    return queue_.empty() ? std::numeric_limits<float>::infinity() : queue_.front().bound2;
  }
  // Takes the next away; null when it is expected beyond "most2".
  const CentroidNode* Next(float most2);

 private:
  struct Item {
    float bound2;
    uint32_t level;
    uint32_t at;
    // The order of a heap whose top is the nearest.
    friend bool operator<(const Item& a, const Item& b) {
      return a.bound2 > b.bound2 || (a.bound2 == b.bound2 && a.at > b.at);
    }
  };

  void Open(uint32_t level, const CentroidNode& node);

  const CentroidTree& tree_;
  const CentroidQuery& query_;
  const QueryCode* code_;
  const float reach_;
  std::vector<Item> queue_;
  std::vector<float> lows_;
  std::vector<uint32_t> within_;
};

}  // namespace spfresh
