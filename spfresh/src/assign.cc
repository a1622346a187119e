#include "assign.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "code_kernels.h"
#include "node_queue.h"
#include "query_code.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// How sure the codes of centroids must be.
constexpr float kSure = 0.99F;

// How much nearer than a node's mean its nearest child is expected, and how much nearer than its
// estimate a centroid, both in standard deviations.
struct Effort {
  float reach;
  float deviations;
};

Effort EffortOf(bool spills, Care care) {
  if (care == Care::kSure) return {1e9F, 4};
  // Where a second copy has more looked at, less is needed for the first.
  if (spills) return {1.5F, 1.5F};
  return {care == Care::kQuick ? 2.0F : 3.0F, 2};
}

// SOAR's loss lies between |r'|^2 and (1 + lambda) |r'|^2, so the best is among the near ones.
constexpr size_t kSpillCandidates = 32;

// Finds the places of vectors, one after the other.
class Assigner {
 public:
  Assigner(const Centroids& centroids, const SpillRule& rule, Care care)
      : Assigner(centroids, EffortOf(rule.spill != Spill::kNone, care),
                 rule.spill != Spill::kNone ? kSpillCandidates + 1 : 1, rule) {}
  // One that finds the nearest of all.
  Assigner(const Centroids& centroids, Effort effort, size_t wanted, const SpillRule& rule)
      : centroids_(centroids),
        effort_(effort),
        wanted_(wanted),
        rule_(rule),
        residual_(centroids.stride()),
        primary_(centroids.stride()),
        other_(centroids.stride()) {}

  // A posting and how far it is, as one number: the bits of a float that is not negative are in the
  // order of its value.
  class Near {
   public:
    Near(float distance2, uint32_t posting)
        : bits_(uint64_t{std::bit_cast<uint32_t>(distance2)} << 32 | posting) {}
    float distance2() const { return std::bit_cast<float>(static_cast<uint32_t>(bits_ >> 32)); }
    uint32_t posting() const { return static_cast<uint32_t>(bits_); }
    // The order of a heap whose top is the farthest.
    friend bool operator<(const Near& a, const Near& b) { return a.bits_ < b.bits_; }

   private:
    uint64_t bits_;
  };

  // Those wanted, or all that there are, nearest first.
  const std::vector<Near>& Nearest(const float* vector) {
    near_.clear();
    const CentroidTree& tree = centroids_.tree();
    if (tree.levels() == 0) return near_;
    const CentroidQuery query(centroids_, vector);
    if (tree.codec().coded()) {
      Walk(query, QueryCode(tree.codec(), Metric::kL2, vector, kSure));
    } else {
      for (uint32_t id = 0; id < centroids_.capacity(); ++id) {
        if (centroids_.in_use(id)) Offer({query.Distance2(id), id});
      }
    }
    std::sort_heap(near_.begin(), near_.end());
    return near_;
  }

  Assignment Place(const float* vector) {
    Assignment to;
    if (centroids_.tree().levels() == 0) return to;
    if (Nearest(vector).empty()) {
      // What is no number, out of damaged bytes, is near nothing and must be somewhere.
      to.primary = centroids_.tree().FirstPosting();
      return to;
    }
    to.primary = near_[0].posting();
    to.primary_distance2 = SureDistance2(to.primary, vector);
    // A vector that equals its centroid has no residual to be orthogonal to, and no copy.
    if (rule_.spill == Spill::kNone || !(to.primary_distance2 > 0)) return to;
    centroids_.Read(to.primary, primary_.data());
    if (rule_.spill == Spill::kSoar) PlaceSoar(vector, &to);
    if (rule_.spill == Spill::kClosure) PlaceClosure(&to);
    if (to.spill != kNowhere) to.spill_distance2 = SureDistance2(to.spill, vector);
    return to;
  }

 private:
  // Node after node, as long as one may hold what is nearer than what is needed.
  void Walk(const CentroidQuery& query, const QueryCode& code) {
    NodeQueue nodes(centroids_.tree(), query, &code, effort_.reach);
    nodes.Start();
    while (const CentroidNode* node = nodes.Next(Bound())) {
      const Chunk::Scan scan = node->codes->scan();
      const auto count = static_cast<uint32_t>(node->children.size());
      lows_.resize(scan.blocks * kScanBlock);
      within_.resize(scan.blocks);
      found_.clear();
      const auto beside = QueryCode::Beside::At(query.Distance2(node->rounded), 0);
      code.ScanWithin(effort_.deviations, beside, scan, Bound(), lows_.data(), within_.data());
      for (uint32_t block = 0; block < scan.blocks; ++block) {
        for (uint32_t rest = within_[block]; rest != 0; rest &= rest - 1) {
          const auto i = static_cast<uint32_t>(block * kScanBlock + std::countr_zero(rest));
          if (i >= count) continue;
          found_.push_back(i);
          centroids_.Prefetch(node->children[i]);
        }
      }
      for (const uint32_t i : found_) {
        if (lows_[i] <= Bound()) Offer({query.Distance2(node->children[i]), node->children[i]});
      }
      for (auto i = static_cast<uint32_t>(scan.blocks * kScanBlock); i < count; ++i) {
        Offer({query.Distance2(node->children[i]), node->children[i]});
      }
    }
  }

