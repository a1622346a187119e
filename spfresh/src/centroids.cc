#include "centroids.h"

#include <algorithm>
#include <cassert>

#include "entries.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

template <class T>
T& Own(std::shared_ptr<const T>* page, bool* owns) {
  if (!*owns) *page = std::make_shared<T>(**page);
  *owns = true;
  return const_cast<T&>(**page);
}

}  // namespace

Centroids::Centroids(const Centroids& other)
    : stride_(other.stride_),
      count_(other.count_),
      free_from_(other.free_from_),
      pages_(other.pages_) {
  for (Page& page : pages_) page.owns_centroids = page.owns_postings = false;
}

CentroidPage& Centroids::OwnCentroids(uint32_t page) {
  return Own(&pages_[page].centroids, &pages_[page].owns_centroids);
}

PostingPage& Centroids::OwnPostings(uint32_t page) {
  return Own(&pages_[page].postings, &pages_[page].owns_postings);
}

uint32_t Centroids::Add(const float* centroid) {
  uint32_t id = free_from_;
  while (id < capacity() && posting(id).in_use) ++id;
  AddAt(id, centroid);
  free_from_ = id + 1;
  return id;
}

void Centroids::AddAt(uint32_t id, const float* centroid) {
  while (id >= capacity()) {
    pages_.push_back(
        {std::make_shared<CentroidPage>(stride_), std::make_shared<PostingPage>(), true, true});
  }
  Posting& posting = Change(id);
  assert(!posting.in_use);
  posting = Posting{};
  posting.in_use = true;
  ++count_;
  Move(id, centroid);
}

void Centroids::Remove(uint32_t id) {
  assert(in_use(id));
  Change(id) = Posting{};
  --count_;
  free_from_ = std::min(free_from_, id);
}

void Centroids::Move(uint32_t id, const float* centroid) {
  CentroidPage& page = OwnCentroids(id / kPage);
  float* row = page.rows.data() + size_t{id % kPage} * stride_;
  std::copy_n(centroid, stride_, row);
  Dot(row, {row, 1, stride_, stride_}, &page.norm2[id % kPage]);
}

void Centroids::Encode(const Codec& codec) {
  if (!codec.coded()) return;
  for (uint32_t page = 0; page < pages(); ++page) {
    if (!pages_[page].owns_centroids) continue;
    CentroidPage& owned = OwnCentroids(page);
    std::vector<uint64_t> words;
    std::vector<float> rows, mean(stride_);
    for (uint32_t id = page * kPage; id < (page + 1) * kPage; ++id) {
      if (!in_use(id)) continue;
      words.push_back(id);
      rows.insert(rows.end(), centroid(id), centroid(id) + stride_);
      for (uint32_t i = 0; i < stride_; ++i) mean[i] += centroid(id)[i];
    }
    owned.codes = nullptr;
    if (words.empty()) continue;
    for (float& x : mean) x /= static_cast<float>(words.size());
    owned.codes = EncodeChunk(codec, page, mean.data(), words, rows.data())->WithoutRecords();
    owned.mean = std::move(mean);
  }
}

}  // namespace spfresh
