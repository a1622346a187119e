#include "centroid_order.h"

#include <algorithm>
#include <limits>

#include "code_kernels.h"

namespace spfresh {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Nodes that are scanned at once: those of some 20,000 postings.
constexpr uint32_t kFlatNodes = 384;
// A centroid is farther than its bound by its code but for one in forty; what it costs that one is
// to come a little late.
constexpr float kDeviations = 2;
// Centroids let into the queue at first; each time that it runs dry, as many again.
constexpr size_t kFirst = 64;
// Where nodes are opened in turn: of a hundred postings two come late.
constexpr float kReach = 2;
// The limit that lets so many in is guessed from a sample of this size.
constexpr size_t kSample = 192;

}  // namespace

CentroidOrder::CentroidOrder(const Centroids& centroids, const Space& space, const float* place,
                             const QueryCode* code)
    : centroids_(centroids),
      code_(code),
      query_(centroids, place),
      norm2_most_(space.metric() == Metric::kInnerProduct ? space.norm_bound() * space.norm_bound()
                                                          : kInfinity),
      nodes_(centroids.tree(), query_, code, kReach),
      limit_(-kInfinity),
      step_(kFirst) {
  const CentroidTree& tree = centroids.tree();
  if (code == nullptr) {
    near_.reserve(centroids.count());
    for (uint32_t id = 0; id < centroids.capacity(); ++id) {
      if (centroids.in_use(id)) near_.push_back({Measure(id), id});
    }
    std::make_heap(near_.begin(), near_.end());
    return;
  }
  if (tree.levels() == 0) return;
  if (tree.nodes(0) <= kFlatNodes) {
    lows_.reserve(centroids.count() + size_t{tree.nodes(0)} * kScanBlock);
    for (uint32_t at = 0; at < tree.nodes(0); ++at) {
      if (at + 1 < tree.nodes(0) && tree.in_use(0, at + 1)) tree.node(0, at + 1).Prefetch();
      if (tree.in_use(0, at)) Open(tree.node(0, at));
    }
  } else {
    nodes_.Start();
  }
}

float CentroidOrder::Excess(uint32_t posting) const {
  if (norm2_most_ == kInfinity) return 0;
  return std::max(0.0F, centroids_.norm2(posting) - norm2_most_);
}

float CentroidOrder::Measure(uint32_t posting) {
  ++measured_;
  // Without codes the search is an exact one.
  const float distance2 =
      code_ == nullptr ? query_.SureDistance2(posting) : query_.Distance2(posting);
  return std::max(0.0F, distance2 - Excess(posting));
}

void CentroidOrder::Open(const CentroidNode& node) {
  const size_t from = lows_.size(), count = node.children.size();
  opened_.push_back({&node, from});
  const Chunk::Scan scan = node.codes->scan();
  const size_t in_blocks = std::min(count, scan.blocks * kScanBlock);
  lows_.resize(from + (count + kScanBlock - 1) / kScanBlock * kScanBlock);
  float* lows = lows_.data() + from;
  within_.resize(scan.blocks);
  const auto beside = QueryCode::Beside::At(query_.Distance2(node.rounded), 0);
  code_->ScanWithin(kDeviations, beside, scan, 0, lows, within_.data());
  for (size_t i = in_blocks; i < count; ++i) lows[i] = query_.Distance2(node.children[i]);
  std::fill(lows + count, lows_.data() + lows_.size(), kInfinity);
  if (norm2_most_ != kInfinity) {
    for (size_t i = 0; i < count; ++i) lows[i] -= Excess(node.children[i]);
  }
  scanned_ += count;
  Take(opened_.size() - 1, -kInfinity);
}

// Of the nodes opened from number "from" on, what is within the limit and above another.
void CentroidOrder::Take(size_t from, float above) {
  if (limit_ == -kInfinity) return;
  within_.clear();
  const size_t begin = opened_[from].from;
  FindWithin(lows_.data() + begin, lows_.size() - begin, above, limit_, &within_);
  for (const uint32_t found : within_) {
    const size_t at = begin + found;
    while (from + 1 < opened_.size() && opened_[from + 1].from <= at) ++from;
    const uint32_t child = opened_[from].node->children[at - opened_[from].from];
    centroids_.Prefetch(child);
    far_.push_back({lows_[at], child});
    std::push_heap(far_.begin(), far_.end());
  }
  taken_ += within_.size();
}

void CentroidOrder::Raise() {
  const float above = limit_;
  const size_t rest = scanned_ - taken_;
  if (rest <= 2 * step_) {
    limit_ = std::numeric_limits<float>::max();
  } else {
    sample_.clear();
    const size_t stride = std::max<size_t>(1, lows_.size() / kSample) | 1;
    sample_.resize(lows_.size() / stride + 1);
    size_t taken = 0;
    for (size_t at = 0; at < lows_.size(); at += stride) {
      sample_[taken] = lows_[at];
      taken += lows_[at] > above && lows_[at] < kInfinity ? 1 : 0;
    }
    sample_.resize(taken);
    if (sample_.size() < 8) {
      limit_ = std::numeric_limits<float>::max();
    } else {
      const auto nth = sample_.begin() + static_cast<ptrdiff_t>(sample_.size() * step_ / rest);
      std::nth_element(sample_.begin(), nth, sample_.end());
      limit_ = *nth;
    }
  }
  step_ *= 2;
  Take(0, above);
  // What is no number is never found; nothing is left to look for.
  if (limit_ == std::numeric_limits<float>::max()) taken_ = scanned_;
}

const CentroidOrder::Near* CentroidOrder::Nearest() {
  while (true) {
    const float beyond = taken_ < scanned_ ? limit_ : kInfinity;
    const float far = far_.empty() ? beyond : far_.front().distance2;
    const float near = near_.empty() ? kInfinity : near_.front().distance2;
    if (nodes_.bound2() < std::min(far, near)) {
      if (const CentroidNode* node = nodes_.Next(std::min(far, near))) Open(*node);
    } else if (near <= far && !near_.empty()) {
      return &near_.front();
    } else if (!far_.empty()) {
      const uint32_t posting = far_.front().posting;
      std::pop_heap(far_.begin(), far_.end());
      far_.pop_back();
      near_.push_back({Measure(posting), posting});
      std::push_heap(near_.begin(), near_.end());
    } else if (taken_ < scanned_) {
      Raise();
    } else {
      return nullptr;
    }
  }
}

void CentroidOrder::Pop() {
  std::pop_heap(near_.begin(), near_.end());
  near_.pop_back();
}

}  // namespace spfresh
