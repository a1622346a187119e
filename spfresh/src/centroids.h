// The centroids of a version and what is known of each posting, in pages that versions share.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "codec.h"
#include "spfresh/version.h"

namespace spfresh {

inline constexpr uint32_t kPage = 64;

// The centroids of kPage posting ids; those not in use are zero.
struct CentroidPage {
  explicit CentroidPage(uint32_t stride) : rows(size_t{kPage} * stride), norm2() {}
  std::vector<float> rows;
  std::array<float, kPage> norm2;
  // The same as a posting of centroids, around their mean: a search scans these and looks at the
  // rows of few. The rows of its words are posting ids. Null where vectors are kept whole, and
  // until Encode is called.
  std::vector<float> mean;
  std::shared_ptr<const Chunk> codes;
};

struct PostingPage {
  std::array<Posting, kPage> postings;
};

// A persistent array: copies share pages, and a page is copied when one of its sharers changes it.
class Centroids {
 public:
  explicit Centroids(uint32_t stride) : stride_(stride) {}
  // The copy shares every page and owns none.
  Centroids(const Centroids& other);
  Centroids(Centroids&&) = default;
  Centroids& operator=(const Centroids&) = delete;
  Centroids& operator=(Centroids&&) = default;

  uint32_t stride() const { return stride_; }
  // Posting ids are below this; not all of them are in use.
  uint32_t capacity() const { return static_cast<uint32_t>(pages_.size()) * kPage; }
  uint32_t count() const { return count_; }
  bool in_use(uint32_t id) const { return id < capacity() && posting(id).in_use; }

  const Posting& posting(uint32_t id) const {
    return pages_[id / kPage].postings->postings[id % kPage];
  }
  const float* centroid(uint32_t id) const {
    return pages_[id / kPage].centroids->rows.data() + size_t{id % kPage} * stride_;
  }
  const CentroidPage& page(uint32_t page) const { return *pages_[page].centroids; }
  const PostingPage& posting_page(uint32_t page) const { return *pages_[page].postings; }
  uint32_t pages() const { return static_cast<uint32_t>(pages_.size()); }

  // Takes the lowest id that is not in use.
  uint32_t Add(const float* centroid);
  // Takes this id. REQUIRES: it is not in use.
  void AddAt(uint32_t id, const float* centroid);
  void Remove(uint32_t id);
  void Move(uint32_t id, const float* centroid);
  // Makes the codes of the pages that changed. To be called last.
  void Encode(const Codec& codec);
  // The posting, to be changed; not its in_use.
  Posting& Change(uint32_t id) { return OwnPostings(id / kPage).postings[id % kPage]; }

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

  uint32_t stride_;
  uint32_t count_ = 0;
  // No id below this is free.
  uint32_t free_from_ = 0;
  std::vector<Page> pages_;
};

}  // namespace spfresh
