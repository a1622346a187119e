// A version as bytes, and back: docs/format/index.md.
#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "version_state.h"

namespace spfresh {
namespace {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

constexpr uint32_t kMagic = 0x56'50'4C'4E;  // "NLPV"
constexpr uint32_t kFormat = 8;
constexpr uint32_t kCapacityMax = 1U << 28;
// More than can be: a level has twelve times as many nodes as the one above it, or more.
constexpr uint32_t kLevelsMax = 16;
// The mean of vectors that have a place (space.cc) is no longer than they are, but for rounding.
constexpr float kNorm2Max = 2e30F;
// More entries than can come and go.
constexpr uint64_t kChangedMax = uint64_t{1} << 56;

class Writer {
 public:
  template <class T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    const auto* from = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof(T));
  }
  template <class T>
  void PutAll(const T* values, size_t count) {
    const auto* from = reinterpret_cast<const uint8_t*>(values);
    bytes_.insert(bytes_.end(), from, from + count * sizeof(T));
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

// Reads past the end give zero and are remembered.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <class T>
  T Get() {
    T value{};
    GetAll(&value, 1);
    return value;
  }
  template <class T>
  void GetAll(T* values, size_t count) {
    if (bytes_.size() < count * sizeof(T)) {
      cut_short_ = true;
      return;
    }
    // Of nothing, there may be no place to copy to, which memcpy does not take.
    std::copy_n(bytes_.data(), count * sizeof(T), reinterpret_cast<uint8_t*>(values));
    bytes_ = bytes_.subspan(count * sizeof(T));
  }
  size_t left() const { return bytes_.size(); }
  bool cut_short() const { return cut_short_; }

 private:
  std::span<const uint8_t> bytes_;
  bool cut_short_ = false;
};

}  // namespace

std::vector<uint8_t> Version::Serialize() const {
  const State& s = *state_;
  Writer w;
  w.Put(kMagic);
  w.Put(kFormat);
  w.Put(static_cast<uint32_t>(s.options.metric));
  w.Put(s.options.dims);
  w.Put(s.options.posting_target);
  w.Put(s.options.posting_max);
  w.Put(s.options.posting_min);
  w.Put(static_cast<uint32_t>(s.options.spill));
  w.Put(s.options.spill_lambda);
  w.Put(s.options.closure);
  w.Put(s.options.code_bits);
  w.Put(s.space.norm_bound());
  w.Put(s.options.seed);
  w.Put(s.stop.entries());
  const Stop::Rules& rules = s.stop.rules();
  w.PutAll(rules.nearest2.data(), rules.nearest2.size());
  for (const auto& [bias, thresholds, ends] : rules.at) {
    w.Put(bias);
    for (const auto& by_miss : thresholds) w.PutAll(by_miss.data(), by_miss.size());
    for (const auto& by_miss : ends) w.PutAll(by_miss.data(), by_miss.size());
  }
  w.Put(s.changed);
  w.Put(s.reshaped);
  w.Put(s.scrub_from);
  w.Put(static_cast<uint32_t>(s.scrub_again));
  const Centroids& centroids = s.centroids;
  w.PutAll(centroids.origin().data(), centroids.stride());
  w.Put(centroids.count());
  for (uint32_t id = 0; id < s.centroids.capacity(); ++id) {
    const Posting& p = s.centroids.posting(id);
    if (!p.in_use) continue;
    w.Put(id);
    w.Put(p.entries);
    w.Put(p.primaries);
    w.Put(p.added);
    w.Put(p.stuck);
    w.Put(p.unrefined);
    w.Put(p.radius);
    w.Put(p.spread);
    w.PutAll(p.shift.data(), p.shift.size());
    if (centroids.coded()) {
      w.Put(centroids.scale(id));
      w.PutAll(centroids.bytes(id), centroids.stride());
    } else {
      w.PutAll(centroids.floats(id), centroids.stride());
    }
  }
  const CentroidTree& tree = centroids.tree();
  w.Put(tree.levels());
  for (uint32_t level = 0; level < tree.levels(); ++level) {
    uint32_t nodes = 0;
    for (uint32_t at = 0; at < tree.nodes(level); ++at) nodes += tree.in_use(level, at) ? 1 : 0;
    w.Put(nodes);
    // Children that are nodes are told by their rank: numbers are close again when read.
    std::vector<uint32_t> rank_of;
    for (uint32_t at = 0, rank = 0; level > 0 && at < tree.nodes(level - 1); ++at) {
      rank_of.push_back(tree.in_use(level - 1, at) ? rank++ : 0);
    }
    for (uint32_t at = 0; at < tree.nodes(level); ++at) {
      if (!tree.in_use(level, at)) continue;
      const CentroidNode& node = tree.node(level, at);
      w.Put(static_cast<uint32_t>(node.children.size()));
      for (const uint32_t child : node.children) w.Put(level == 0 ? child : rank_of[child]);
    }
  }
  return w.Take();
}

