#include "centroid_order.h"

#include <algorithm>
#include <array>
#include <limits>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// Into which bounds are sorted.
constexpr size_t kBuckets = 256;

}  // namespace

CentroidOrder::CentroidOrder(const Version::State& state, const float* place, const QueryCode* code)
    : state_(state), place_(place), code_(code) {
  Scan();
  Sort();
}

void CentroidOrder::Scan() {
  const Centroids& centroids = state_.centroids;
  float query_norm2;
  Dot(place_, {place_, 1, centroids.stride(), centroids.stride()}, &query_norm2);
  const bool is_product = state_.space.metric() == Metric::kInnerProduct;
  const float bound2 = state_.space.norm_bound() * state_.space.norm_bound();
  far_.reserve(centroids.count());
  for (uint32_t page = 0; page < centroids.pages(); ++page) {
    const CentroidPage& rows = centroids.page(page);
    const auto& postings = centroids.posting_page(page).postings;
    if (code_ == nullptr || rows.codes == nullptr) {
      float distances2[kPage];
      state_.space.ToCentroids(place_, rows.rows.data(), kPage, distances2);
      for (uint32_t i = 0; i < kPage; ++i) {
        if (postings[i].in_use) far_.push_back({distances2[i], 0, page * kPage + i});
      }
      continue;
    }
    const Chunk::Scan scan = rows.codes->scan();
    float low[kPage] = {};
    uint32_t within[kPage / kScanBlock];
    code_->ScanSafely(code_->PlaceBeside(rows.mean.data(), 0), scan, low, within);
    const Words words = rows.codes->words();
    for (uint32_t i = 0; i < words.size(); ++i) {
      const auto id = static_cast<uint32_t>(words[i]);
      if (!postings[id % kPage].in_use) continue;
      if (i >= scan.blocks * kScanBlock) {
        far_.push_back({Measure(id), 0, id});
      } else if (is_product) {
        const float norm2 = std::min(rows.norm2[id % kPage], bound2);
        far_.push_back({query_norm2 + norm2 + 2 * low[i], 0, id});
      } else {
        far_.push_back({low[i], 0, id});
      }
    }
  }
}

float CentroidOrder::Measure(uint32_t posting) const {
  float distance2;
  state_.space.ToCentroids(place_, state_.centroids.centroid(posting), 1, &distance2);
  return distance2;
}

// By counting, into buckets of like bounds: most postings are never looked at again, and their
// order would be dear.
void CentroidOrder::Sort() {
  if (far_.empty()) return;
  float least = std::numeric_limits<float>::infinity(), most = -least;
  for (const Far& far : far_) {
    least = std::min(least, far.low2);
    most = std::max(most, far.low2);
  }
  const float scale = most > least ? static_cast<float>(kBuckets - 1) / (most - least) : 0.0F;
  const auto bucket_of = [&](const Far& far) {
    // What is no number comes last.
    const float at = (far.low2 - least) * scale;
    return at < static_cast<float>(kBuckets - 1) ? static_cast<size_t>(at) : kBuckets - 1;
  };
  std::array<uint32_t, kBuckets + 1> from{};
  std::array<float, kBuckets> least_of;
  least_of.fill(most);
  for (const Far& far : far_) {
    const size_t bucket = bucket_of(far);
    ++from[bucket + 1];
    least_of[bucket] = std::min(least_of[bucket], far.low2);
  }
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) from[bucket + 1] += from[bucket];
  std::vector<Far> sorted(far_.size());
  for (const Far& far : far_) {
    const size_t bucket = bucket_of(far);
    sorted[from[bucket]++] = {far.low2, least_of[bucket], far.posting};
  }
  far_ = std::move(sorted);
}

// The nearest posting that was not named yet; null when all were.
const CentroidOrder::Near* CentroidOrder::Nearest() {
  for (; measured_ < far_.size(); ++measured_) {
    const Far& far = far_[measured_];
    if (!near_.empty() && near_.front().distance2 < far.least2) break;
    near_.push_back({code_ != nullptr ? Measure(far.posting) : far.low2, far.posting});
    std::push_heap(near_.begin(), near_.end());
  }
  return near_.empty() ? nullptr : &near_.front();
}

void CentroidOrder::Pop() {
  std::pop_heap(near_.begin(), near_.end());
  near_.pop_back();
}

}  // namespace spfresh
