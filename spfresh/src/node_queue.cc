#include "node_queue.h"

#include <algorithm>
#include <cmath>

#include "code_kernels.h"

namespace spfresh {
namespace {
// The distance of a node's mean is taken for the least that its code says, with so many.
constexpr float kDeviations = 1;

}  // namespace

void NodeQueue::Start() {
  const uint32_t root = tree_.levels() - 1;
  if (root == 0) {
    queue_.push_back({-std::numeric_limits<float>::infinity(), 0, 0});
  } else {
    Open(root, tree_.root());
  }
}

void NodeQueue::Open(uint32_t level, const CentroidNode& node) {
  const size_t before = queue_.size(), count = node.children.size();
  const Chunk::Scan scan = node.codes->scan();
  const size_t in_blocks = std::min(count, scan.blocks * kScanBlock);
  lows_.resize(std::max(count, scan.blocks * kScanBlock));
  within_.resize(scan.blocks);
  const auto beside = QueryCode::Beside::At(query_.Distance2(node.rounded), 0);
  code_->ScanWithin(kDeviations, beside, scan, 0, lows_.data(), within_.data());
  for (size_t i = 0; i < count; ++i) {
    const float mean2 = i < in_blocks
                            ? std::max(0.0F, lows_[i])
                            : query_.Distance2(tree_.node(level - 1, node.children[i]).rounded);
    const float nearer = 2 * reach_ * std::sqrt(mean2) * node.reaches[i];
    queue_.push_back({mean2 + node.spreads2[i] - nearer, level - 1, node.children[i]});
    if (before > 0) std::push_heap(queue_.begin(), queue_.end());
  }
  if (before == 0) std::make_heap(queue_.begin(), queue_.end());
}

const CentroidNode* NodeQueue::Next(float most2) {
  while (!queue_.empty() && queue_.front().bound2 <= most2) {
    const Item item = queue_.front();
    std::pop_heap(queue_.begin(), queue_.end());
    queue_.pop_back();
    const CentroidNode& node = tree_.node(item.level, item.at);
    // While this one is looked at, the next is fetched.
    if (!queue_.empty()) tree_.node(queue_.front().level, queue_.front().at).Prefetch();
    if (item.level == 0) return &node;
    Open(item.level, node);
  }
  return nullptr;
}

}  // namespace spfresh
