#include "centroid_tree.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "cluster.h"
#include "entries.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

constexpr size_t kCacheLine = 64;
constexpr uint32_t kRounds = 8;
// A mean is computed again when so large a share of the children came and went.
constexpr uint32_t kStaleShare = 4;
// Pairs of children by which the spread along a line is measured are this far apart in the node.
constexpr uint32_t kPairs[] = {1, 3, 7, 15};

Codec EuclideanCodec(const Codec& codec) {
  Options options;
  options.metric = Metric::kL2;
  options.dims = codec.coded() ? codec.stride() : kCodedDims - 1;
  options.code_bits = codec.coded() ? 8 : kWholeBits;
  return {options, codec.stride()};
}

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

}  // namespace

void CentroidNode::Prefetch() const {
  if (codes == nullptr) return;
  const std::span<const uint8_t> bytes = codes->scan_bytes();
  for (size_t at = 0; at < bytes.size(); at += kCacheLine) __builtin_prefetch(bytes.data() + at);
  for (size_t at = 0; at < rounded.bytes.size(); at += kCacheLine) {
    __builtin_prefetch(rounded.bytes.data() + at);
  }
}

CentroidTree::CentroidTree(const Codec& codec) : codec_(EuclideanCodec(codec)) {}

CentroidTree::CentroidTree(const CentroidTree& other)
    : codec_(other.codec_), levels_(other.levels_) {
  for (Level& level : levels_) {
    for (Slot& slot : level.nodes) slot.owned = false;
  }
}

CentroidNode& CentroidTree::Own(uint32_t level, uint32_t at) {
  Slot& slot = levels_[level].nodes[at];
  if (!slot.owned) slot.node = std::make_shared<CentroidNode>(*slot.node);
  slot.owned = true;
  auto& node = const_cast<CentroidNode&>(*slot.node);
  // Whoever owns a node is about to change it.
  node.codes = nullptr;
  return node;
}

uint32_t CentroidTree::NewNode(uint32_t level) {
  Level& l = levels_[level];
  uint32_t at = static_cast<uint32_t>(l.nodes.size());
  if (l.free.empty()) {
    l.nodes.emplace_back();
  } else {
    at = l.free.back();
    l.free.pop_back();
  }
  auto node = std::make_shared<CentroidNode>();
  node->mean.resize(codec_.stride());
  l.nodes[at] = {std::move(node), true};
  return at;
}

void CentroidTree::FreeNode(uint32_t level, uint32_t at) {
  levels_[level].nodes[at] = {};
  levels_[level].free.push_back(at);
}

void CentroidTree::SetHome(uint32_t level, uint32_t child, uint32_t node) {
  auto& home = levels_[level].home;
  home.Reach(child, kNowhere);
  home.Change(child) = node;
}

void CentroidTree::ReadChild(uint32_t level, uint32_t child, const CentroidRows& rows,
                             float* row) const {
  if (level == 0) {
    rows.Read(child, row);
  } else {
    std::copy_n(node(level - 1, child).mean.data(), codec_.stride(), row);
  }
}

std::vector<float> CentroidTree::ReadChildren(uint32_t level, const CentroidNode& node,
                                              const CentroidRows& rows) const {
  std::vector<float> all(node.children.size() * codec_.stride());
  for (size_t i = 0; i < node.children.size(); ++i) {
    ReadChild(level, node.children[i], rows, all.data() + i * codec_.stride());
  }
  return all;
}

// Down from the root, each time to the child whose mean is nearest.
uint32_t CentroidTree::NearestNode(uint32_t level, const float* row) const {
  uint32_t at = 0;
  for (uint32_t l = levels() - 1; l > level; --l) {
    float least = std::numeric_limits<float>::infinity();
    uint32_t nearest = kNowhere;
    for (const uint32_t child : node(l, at).children) {
      const float distance2 = Distance2(row, node(l - 1, child).mean.data(), codec_.stride());
      if (distance2 < least || nearest == kNowhere) {
        least = distance2;
        nearest = child;
      }
    }
    at = nearest;
  }
  return at;
}

uint32_t CentroidTree::FirstPosting() const {
  uint32_t first = 0;
  for (uint32_t level = levels(); level-- > 0;) first = node(level, first).children[0];
  return first;
}

