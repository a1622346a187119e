#include "trainer.h"

#include <algorithm>

#include "assign.h"
#include "centroids.h"

namespace spfresh {
namespace {

constexpr uint32_t kPasses = 4;
constexpr uint32_t kRounds = 8;
constexpr uint32_t kPartsMax = 32;
// Vectors of a unit.
constexpr size_t kSlice = 4096;

}  // namespace

Trainer::Trainer(const Vectors& sample, uint32_t clusters, const Codec& codec, uint64_t seed)
    : sample_(sample), codec_(codec), random_(seed) {
  parts_ = Divide(sample_, clusters, &random_);
  leaves_.resize(parts_.size());
  done_.assign(parts_.size(), 0);
}

Trainer::~Trainer() = default;

float Trainer::progress() const {
  return static_cast<float>(step_) / static_cast<float>(1 + kPasses);
}

void Trainer::RunUnit(uint32_t unit) {
  if (done_[unit] != 0) return;
  done_[unit] = 1;
  if (step_ == 0) {
    leaves_[unit] = Conquer(sample_, std::move(parts_[unit]));
    return;
  }
  const size_t from = unit * kSlice, count = std::min(kSlice, sample_.count - from);
  std::vector<Assignment> places;
  Assign(*tree_, sample_[from], count, {}, &places, Care::kQuick);
  for (size_t i = 0; i < count; ++i) cluster_of_[from + i] = places[i].primary;
}

bool Trainer::Step() {
  if (step_ > kPasses) return false;
  for (uint32_t unit = 0; unit < units(); ++unit) RunUnit(unit);
  if (step_ == 0) {
    for (const auto& leaves : leaves_) {
      centroids_.insert(centroids_.end(), leaves.begin(), leaves.end());
    }
    parts_ = {};
    leaves_ = {};
  } else {
    // The last two passes leave the number of clusters alone, so that they settle.
    Refine(step_ + 2 <= kPasses);
  }
  ++step_;
  Prepare();
  return step_ <= kPasses;
}

void Trainer::Prepare() {
  tree_.reset();
  done_.clear();
  if (step_ > kPasses) return;
  auto tree = std::make_unique<Centroids>(codec_);
  const auto k = static_cast<uint32_t>(centroids_.size() / sample_.stride);
  tree->SetOrigin(MeanOf(centroids_, sample_.stride).data());
  for (uint32_t id = 0; id < k; ++id) tree->Place(id, centroids_.data() + id * sample_.stride);
  tree->Group(step_);
  tree->Encode();
  tree_ = std::move(tree);
  cluster_of_.resize(sample_.count);
  done_.assign((sample_.count + kSlice - 1) / kSlice, 0);
}

// One pass of Lloyd's over all leaves. Rebalancing gives the place of a leaf with far too few
// members to parts of one with far too many.
void Trainer::Refine(bool rebalance) {
  const size_t stride = sample_.stride;
  const size_t k = centroids_.size() / stride;
  Means means(k, stride);
  for (size_t i = 0; i < sample_.count; ++i) means.Add(cluster_of_[i], sample_[i]);
  means.Write(&centroids_);
  if (!rebalance) return;

  const size_t share = sample_.count / k;
  std::vector<std::vector<uint32_t>> crowded(k);
  for (size_t i = 0; i < sample_.count; ++i) {
    if (means.counts[cluster_of_[i]] > 2 * share + 1) {
      crowded[cluster_of_[i]].push_back(static_cast<uint32_t>(i));
    }
  }
  std::vector<float> next;
  next.reserve(centroids_.size());
  std::vector<uint32_t> ignored;
  for (size_t c = 0; c < k; ++c) {
    if (means.counts[c] * 5 < share || means.counts[c] == 0) continue;
    if (crowded[c].empty()) {
      next.insert(next.end(), centroids_.begin() + static_cast<ptrdiff_t>(c * stride),
                  centroids_.begin() + static_cast<ptrdiff_t>((c + 1) * stride));
      continue;
    }
    const auto parts = static_cast<uint32_t>(
        std::min<size_t>(kPartsMax, (crowded[c].size() + share / 2) / std::max<size_t>(1, share)));
    const std::vector<float> halves =
        KMeans(sample_, crowded[c], std::max(2U, parts), kRounds, &random_, &ignored);
    next.insert(next.end(), halves.begin(), halves.end());
  }
  if (!next.empty()) centroids_ = std::move(next);
}

}  // namespace spfresh