  float Bound() const { return near_.size() < wanted_ ? kInfinity : near_.front().distance2(); }

  void Offer(const Near& near) {
    if (near_.size() < wanted_) {
      near_.push_back(near);
      std::push_heap(near_.begin(), near_.end());
    } else if (near < near_.front()) {
      ReplaceFarthest(near);
    }
  }

  // In one way down the heap.
  void ReplaceFarthest(const Near& near) {
    size_t at = 0;
    while (true) {
      size_t child = 2 * at + 1;
      if (child >= near_.size()) break;
      if (child + 1 < near_.size()) child += near_[child] < near_[child + 1] ? 1 : 0;
      if (!(near < near_[child])) break;
      near_[at] = near_[child];
      at = child;
    }
    near_[at] = near;
  }

  // To the precision of floats: a posting's radius must hold what is in it.
  float SureDistance2(uint32_t posting, const float* vector) {
    const size_t stride = centroids_.stride();
    centroids_.Read(posting, other_.data());
    float distance2;
    L2Squared(vector, {other_.data(), 1, stride, stride}, &distance2);
    return distance2;
  }

  void PlaceSoar(const float* vector, Assignment* to) {
    const size_t stride = centroids_.stride();
    for (size_t i = 0; i < stride; ++i) residual_[i] = vector[i] - primary_[i];
    const Rows residual{residual_.data(), 1, stride, stride};
    float along_vector;
    Dot(vector, residual, &along_vector);
    float best = kInfinity;
    for (size_t i = 1; i < near_.size() && near_[i].distance2() < best; ++i) {
      centroids_.Read(near_[i].posting(), other_.data());
      float along_other;
      Dot(other_.data(), residual, &along_other);
      const float parallel = along_vector - along_other;
      const float loss =
          near_[i].distance2() + rule_.lambda * parallel * parallel / to->primary_distance2;
      if (loss >= best) continue;
      best = loss;
      to->spill = near_[i].posting();
    }
  }

  void PlaceClosure(Assignment* to) {
    const size_t stride = centroids_.stride();
    const float within = 1 + rule_.closure;
    const float most2 = within * within * to->primary_distance2;
    for (size_t i = 1; i < near_.size() && near_[i].distance2() <= most2; ++i) {
      centroids_.Read(near_[i].posting(), other_.data());
      float apart2;
      L2Squared(primary_.data(), {other_.data(), 1, stride, stride}, &apart2);
      if (apart2 <= near_[i].distance2()) continue;
      to->spill = near_[i].posting();
      return;
    }
  }

  const Centroids& centroids_;
  const Effort effort_;
  const size_t wanted_;
  const SpillRule rule_;
  // A heap of the nearest.
  std::vector<Near> near_;
  // Spare room.
  std::vector<float> residual_;
  std::vector<float> primary_;
  std::vector<float> other_;
  std::vector<float> lows_;
  std::vector<uint32_t> within_;
  std::vector<uint32_t> found_;
};

}  // namespace

float SpillLoss(const float* vector, const float* primary, const float* other, size_t stride,
                const SpillRule& rule) {
  float length2, distance2;
  L2Squared(vector, {primary, 1, stride, stride}, &length2);
  L2Squared(vector, {other, 1, stride, stride}, &distance2);
  if (rule.spill == Spill::kClosure) {
    float apart2;
    L2Squared(primary, {other, 1, stride, stride}, &apart2);
    const float within = 1 + rule.closure;
    return distance2 <= within * within * length2 && apart2 > distance2 ? distance2 : kInfinity;
  }
  float parallel = 0;
  for (size_t i = 0; i < stride; ++i) parallel += (vector[i] - primary[i]) * (vector[i] - other[i]);
  return distance2 + (length2 > 0 ? rule.lambda * parallel * parallel / length2 : 0.0F);
}

void Assign(const Centroids& centroids, const float* vectors, size_t count, const SpillRule& rule,
            std::vector<Assignment>* out, Care care) {
  out->resize(count);
  Assigner assigner(centroids, rule, care);
  for (size_t i = 0; i < count; ++i) {
    (*out)[i] = assigner.Place(vectors + i * centroids.stride());
  }
}

std::vector<std::pair<uint32_t, float>> NearestPostings(const Centroids& centroids,
                                                        const float* place, size_t most) {
  std::vector<std::pair<uint32_t, float>> nearest;
  Assigner assigner(centroids, EffortOf(true, Care::kUsual), most, {});
  for (const auto& near : assigner.Nearest(place)) {
    nearest.push_back({near.posting(), near.distance2()});
  }
  return nearest;
}

}  // namespace spfresh