void CentroidTree::Add(uint32_t posting, const float* row, const CentroidRows& rows) {
  if (levels_.empty()) {
    levels_.emplace_back();
    std::copy_n(row, codec_.stride(), Own(0, NewNode(0)).mean.data());
  }
  AddChild(0, posting, row, rows);
}

void CentroidTree::Remove(uint32_t posting, const CentroidRows& rows) {
  RemoveChild(0, posting, rows);
}

void CentroidTree::Move(uint32_t posting, const float* row, const CentroidRows& rows) {
  const uint32_t home = levels_[0].HomeOf(posting);
  if (NearestNode(0, row) == home) {
    ++Own(0, home).changes;
    return;
  }
  RemoveChild(0, posting, rows);
  Add(posting, row, rows);
}

void CentroidTree::AddChild(uint32_t level, uint32_t child, const float* row,
                            const CentroidRows& rows) {
  const uint32_t at = NearestNode(level, row);
  CentroidNode& node = Own(level, at);
  node.children.push_back(child);
  ++node.changes;
  SetHome(level, child, at);
  const bool is_root = level + 1 == levels();
  if (node.children.size() <= (is_root ? kRootMax : kNodeMax)) return;
  if (is_root) {
    SplitRoot(rows);
  } else {
    Split(level, at, rows);
  }
}

// The root's children get parents, and these a new root.
void CentroidTree::SplitRoot(const CentroidRows& rows) {
  const uint32_t level = levels() - 1;
  const std::vector<uint32_t> children = node(level, 0).children;
  const std::vector<float> all = ReadChildren(level, node(level, 0), rows);
  const size_t stride = codec_.stride();
  Random random(children.size());
  std::vector<uint32_t> cluster_of;
  const auto parts = static_cast<uint32_t>((children.size() + kNodeTarget - 1) / kNodeTarget);
  std::vector<float> means =
      KMeans({all.data(), children.size(), stride}, {}, parts, kRounds, &random, &cluster_of);
  if (means.size() == stride) {
    // All are equal: any division is as good.
    means.insert(means.end(), means.begin(), means.begin() + static_cast<ptrdiff_t>(stride));
    for (size_t i = 0; i < children.size(); ++i) cluster_of[i] = i % 2;
  }
  FreeNode(level, 0);
  levels_.emplace_back();
  const uint32_t root = NewNode(level + 1);
  std::vector<uint32_t> node_of(means.size() / stride, kNowhere);
  for (size_t i = 0; i < children.size(); ++i) {
    uint32_t& at = node_of[cluster_of[i]];
    if (at == kNowhere) {
      at = NewNode(level);
      const float* mean = means.data() + cluster_of[i] * stride;
      Own(level, at).mean.assign(mean, mean + stride);
      Own(level + 1, root).children.push_back(at);
      SetHome(level + 1, at, root);
    }
    CentroidNode& node = Own(level, at);
    node.children.push_back(children[i]);
    node.changes = static_cast<uint32_t>(node.children.size());
    SetHome(level, children[i], at);
  }
  CentroidNode& top = Own(level + 1, root);
  top.changes = static_cast<uint32_t>(top.children.size());
  for (const uint32_t at : std::vector<uint32_t>(top.children)) {
    if (node(level, at).children.size() > kNodeMax) Split(level, at, rows);
  }
}

// In two, or in more where many came at once.
void CentroidTree::Split(uint32_t level, uint32_t at, const CentroidRows& rows) {
  const size_t stride = codec_.stride();
  const std::vector<uint32_t> children = node(level, at).children;
  const std::vector<float> all = ReadChildren(level, node(level, at), rows);
  Random random((uint64_t{level} << 32 | at) ^ children.size() << 40);
  std::vector<uint32_t> cluster_of;
  const auto parts = std::max(2U, static_cast<uint32_t>(children.size() / kNodeTarget));
  std::vector<float> means =
      KMeans({all.data(), children.size(), stride}, {}, parts, kRounds, &random, &cluster_of);
  std::vector<uint32_t> sizes(means.size() / stride);
  for (const uint32_t cluster : cluster_of) ++sizes[cluster];
  if (*std::max_element(sizes.begin(), sizes.end()) == children.size()) {
    means.assign(2 * stride, 0.0F);
    sizes.assign(2, 0);
    for (size_t i = 0; i < children.size(); ++i) {
      cluster_of[i] = i % 2;
      ++sizes[i % 2];
      for (size_t j = 0; j < stride; ++j) means[i % 2 * stride + j] += all[i * stride + j];
    }
    for (size_t j = 0; j < 2 * stride; ++j) means[j] /= static_cast<float>(sizes[j / stride]);
  }
  // The first part keeps the node.
  bool kept = false;
  for (uint32_t cluster = 0; cluster < sizes.size(); ++cluster) {
    if (sizes[cluster] == 0) continue;
    const float* mean = means.data() + cluster * stride;
    const uint32_t to = kept ? NewNode(level) : at;
    CentroidNode& node = Own(level, to);
    node.mean.assign(mean, mean + stride);
    node.children.clear();
    for (size_t i = 0; i < children.size(); ++i) {
      if (cluster_of[i] != cluster) continue;
      node.children.push_back(children[i]);
      SetHome(level, children[i], to);
    }
    node.changes = static_cast<uint32_t>(node.children.size());
    if (kept) {
      AddChild(level + 1, to, mean, rows);
    } else {
      ++Own(level + 1, levels_[level + 1].HomeOf(at)).changes;
    }
    kept = true;
  }
}

