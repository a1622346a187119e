// What is wrong with the tree over centroids, as verify.h tells it.
#include <algorithm>
#include <numeric>
#include <string>

#include "centroids.h"
#include "entries.h"

namespace spfresh {
namespace {

std::string NameOf(uint32_t level, uint32_t at) {
  return "node " + std::to_string(at) + " of level " + std::to_string(level) +
         " of the centroids' tree";
}

}  // namespace

std::string CentroidTree::NodeFault(uint32_t level, uint32_t at, const CentroidRows& rows) const {
  const CentroidNode& node = this->node(level, at);
  const size_t n = node.children.size();
  if (n == 0) return " has no children";
  if (n > (level + 1 == levels() ? kRootMax : kNodeMax)) return " has too many children";
  for (const uint32_t child : node.children) {
    if (levels_[level].HomeOf(child) != at) return " is not the home of its children";
    if (level > 0 && (child >= nodes(level - 1) || !in_use(level - 1, child))) {
      return " has a child that is not in use";
    }
  }
  if (level > 0 && (node.spreads2.size() != n || node.reaches.size() != n)) {
    return " does not know its children's spreads";
  }
  if (!codec_.coded()) return "";
  if (node.codes == nullptr || node.codes->size() != n) return " has not the codes of its children";
  std::vector<float> mean = node.mean;
  const RoundedCentroid rounded = rows.Round(mean.data());
  // Rounding what is rounded changes nothing but the last bits of its scale.
  for (size_t i = 0; i < mean.size(); ++i) {
    const int off = int{rounded.bytes[i]} - int{node.rounded.bytes[i]};
    if (off < -1 || off > 1) return " is rounded to another mean than it has";
  }
  std::vector<uint64_t> words(n);
  std::iota(words.begin(), words.end(), uint64_t{0});
  const std::vector<float> all = ReadChildren(level, node, rows);
  const auto again = EncodeChunk(codec_, at, node.mean.data(), words, all.data());
  const auto codes = node.codes->scan_bytes(), wanted = again->scan_bytes();
  if (!std::equal(codes.begin(), codes.end(), wanted.begin(), wanted.end())) {
    return " has other codes than its children";
  }
  return "";
}

std::string CentroidTree::Fault(std::span<const uint32_t> postings,
                                const CentroidRows& rows) const {
  if (levels_.empty()) return postings.empty() ? "" : "the centroids' tree is empty";
  // Down from the root, as a search goes.
  std::vector<uint32_t> reached = {0};
  if (nodes(levels() - 1) == 0 || !in_use(levels() - 1, 0))
    return "the centroids' tree has no root";
  for (uint32_t level = levels(); level-- > 0;) {
    std::vector<uint32_t> children;
    for (const uint32_t at : reached) {
      if (std::string fault = NodeFault(level, at, rows); !fault.empty()) {
        return NameOf(level, at) + fault;
      }
      const CentroidNode& node = this->node(level, at);
      children.insert(children.end(), node.children.begin(), node.children.end());
    }
    std::sort(children.begin(), children.end());
    if (std::adjacent_find(children.begin(), children.end()) != children.end()) {
      return "a child of level " + std::to_string(level) +
             " of the centroids' tree is in two nodes";
    }
    reached = std::move(children);
    if (level == 0) break;
    uint32_t in_use_below = 0;
    for (uint32_t at = 0; at < nodes(level - 1); ++at)
      in_use_below += in_use(level - 1, at) ? 1 : 0;
    if (in_use_below != reached.size()) {
      return std::to_string(in_use_below) + " nodes are in use below level " +
             std::to_string(level) + " of the centroids' tree, " + std::to_string(reached.size()) +
             " are reached";
    }
  }
  if (!std::equal(reached.begin(), reached.end(), postings.begin(), postings.end())) {
    return "the centroids' tree reaches " + std::to_string(reached.size()) + " postings, not the " +
           std::to_string(postings.size()) + " that are in use";
  }
  return "";
}

std::string Centroids::TreeFault() const {
  std::vector<uint32_t> postings;
  for (uint32_t id = 0; id < capacity(); ++id) {
    if (in_use(id)) postings.push_back(id);
  }
  return tree_.Fault(postings, *this);
}

}  // namespace spfresh
