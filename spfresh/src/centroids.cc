#include "centroids.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <numeric>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// The byte that stands for the origin, and how far the others go.
constexpr float kMiddle = 128, kFarthest = 127;

template <class T>
T& Own(std::shared_ptr<const T>* page, bool* owns) {
  if (!*owns) *page = std::make_shared<T>(**page);
  *owns = true;
  return const_cast<T&>(**page);
}

float Scale(const float* centroid, const float* origin, size_t stride) {
  float most = 0;
  for (size_t i = 0; i < stride; ++i) most = std::max(most, std::fabs(centroid[i] - origin[i]));
  return most / kFarthest;
}

// In lanes, which may be added side by side.
float SumOf(const std::vector<float>& numbers) {
  std::array<float, kCodeAlign> lanes{};
  for (size_t i = 0; i < numbers.size(); i += kCodeAlign) {
    for (size_t lane = 0; lane < kCodeAlign; ++lane) lanes[lane] += numbers[i + lane];
  }
  return std::accumulate(lanes.begin(), lanes.end(), 0.0F);
}

float Byte(float centroid, float origin, float scale) {
  const float steps = scale > 0 ? (centroid - origin) / scale : 0.0F;
  return kMiddle + std::clamp(std::nearbyint(steps), -kFarthest, kFarthest);
}

}  // namespace

Centroids::Centroids(const Codec& codec)
    : stride_(codec.stride()),
      coded_(codec.coded()),
      origin_(stride_),
      no_postings_(std::make_shared<PostingPage>()),
      tree_(codec) {
  auto page = std::make_shared<CentroidPage>();
  if (coded_) {
    page->bytes.assign(size_t{kPage} * stride_, static_cast<uint8_t>(kMiddle));
  } else {
    page->floats.resize(size_t{kPage} * stride_);
  }
  no_centroids_ = std::move(page);
}

Centroids::Centroids(const Centroids& other)
    : stride_(other.stride_),
      coded_(other.coded_),
      count_(other.count_),
      free_from_(other.free_from_),
      origin_(other.origin_),
      no_centroids_(other.no_centroids_),
      no_postings_(other.no_postings_),
      pages_(other.pages_),
      tree_(other.tree_) {
  for (Page& page : pages_) page.owns_centroids = page.owns_postings = false;
}

void Centroids::SetOrigin(const float* origin) {
  assert(pages_.empty());
  origin_.assign(origin, origin + stride_);
}

CentroidPage& Centroids::OwnCentroids(uint32_t page) {
  return Own(&pages_[page].centroids, &pages_[page].owns_centroids);
}

PostingPage& Centroids::OwnPostings(uint32_t page) {
  return Own(&pages_[page].postings, &pages_[page].owns_postings);
}

std::vector<float> Centroids::centroid(uint32_t id) const {
  std::vector<float> row(stride_);
  Read(id, row.data());
  return row;
}

void Centroids::Read(uint32_t id, float* row) const {
  if (!coded_) {
    std::copy_n(floats(id), stride_, row);
    return;
  }
  // Reconstruct's middle is half a step below ours.
  Reconstruct(bytes(id), scale(id), 128, origin_.data(), stride_, row);
  const float half = scale(id) / 2;
  for (uint32_t i = 0; i < stride_; ++i) row[i] -= half;
}

RoundedCentroid Centroids::Round(float* centroid) const {
  RoundedCentroid rounded;
  if (!coded_) return rounded;
  rounded.scale = Scale(centroid, origin_.data(), stride_);
  rounded.bytes.resize(stride_);
  for (uint32_t i = 0; i < stride_; ++i) {
    const float byte = Byte(centroid[i], origin_[i], rounded.scale);
    rounded.bytes[i] = static_cast<uint8_t>(byte);
    centroid[i] = origin_[i] + rounded.scale * (byte - kMiddle);
  }
  L2Squared(origin_.data(), {centroid, 1, stride_, stride_}, &rounded.offset2);
  return rounded;
}

void Centroids::Write(uint32_t id, const float* centroid) {
  CentroidPage& page = OwnCentroids(id / kPage);
  if (coded_) {
    const float scale = Scale(centroid, origin_.data(), stride_);
    uint8_t* to = page.bytes.data() + size_t{id % kPage} * stride_;
    for (uint32_t i = 0; i < stride_; ++i) {
      to[i] = static_cast<uint8_t>(Byte(centroid[i], origin_[i], scale));
    }
    page.scale[id % kPage] = scale;
  } else {
    std::copy_n(centroid, stride_, page.floats.data() + size_t{id % kPage} * stride_);
  }
  WriteNorm(id);
}