void CentroidTree::RemoveChild(uint32_t level, uint32_t child, const CentroidRows& rows) {
  const uint32_t at = levels_[level].HomeOf(child);
  assert(at != kNowhere);
  SetHome(level, child, kNowhere);
  CentroidNode& node = Own(level, at);
  node.children.erase(std::find(node.children.begin(), node.children.end(), child));
  ++node.changes;
  if (level + 1 == levels()) {
    if (node.children.empty()) levels_.clear();
    return;
  }
  if (node.children.size() >= kNodeMin) return;
  // Few children go to the nodes that are nearest to them, if there is another.
  const std::vector<uint32_t> rest = node.children;
  if (!rest.empty() && this->node(level + 1, levels_[level + 1].HomeOf(at)).children.size() == 1) {
    return;
  }
  const std::vector<float> all = ReadChildren(level, node, rows);
  FreeNode(level, at);
  RemoveChild(level + 1, at, rows);
  if (levels_.empty()) return;
  ShrinkRoot();
  for (size_t i = 0; i < rest.size(); ++i) {
    AddChild(level, rest[i], all.data() + i * codec_.stride(), rows);
  }
}

// A root with one child is of no use: the child is the root.
void CentroidTree::ShrinkRoot() {
  while (levels() > 1 && root().children.size() == 1) {
    const uint32_t child = root().children[0];
    levels_.pop_back();
    Level& top = levels_.back();
    if (child != 0) {
      std::swap(top.nodes[0], top.nodes[child]);
      for (const uint32_t below : root().children) top.home.Change(below) = 0;
    }
    top.nodes.resize(1);
    top.free.clear();
  }
}

void CentroidTree::Group(std::span<const uint32_t> postings, uint64_t seed,
                         const CentroidRows& rows) {
  const size_t stride = codec_.stride();
  levels_.clear();
  if (postings.empty()) return;
  std::vector<uint32_t> children(postings.begin(), postings.end());
  for (uint32_t level = 0;; ++level) {
    levels_.emplace_back();
    std::vector<float> all(children.size() * stride);
    for (size_t i = 0; i < children.size(); ++i) {
      ReadChild(level, children[i], rows, all.data() + i * stride);
    }
    std::vector<std::vector<uint32_t>> parts(1);
    std::vector<float> means(stride);
    if (children.size() <= kRootMax) {
      parts[0] = children;
    } else {
      const Vectors vectors{all.data(), children.size(), stride};
      Random random(seed + level);
      means = Hierarchy(vectors, static_cast<uint32_t>(children.size() / kNodeTarget), &random);
      parts.assign(means.size() / stride, {});
      const std::vector<uint32_t> nearest = NearestOf(means, vectors);
      for (size_t i = 0; i < children.size(); ++i) parts[nearest[i]].push_back(children[i]);
    }
    std::vector<uint32_t> made;
    for (size_t part = 0; part < parts.size(); ++part) {
      if (parts[part].empty()) continue;
      const uint32_t at = NewNode(level);
      made.push_back(at);
      CentroidNode& node = Own(level, at);
      std::copy_n(means.data() + part * stride, stride, node.mean.data());
      node.changes = static_cast<uint32_t>(parts[part].size());
      for (const uint32_t child : parts[part]) SetHome(level, child, at);
      node.children = std::move(parts[part]);
    }
    if (made.size() == 1) break;
    children = std::move(made);
  }
  // What came out too large.
  for (uint32_t level = 0; level + 1 < levels(); ++level) {
    for (uint32_t at = 0, end = nodes(level); at < end; ++at) {
      if (in_use(level, at) && node(level, at).children.size() > kNodeMax) Split(level, at, rows);
    }
  }
}

