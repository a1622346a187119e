// The postings of a version by the distance of their centroids to a place, nearest first, measured
// as late as possible: centroids are scanned by their codes (centroid_tree.h), and one is measured
// only when its bound says that it may be the next. Most never are.
//
// Up to kFlatNodes nodes all of them are scanned: a search that wants a hundredth of the postings
// wants some of nearly every node, and to find out which costs more than to look (docs/adr/0009).
// Beyond, nodes are opened when their turn comes. How near the nearest child of a node is, is known
// by chance alone, so that a few postings come a little late. All come.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "centroids.h"
#include "node_queue.h"
#include "query_code.h"
#include "space.h"

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

  // "code" is the place's, by any metric, or null to measure all at once. All outlive this.
  CentroidOrder(const Centroids& centroids, const Space& space, const float* place,
                const QueryCode* code);

  // The nearest that was not taken away; null when all were.
  const Near* Nearest();
  // Takes it away. REQUIRES: Nearest() was called since, and is not null.
  void Pop();

  // Nodes whose children were scanned, and centroids that were measured.
  size_t opened() const { return opened_.size(); }
  size_t measured() const { return measured_; }

 private:
  struct Opened {
    const CentroidNode* node;
    // Where its children's bounds begin in lows_.
    size_t from;
  };

  void Open(const CentroidNode& node);
  // Lets some more of what was scanned into the queue.
  void Raise();
  void Take(size_t from, float above);
  float Measure(uint32_t posting);
  // By how much a centroid counts as nearer than it is: those of long vectors must not look far
  // to a query of inner products.
  float Excess(uint32_t posting) const;

  const Centroids& centroids_;
  const QueryCode* code_;
  const CentroidQuery query_;
  // Infinite but for inner products.
  float norm2_most_;
  NodeQueue nodes_;
  std::vector<Opened> opened_;
  // Bounds of the children of the nodes opened, each node's filled up to whole blocks.
  std::vector<float> lows_;
  size_t scanned_ = 0;
  // Of these, those within the limit that were not measured yet: a heap, nearest on top.
  std::vector<Near> far_;
  size_t taken_ = 0;
  float limit_;
  size_t step_;
  // A heap of those that were measured.
  std::vector<Near> near_;
  size_t measured_ = 0;
  // Spare room.
  std::vector<uint32_t> within_;
  std::vector<float> sample_;
};

}  // namespace spfresh