void Centroids::WriteNorm(uint32_t id) {
  const std::vector<float> row = centroid(id);
  CentroidPage& page = OwnCentroids(id / kPage);
  const Rows rows{row.data(), 1, stride_, stride_};
  Dot(row.data(), rows, &page.norm2[id % kPage]);
  L2Squared(origin_.data(), rows, &page.offset2[id % kPage]);
}

void Centroids::Take(uint32_t id) {
  if (id >= capacity()) pages_.resize(id / kPage + 1, Empty());
  Posting& posting = Change(id);
  assert(!posting.in_use);
  posting = Posting{};
  posting.in_use = true;
  ++count_;
}

uint32_t Centroids::Add(const float* centroid) {
  uint32_t id = free_from_;
  while (id < capacity() && posting(id).in_use) ++id;
  Place(id, centroid);
  free_from_ = id + 1;
  const std::vector<float> row = this->centroid(id);
  tree_.Add(id, row.data(), *this);
  return id;
}

void Centroids::Place(uint32_t id, const float* centroid) {
  Take(id);
  Write(id, centroid);
}

void Centroids::Place(uint32_t id, const uint8_t* bytes, float scale) {
  Take(id);
  CentroidPage& page = OwnCentroids(id / kPage);
  std::copy_n(bytes, stride_, page.bytes.data() + size_t{id % kPage} * stride_);
  page.scale[id % kPage] = scale;
  WriteNorm(id);
}

void Centroids::Remove(uint32_t id) {
  assert(in_use(id));
  tree_.Remove(id, *this);
  Change(id) = Posting{};
  --count_;
  free_from_ = std::min(free_from_, id);
  const auto& postings = pages_[id / kPage].postings->postings;
  const bool is_empty =
      std::none_of(postings.begin(), postings.end(), [](const Posting& p) { return p.in_use; });
  if (is_empty) pages_[id / kPage] = Empty();
}

void Centroids::Move(uint32_t id, const float* centroid) {
  Write(id, centroid);
  const std::vector<float> row = this->centroid(id);
  tree_.Move(id, row.data(), *this);
}

void Centroids::Group(uint64_t seed) {
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < capacity(); ++id) {
    if (posting(id).in_use) ids.push_back(id);
  }
  tree_.Group(ids, seed, *this);
}

bool Centroids::Restore(const std::vector<std::vector<std::vector<uint32_t>>>& levels) {
  size_t held = 0;
  if (!levels.empty()) {
    for (const auto& children : levels[0]) {
      held += children.size();
      for (const uint32_t id : children) {
        if (!in_use(id)) return false;
      }
    }
  }
  return held == count_ && tree_.Restore(levels, capacity());
}

CentroidQuery::CentroidQuery(const Centroids& centroids, const float* place)
    : centroids_(centroids), place_(place) {
  if (!centroids.coded()) return;
  const size_t stride = centroids.stride();
  offset_.resize(stride);
  for (size_t i = 0; i < stride; ++i) offset_[i] = place[i] - centroids.origin()[i];
  offset_sum_ = SumOf(offset_);
  steps_ = InSteps(offset_.data(), stride, StepBits::k16);
  Dot(offset_.data(), {offset_.data(), 1, stride, stride}, &offset2_);
}

float CentroidQuery::Distance2(uint32_t posting) const {
  const size_t stride = centroids_.stride();
  if (!centroids_.coded()) {
    float distance2;
    L2Squared(place_, {centroids_.floats(posting), 1, stride, stride}, &distance2);
    return distance2;
  }
  return Distance2(centroids_.bytes(posting), centroids_.scale(posting),
                   centroids_.offset2(posting));
}

float CentroidQuery::Distance2(const uint8_t* bytes, float scale, float offset2) const {
  constexpr auto kTwiceMiddle = static_cast<int64_t>(2 * kMiddle);
  const float along = DotBytes(steps_, bytes, centroids_.stride(), kTwiceMiddle);
  return std::max(0.0F, offset2_ + offset2 - 2 * scale * along);
}

float CentroidQuery::SureDistance2(uint32_t posting) const {
  if (!centroids_.coded()) return Distance2(posting);
  const float along = DotBytes(offset_.data(), centroids_.bytes(posting), centroids_.stride()) -
                      kMiddle * offset_sum_;
  return std::max(0.0F,
                  offset2_ + centroids_.offset2(posting) - 2 * centroids_.scale(posting) * along);
}

}  // namespace spfresh
