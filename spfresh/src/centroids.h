// The centroids of a version and what is known of each posting, in pages that versions share, and
// the tree over them.
//
// Where vectors are coded, a centroid is 8 bits a coordinate and a step of its own, around an
// origin that the index keeps for ever: it is rounded before anything is coded relative to it, so
// that nothing is lost but a little of its being in the middle, and a centroid has a quarter of
// the size.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "centroid_tree.h"
#include "code_kernels.h"
#include "codec.h"
#include "spfresh/version.h"

namespace spfresh {

inline constexpr uint32_t kPage = 64;

// The centroids of kPage posting ids; those not in use are the origin.
struct CentroidPage {
  // Coded: stride bytes each, coordinate = origin + scale * (byte - 128). Whole: floats.
  std::vector<uint8_t> bytes;
  std::vector<float> floats;
  std::array<float, kPage> scale{};
  // Squared lengths: of the centroid, and of what it is beside the origin.
  std::array<float, kPage> norm2{};
  std::array<float, kPage> offset2{};
};

struct PostingPage {
  std::array<Posting, kPage> postings;
};

// A vector, made ready to be compared with centroids.
class CentroidQuery;

// A persistent array: copies share pages, and a page is copied when one of its sharers changes it.
class Centroids : private CentroidRows {
 public:
  // "codec" is that of the entries.
  explicit Centroids(const Codec& codec);
  // The copy shares every page and owns none.
  Centroids(const Centroids& other);
  Centroids(Centroids&&) = default;
  Centroids& operator=(const Centroids&) = delete;
  Centroids& operator=(Centroids&&) = default;

  uint32_t stride() const { return stride_; }
  bool coded() const { return coded_; }
  const std::vector<float>& origin() const { return origin_; }
  // REQUIRES: no centroid was added.
  void SetOrigin(const float* origin);
  // Posting ids are below this; not all of them are in use.
  uint32_t capacity() const { return static_cast<uint32_t>(pages_.size()) * kPage; }
  uint32_t count() const { return count_; }
  bool in_use(uint32_t id) const { return id < capacity() && posting(id).in_use; }
  const Posting& posting(uint32_t id) const {
    return pages_[id / kPage].postings->postings[id % kPage];
  }
  const CentroidTree& tree() const { return tree_; }

  std::vector<float> centroid(uint32_t id) const;
  void Read(uint32_t id, float* row) const override;
  float norm2(uint32_t id) const { return pages_[id / kPage].centroids->norm2[id % kPage]; }
  // The squared distance from the origin.
  float offset2(uint32_t id) const { return pages_[id / kPage].centroids->offset2[id % kPage]; }
  // The bytes and the step of a coded centroid.
  const uint8_t* bytes(uint32_t id) const {
    return pages_[id / kPage].centroids->bytes.data() + size_t{id % kPage} * stride_;
  }
  // Begins to load what CentroidQuery reads of a centroid.
  void Prefetch(uint32_t id) const {
    if (!coded_) return;
    const uint8_t* from = bytes(id);
    for (size_t at = 0; at < stride_; at += 64) __builtin_prefetch(from + at);
  }
  float scale(uint32_t id) const { return pages_[id / kPage].centroids->scale[id % kPage]; }
  const float* floats(uint32_t id) const {
    return pages_[id / kPage].centroids->floats.data() + size_t{id % kPage} * stride_;
  }
  RoundedCentroid Round(float* centroid) const override;

  // Takes the lowest id that is not in use.
  uint32_t Add(const float* centroid);
  void Remove(uint32_t id);
  void Move(uint32_t id, const float* centroid);
  // Makes the codes of the nodes that changed. To be called last.
  void Encode() { tree_.Encode(*this); }
  // The posting, to be changed; not its in_use.
  Posting& Change(uint32_t id) { return OwnPostings(id / kPage).postings[id % kPage]; }

  // Many at once: Place takes an id that is not in use and leaves it out of the tree, which Group
  // or Restore then makes.
  void Place(uint32_t id, const float* centroid);
  void Place(uint32_t id, const uint8_t* bytes, float scale);
  void Group(uint64_t seed);
  bool Restore(const std::vector<std::vector<std::vector<uint32_t>>>& levels);

  // What is wrong with the tree, in a sentence, or nothing.
  std::string TreeFault() const;

 private:
  struct Page {
    std::shared_ptr<const CentroidPage> centroids;
    std::shared_ptr<const PostingPage> postings;
    // Whether we made these since we were copied, so that nobody else has seen them.
    bool owns_centroids = false;
    bool owns_postings = false;
  };

  CentroidPage& OwnCentroids(uint32_t page);
  PostingPage& OwnPostings(uint32_t page);
  void Take(uint32_t id);
  Page Empty() const { return {no_centroids_, no_postings_, false, false}; }
  void Write(uint32_t id, const float* centroid);
  void WriteNorm(uint32_t id);

  uint32_t stride_;
  bool coded_;
  uint32_t count_ = 0;
  // No id below this is free.
  uint32_t free_from_ = 0;
  std::vector<float> origin_;
  // What stands in every page none of whose ids is in use: a posting keeps its id, so that few
  // may be left of many, far apart.
  std::shared_ptr<const CentroidPage> no_centroids_;
  std::shared_ptr<const PostingPage> no_postings_;
  std::vector<Page> pages_;
  CentroidTree tree_;
};

class CentroidQuery {
 public:
  // Both outlive this.
  CentroidQuery(const Centroids& centroids, const float* place);

  // To the centroid of a posting. One pass over its bytes. Where centroids are coded the place is
  // taken in steps of 16 bits, which are off by some 1e-5 of the distances from the origin.
  float Distance2(uint32_t posting) const;
  // The same to the precision of floats, for bounds that must hold.
  float SureDistance2(uint32_t posting) const;
  // To one that is rounded. REQUIRES: centroids are coded.
  float Distance2(const RoundedCentroid& to) const {
    return Distance2(to.bytes.data(), to.scale, to.offset2);
  }

 private:
  float Distance2(const uint8_t* bytes, float scale, float offset2) const;

  const Centroids& centroids_;
  const float* place_;
  // Where centroids are coded: the place beside the origin, the sum of its coordinates, and its
  // squared length.
  std::vector<float> offset_;
  float offset_sum_ = 0;
  SteppedQuery steps_;
  float offset2_ = 0;
};

}  // namespace spfresh