bool CentroidTree::Restore(const std::vector<std::vector<std::vector<uint32_t>>>& lists,
                           uint32_t capacity) {
  levels_.clear();
  size_t below = capacity;
  for (uint32_t level = 0; level < lists.size(); ++level) {
    levels_.emplace_back();
    size_t held = 0;
    for (const auto& children : lists[level]) {
      const uint32_t at = NewNode(level);
      CentroidNode& node = Own(level, at);
      node.children = children;
      node.changes = static_cast<uint32_t>(children.size());
      held += children.size();
      for (const uint32_t child : children) {
        if (child >= below || levels_[level].HomeOf(child) != kNowhere) return false;
        SetHome(level, child, at);
      }
      if (children.empty()) return false;
    }
    if (level > 0 && held != below) return false;
    below = lists[level].size();
  }
  return lists.empty() || lists.back().size() == 1;
}

void CentroidTree::Measure(uint32_t level, CentroidNode* node,
                           const std::vector<float>& children) const {
  const size_t stride = codec_.stride(), n = node->children.size();
  double spread = 0, along = 0;
  size_t pairs = 0;
  std::vector<float> offsets(children);
  for (size_t i = 0; i < n; ++i) {
    float* row = offsets.data() + i * stride;
    for (size_t j = 0; j < stride; ++j) row[j] -= node->mean[j];
    float norm2;
    Dot(row, {row, 1, stride, stride}, &norm2);
    spread += static_cast<double>(norm2);
  }
  // The mean square of what children have along each other's directions: of directions that occur,
  // not of all that there are.
  for (const uint32_t apart : kPairs) {
    for (size_t i = 0; i + apart < n; ++i) {
      float dot;
      Dot(offsets.data() + i * stride, {offsets.data() + (i + apart) * stride, 1, stride, stride},
          &dot);
      along += static_cast<double>(dot) * static_cast<double>(dot);
      ++pairs;
    }
  }
  node->spread2 = static_cast<float>(spread / static_cast<double>(n));
  const double along2 = pairs > 0 ? along / static_cast<double>(pairs) : 0.0;
  const double share = node->spread2 > 0 ? along2 / double{node->spread2} : 0.0;
  node->reach = static_cast<float>(std::sqrt(share));
  node->spreads2.clear();
  node->reaches.clear();
  if (level == 0) return;
  for (const uint32_t child : node->children) {
    node->spreads2.push_back(this->node(level - 1, child).spread2);
    node->reaches.push_back(this->node(level - 1, child).reach);
  }
}

void CentroidTree::Encode(const CentroidRows& rows) {
  const size_t stride = codec_.stride();
  for (uint32_t level = 0; level < levels(); ++level) {
    for (uint32_t at = 0; at < nodes(level); ++at) {
      const Slot& slot = levels_[level].nodes[at];
      if (slot.node == nullptr || !slot.owned) continue;
      CentroidNode& node = Own(level, at);
      const size_t n = node.children.size();
      const std::vector<float> all = ReadChildren(level, node, rows);
      if (node.changes * kStaleShare >= n) {
        std::fill(node.mean.begin(), node.mean.end(), 0.0F);
        for (size_t i = 0; i < n; ++i) {
          for (size_t j = 0; j < stride; ++j) node.mean[j] += all[i * stride + j];
        }
        for (float& x : node.mean) x /= static_cast<float>(n);
        if (codec_.coded()) node.rounded = rows.Round(node.mean.data());
        node.changes = 0;
        if (level + 1 < levels()) ++Own(level + 1, levels_[level + 1].HomeOf(at)).changes;
      }
      Measure(level, &node, all);
      if (!codec_.coded()) continue;
      std::vector<uint64_t> words(n);
      std::iota(words.begin(), words.end(), uint64_t{0});
      node.codes = EncodeChunk(codec_, at, node.mean.data(), words, all.data())->WithoutRecords();
    }
  }
}

}  // namespace spfresh