Status Version::Open(std::span<const uint8_t> bytes, std::shared_ptr<const Version>* out) {
  Reader r(bytes);
  if (r.Get<uint32_t>() != kMagic) return Status::Corrupt("an index version does not begin as one");
  const auto format = r.Get<uint32_t>();
  if (format != kFormat) {
    return Status::Corrupt("an index version has format " + std::to_string(format) +
                           ", which is not known here");
  }
  Options o;
  const auto metric = r.Get<uint32_t>();
  o.metric = static_cast<Metric>(std::min(metric, 255U));
  o.dims = r.Get<uint32_t>();
  o.posting_target = r.Get<uint32_t>();
  o.posting_max = r.Get<uint32_t>();
  o.posting_min = r.Get<uint32_t>();
  o.spill = static_cast<Spill>(std::min(r.Get<uint32_t>(), 255U));
  o.spill_lambda = r.Get<float>();
  o.closure = r.Get<float>();
  o.code_bits = r.Get<uint32_t>();
  const auto norm_bound = r.Get<float>();
  o.seed = r.Get<uint64_t>();
  const auto stop_entries = r.Get<uint64_t>();
  Stop::Rules rules;
  r.GetAll(rules.nearest2.data(), rules.nearest2.size());
  // Not one of them is NaN.
  const auto& near2 = rules.nearest2;
  bool has_rules = stop_entries == 0 || (near2.front() > 0 && std::isfinite(near2.back()));
  for (size_t i = 0; i + 1 < near2.size(); ++i) {
    has_rules = has_rules && near2[i] <= near2[i + 1];
  }
  const auto all_positive = [](const Stop::ByMiss& values) {
    return std::all_of(values.begin(), values.end(), [](float x) { return x >= 0; });
  };
  for (auto& [bias, thresholds, ends] : rules.at) {
    bias = r.Get<float>();
    for (auto& by_miss : thresholds) r.GetAll(by_miss.data(), by_miss.size());
    for (auto& by_miss : ends) r.GetAll(by_miss.data(), by_miss.size());
    has_rules = has_rules && bias >= 0 && bias <= 1 &&
                std::all_of(thresholds.begin(), thresholds.end(), all_positive) &&
                std::all_of(ends.begin(), ends.end(), all_positive);
  }
  const auto changed = r.Get<uint64_t>();
  const auto reshaped = r.Get<uint64_t>();
  const auto scrub_from = r.Get<uint32_t>();
  const bool scrub_again = r.Get<uint32_t>() != 0;
  if (r.cut_short()) return Status::Corrupt("an index version is cut short");
  if (const Status status = o.Check(); !status.ok()) {
    return Status::Corrupt("an index version has bad options: " + status.message());
  }
  if (!(norm_bound >= 0 && std::isfinite(norm_bound)) || !has_rules || changed > kChangedMax ||
      reshaped > kChangedMax) {
    return Status::Corrupt("an index version has numbers that cannot be");
  }
  State s(o, Space(o, norm_bound));
  s.stop = Stop(rules, stop_entries);
  s.changed = changed;
  s.reshaped = reshaped;
  s.scrub_from = scrub_from;
  s.scrub_again = scrub_again;

  const uint32_t stride = s.space.stride();
  std::vector<float> row(stride);
  const auto all_finite = [](std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  };
  r.GetAll(row.data(), stride);
  if (!all_finite(row)) return Status::Corrupt("an index version has numbers that cannot be");
  s.centroids.SetOrigin(row.data());
  const auto count = r.Get<uint32_t>();
  const size_t record = 6 * sizeof(uint32_t) + (2 + Posting{}.shift.size()) * sizeof(float) +
                        (s.codec.coded() ? sizeof(float) + stride : stride * sizeof(float));
  if (r.cut_short() || r.left() / record < count) {
    return Status::Corrupt("an index version of " + std::to_string(count) + " postings has " +
                           std::to_string(r.left()) + " bytes for them");
  }
  std::vector<uint8_t> steps(stride);
  uint32_t free_from = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto id = r.Get<uint32_t>();
    Posting p;
    p.entries = r.Get<uint32_t>();
    p.primaries = r.Get<uint32_t>();
    p.added = r.Get<uint32_t>();
    p.stuck = r.Get<uint32_t>();
    p.unrefined = r.Get<uint32_t>();
    p.radius = r.Get<float>();
    p.spread = r.Get<float>();
    r.GetAll(p.shift.data(), p.shift.size());
    p.in_use = true;
    float scale = 0;
    if (s.codec.coded()) {
      scale = r.Get<float>();
      r.GetAll(steps.data(), stride);
    } else {
      r.GetAll(row.data(), stride);
    }
    const bool finite = std::isfinite(p.radius) && p.radius >= 0 && std::isfinite(p.spread) &&
                        std::isfinite(scale) && scale >= 0 && all_finite(p.shift) &&
                        all_finite(row);
    // Ids ascend, and nothing more binds them: after a mass deletion few are left of many. Ids
    // between them cost a pointer for kPage (Centroids::Empty), 200 MB for the worst that there is.
    if (id < free_from || id >= kCapacityMax || p.primaries > p.entries || !finite) {
      return Status::Corrupt("an index version has a posting " + std::to_string(id) +
                             " that cannot be");
    }
    free_from = id + 1;
    if (s.codec.coded()) {
      s.centroids.Place(id, steps.data(), scale);
    } else {
      s.centroids.Place(id, row.data());
    }
    if (!(s.centroids.norm2(id) <= kNorm2Max)) {
      return Status::Corrupt("an index version has a centroid that cannot be");
    }
    s.centroids.Change(id) = p;
    s.entries += p.entries;
  }

  std::vector<std::vector<std::vector<uint32_t>>> levels(std::min(r.Get<uint32_t>(), kLevelsMax));
  for (auto& lists : levels) {
    lists.resize(std::min<size_t>(r.Get<uint32_t>(), r.left() / sizeof(uint32_t)));
    for (auto& children : lists) {
      children.resize(std::min<size_t>(r.Get<uint32_t>(), r.left() / sizeof(uint32_t)));
      r.GetAll(children.data(), children.size());
    }
  }
  if (r.cut_short() || r.left() > 0 || !s.centroids.Restore(levels)) {
    return Status::Corrupt("an index version has a tree that is none of its postings");
  }
  *out = Seal(std::move(s));
  return {};
}

}  // namespace spfresh
