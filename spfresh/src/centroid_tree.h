// A tree over centroids, so that a search looks at few of them: a node holds up to kNodeMax
// children that are near each other, as codes around their mean, which is the code of a posting
// (codec.h); nodes are children of nodes in the same way. The root is flat and takes kRootMax, so
// that 30,000 postings have two levels and two millions three.
//
// A persistent tree: copies share nodes, and a node is copied when one of its sharers changes it.
// It splits, merges and grows as a B-tree does, by nearness instead of order.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codec.h"
#include "persistent.h"
#include "spfresh/chunk.h"

namespace spfresh {

inline constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

inline constexpr uint32_t kNodeMax = 128;
inline constexpr uint32_t kNodeTarget = 64;
inline constexpr uint32_t kNodeMin = 12;
inline constexpr uint32_t kRootMax = 512;

// A centroid as it is kept where vectors are coded: 8 bits a coordinate, around an origin.
// coordinate = origin + scale * (byte - 128)
struct RoundedCentroid {
  std::vector<uint8_t> bytes;
  float scale = 0;
  // The squared distance from the origin.
  float offset2 = 0;
};

struct CentroidNode {
  // Begins to load what a scan of the children reads.
  void Prefetch() const;

  // Posting ids at level 0, nodes of the level below above it.
  std::vector<uint32_t> children;
  // Around which the codes are: the children's mean when it was last computed, a little off since.
  std::vector<float> mean;
  // The same as a centroid is kept (centroids.h), which it is rounded to.
  RoundedCentroid rounded;
  // The children's mean squared distance from it.
  float spread2 = 0;
  // The standard deviation of children along a line through the mean, as lines go among them: how
  // much nearer than the mean the nearest child is, is some of these.
  float reach = 0;
  // Children that came and went since the mean was computed.
  uint32_t changes = 0;
  // Children as a posting of centroids; its words are places in "children". Null where vectors
  // are kept whole.
  std::shared_ptr<const Chunk> codes;
  // Of nodes that are children, what their parent's search needs of each.
  std::vector<float> spreads2;
  std::vector<float> reaches;
};

// Where the tree reads the centroids of postings.
class CentroidRows {
 public:
  virtual ~CentroidRows() = default;
  virtual void Read(uint32_t posting, float* row) const = 0;
  // Rounds a centroid to what is kept of it.
  virtual RoundedCentroid Round(float* centroid) const = 0;
};

class CentroidTree {
 public:
  explicit CentroidTree(const Codec& codec);
  // The copy shares every node and owns none.
  CentroidTree(const CentroidTree& other);
  CentroidTree(CentroidTree&&) = default;
  CentroidTree& operator=(const CentroidTree&) = delete;
  CentroidTree& operator=(CentroidTree&&) = default;

  const Codec& codec() const { return codec_; }
  // None for a tree without postings. The last level is the root alone.
  uint32_t levels() const { return static_cast<uint32_t>(levels_.size()); }
  const CentroidNode& root() const { return *levels_.back().nodes[0].node; }
  const CentroidNode& node(uint32_t level, uint32_t at) const {
    return *levels_[level].nodes[at].node;
  }
  // A bound of the numbers of a level's nodes; those not in use are null.
  uint32_t nodes(uint32_t level) const {
    return static_cast<uint32_t>(levels_[level].nodes.size());
  }
  bool in_use(uint32_t level, uint32_t at) const {
    return levels_[level].nodes[at].node != nullptr;
  }

  // Any posting. REQUIRES: there is one.
  uint32_t FirstPosting() const;

  // Adds a posting to the node that is nearest. REQUIRES: it is not in the tree.
  void Add(uint32_t posting, const float* row, const CentroidRows& rows);
  // REQUIRES: it is in the tree.
  void Remove(uint32_t posting, const CentroidRows& rows);
  // The row of a posting changed: it goes to another node if that is nearer.
  void Move(uint32_t posting, const float* row, const CentroidRows& rows);

  // Makes the tree of these postings from the ground up.
  void Group(std::span<const uint32_t> postings, uint64_t seed, const CentroidRows& rows);
  // A tree whose nodes were made before: for each level but the root's, the children of each node,
  // nodes numbered as they come. False when that is no tree of the postings below "capacity".
  bool Restore(const std::vector<std::vector<std::vector<uint32_t>>>& levels, uint32_t capacity);

  // Makes the codes of the nodes that changed. To be called last.
  void Encode(const CentroidRows& rows);

  // What is wrong with it, in a sentence, or nothing: whether a search that goes down from the root
  // reaches each of these postings once, and whether nodes are coded as their children are.
  // "postings" ascend. REQUIRES: Encode was called last.
  std::string Fault(std::span<const uint32_t> postings, const CentroidRows& rows) const;

 private:
  struct Slot {
    std::shared_ptr<const CentroidNode> node;
    // Whether we made it since we were copied, so that nobody else has seen it.
    bool owned = false;
  };
  struct Level {
    uint32_t HomeOf(uint32_t child) const { return child < home.size() ? home[child] : kNowhere; }

    std::vector<Slot> nodes;
    // The node that has this child, or kNowhere.
    PersistentArray<uint32_t, 1024> home;
    // Nodes not in use.
    std::vector<uint32_t> free;
  };

  CentroidNode& Own(uint32_t level, uint32_t at);
  uint32_t NewNode(uint32_t level);
  void FreeNode(uint32_t level, uint32_t at);
  void SetHome(uint32_t level, uint32_t child, uint32_t node);
  // The row of a child of a node of this level.
  void ReadChild(uint32_t level, uint32_t child, const CentroidRows& rows, float* row) const;
  std::vector<float> ReadChildren(uint32_t level, const CentroidNode& node,
                                  const CentroidRows& rows) const;
  uint32_t NearestNode(uint32_t level, const float* row) const;
  void AddChild(uint32_t level, uint32_t child, const float* row, const CentroidRows& rows);
  void RemoveChild(uint32_t level, uint32_t child, const CentroidRows& rows);
  void Split(uint32_t level, uint32_t at, const CentroidRows& rows);
  void SplitRoot(const CentroidRows& rows);
  void ShrinkRoot();
  std::string NodeFault(uint32_t level, uint32_t at, const CentroidRows& rows) const;
  void Measure(uint32_t level, CentroidNode* node, const std::vector<float>& children) const;

  Codec codec_;
  std::vector<Level> levels_;
};

}  // namespace spfresh
