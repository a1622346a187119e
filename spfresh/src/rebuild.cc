#include "spfresh/rebuild.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>

#include "assign.h"
#include "cluster.h"
#include "drift.h"
#include "refine.h"
#include "relocate.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

constexpr uint32_t kPartsMax = 16;
constexpr uint32_t kRounds = 10;

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

// The mean of the primaries: spilled copies lie at the rim by their nature. Returns their number,
// and in *spread the sum of their squared distances to "centroid".
size_t MeanOfPrimaries(const Entries& members, const float* centroid, size_t stride,
                       std::vector<float>* mean, double* spread) {
  std::vector<double> sum(stride);
  size_t primaries = 0;
  *spread = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (IsSpilled(members.word(i))) continue;
    ++primaries;
    for (size_t j = 0; j < stride; ++j) sum[j] += static_cast<double>(members.vector(i)[j]);
    *spread += static_cast<double>(Distance2(centroid, members.vector(i), stride));
  }
  mean->assign(stride, 0);
  const auto n = static_cast<double>(std::max<size_t>(1, primaries));
  for (size_t j = 0; j < stride; ++j) (*mean)[j] = static_cast<float>(sum[j] / n);
  return primaries;
}

}  // namespace

Rebuild::Rebuild(std::shared_ptr<const Version> version, std::span<const uint32_t> own, Task task)
    : version_(std::move(version)), task_(task), layout_(std::make_unique<Layout>()) {
  layout_->own = own.size();
  layout_->all_look = task != Task::kRebuild;
  for (const uint32_t posting : own) {
    sources_.emplace_back(posting, version_->state().codec);
  }
}

Rebuild::~Rebuild() = default;

Status Rebuild::Make(std::shared_ptr<const Version> version, uint32_t posting, Task task,
                     std::unique_ptr<Rebuild>* out) {
  if (version->posting(posting) == nullptr) {
    return Status::Internal("posting " + std::to_string(posting) + " is not in use");
  }
  const std::vector<uint32_t> own =
      Neighbourhood(version->state().centroids, posting, task == Task::kRefine ? kRefined : 1);
  out->reset(new Rebuild(std::move(version), own, task));
  return {};
}

Status Rebuild::Begin(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out) {
  return Make(std::move(version), posting, Task::kRebuild, out);
}

Status Rebuild::Refine(std::shared_ptr<const Version> version, uint32_t posting,
                       std::unique_ptr<Rebuild>* out) {
  return Make(std::move(version), posting, Task::kRefine, out);
}

Status Rebuild::Scrub(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out) {
  return Make(std::move(version), posting, Task::kScrub, out);
}

std::vector<uint32_t> Rebuild::own() const {
  std::vector<uint32_t> ids;
  for (size_t s = 0; s < layout_->own; ++s) ids.push_back(sources_[s].posting);
  return ids;
}

// Takes a chunk of one of the sources from "from" up to "to".
Status Rebuild::Take(size_t from, size_t to, const Chunk& chunk, std::span<const uint8_t> live) {
  const Version::State& state = version_->state();
  const uint32_t posting = chunk.kind().posting;
  for (size_t s = from; s < to; ++s) {
    Source& source = sources_[s];
    if (source.posting != posting) continue;
    if (!state.Fits(chunk) || live.size() != chunk.size() || !chunk.has_records()) break;
    source.added = true;
    if (s < layout_->own) {
      source.dead += source.members.AddLive(chunk, state.centroids.centroid(posting).data(), live);
    } else {
      source.unread.push_back({chunk, {live.begin(), live.end()}});
      source.dead += static_cast<uint64_t>(std::count(live.begin(), live.end(), 0));
    }
    return {};
  }
  return Status::Internal("a chunk does not fit the rebuild of posting " +
                          std::to_string(sources_[0].posting));
}

// A posting that was not handed in would be lost, not empty.
Status Rebuild::AllAdded(size_t from, size_t to) const {
  for (size_t s = from; s < to; ++s) {
    const Source& source = sources_[s];
    if (source.added || version_->posting(source.posting)->entries == 0) continue;
    return Status::Internal("posting " + std::to_string(source.posting) +
                            " was not handed to the rebuild of posting " +
                            std::to_string(sources_[0].posting));
  }
  return {};
}

Status Rebuild::AddOwn(const Chunk& chunk, std::span<const uint8_t> live) {
  return Take(0, layout_->own, chunk, live);
}

Status Rebuild::AddNeighbour(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  if (chunk.kind().posting != posting) {
    return Status::Internal("a chunk is of another posting than " + std::to_string(posting));
  }
  return Take(layout_->own, sources_.size(), chunk, live);
}

Status Rebuild::Plan(std::vector<uint32_t>* neighbours) {
  const Version::State& state = version_->state();
  const uint32_t stride = version_->stride();
  neighbours->clear();
  if (Status status = AllAdded(0, layout_->own); !status.ok()) return status;
  for (Source& source : sources_) {
    counts_.dropped += source.dead;
    source.members.DropSecondCopies();
  }
  if (task_ == Task::kRefine) {
    PlanRefinement();
  } else {
    PlanOne();
  }
  // Compared as they will be when they are kept.
  for (size_t c = 0; c < layout_->centroids.size(); c += stride) {
    state.centroids.Round(layout_->centroids.data() + c);
  }
  const std::vector<float>& centroids = layout_->centroids;
  const auto& moved = layout_->moved;
  layout_->moved.resize(std::max(centroids.size() / stride, moved.size()), true);
  const bool moves = std::find(moved.begin(), moved.end(), true) != moved.end();
  if (centroids.empty() || !moves || state.centroids.count() == layout_->own) return {};

  // A member v of B can prefer a new centroid A only if |v-A| < |v-B| <= r_B, so |A-B| < 2 r_B.
  struct Reach {
    float distance2;
    uint32_t posting;
  };
  std::vector<Reach> reach;
  const std::vector<uint32_t> own_ids = own();
  std::unordered_map<uint32_t, float> near;
  for (size_t c = 0; c < centroids.size() / stride; ++c) {
    if (!moved[c]) continue;
    // Its own nearest are enough: of all together the nearest are among them.
    for (const auto& [id, distance2] : NearestPostings(
             state.centroids, centroids.data() + c * stride, kNeighboursMax + own_ids.size())) {
      float& nearest2 = near.try_emplace(id, distance2).first->second;
      nearest2 = std::min(nearest2, distance2);
    }
  }
  for (const auto& [id, nearest2] : near) {
    const Posting& posting = state.centroids.posting(id);
    if (posting.primaries == 0 || std::find(own_ids.begin(), own_ids.end(), id) != own_ids.end()) {
      continue;
    }
    if (nearest2 < 4 * posting.radius * posting.radius) reach.push_back({nearest2, id});
  }
  const size_t most = std::min<size_t>(kNeighboursMax, reach.size());
  std::partial_sort(reach.begin(), reach.begin() + static_cast<ptrdiff_t>(most), reach.end(),
                    [](const Reach& a, const Reach& b) {
                      return a.distance2 < b.distance2 ||
                             (a.distance2 == b.distance2 && a.posting < b.posting);
                    });
  for (size_t i = 0; i < most; ++i) {
    neighbours->push_back(reach[i].posting);
    sources_.emplace_back(reach[i].posting, state.codec);
  }
  return {};
}

void Rebuild::PlanOne() {
  const Version::State& state = version_->state();
  const Options& options = state.options;
  const uint32_t stride = version_->stride();
  const uint32_t posting = sources_[0].posting;
  const std::vector<float> before = state.centroids.centroid(posting);
  const float* old = before.data();
  const Entries& own = sources_[0].members;
  const size_t live = own.size();
  layout_->moved = {false};
  if (task_ == Task::kScrub) {
    layout_->centroids.assign(old, old + stride);
    return;
  }
  if (live == 0) return;
  if (live < options.posting_min && state.centroids.count() > 1) {
    if (Mergeable()) return;
    layout_->stuck = true;
  }
  if (live > options.posting_max) {
    const auto parts = static_cast<uint32_t>(std::clamp<size_t>(
        (live + options.posting_target / 2) / options.posting_target, 2, kPartsMax));
    Random random(options.seed ^ (uint64_t{posting} << 32) ^ state.entries);
    std::vector<uint32_t> ignored;
    layout_->centroids =
        KMeans({own.vectors(), live, stride}, {}, parts, kRounds, &random, &ignored);
    layout_->moved = {true};
    if (layout_->centroids.size() > stride) return;
    layout_->stuck = true;
    layout_->moved = {false};
  }
  std::vector<float> mean;
  double spread;
  const size_t primaries = MeanOfPrimaries(own, old, stride, &mean, &spread);
  layout_->centroids.assign(old, old + stride);
  if (primaries == 0) return;
  const auto mean_spread = static_cast<float>(spread / static_cast<double>(primaries));
  if (Distance2(old, mean.data(), stride) > kDrift * kDrift * mean_spread) {
    layout_->centroids = std::move(mean);
    layout_->moved = {true};
  }
}

void Rebuild::PlanRefinement() {
  const Version::State& state = version_->state();
  const uint32_t stride = version_->stride();
  std::vector<float> primaries;
  size_t entries = 0;
  for (const Source& source : sources_) {
    const std::vector<float> centroid = state.centroids.centroid(source.posting);
    layout_->centroids.insert(layout_->centroids.end(), centroid.begin(), centroid.end());
    entries += source.members.size();
    for (size_t i = 0; i < source.members.size(); ++i) {
      if (IsSpilled(source.members.word(i))) continue;
      const float* vector = source.members.vector(i);
      primaries.insert(primaries.end(), vector, vector + stride);
    }
  }
  const size_t count = primaries.size() / stride;
  layout_->refined = true;
  layout_->moved.assign(sources_.size(), false);
  // Without primaries there is nothing to learn from.
  if (count == 0) return;
  // What brings postings to their target, second copies and all.
  const size_t per_posting = std::max<size_t>(1, state.options.posting_target * count / entries);
  const size_t least = state.options.posting_min * count / entries;
  spfresh::Refine({primaries.data(), count, stride}, per_posting, least, &layout_->centroids);
  const size_t parts = layout_->centroids.size() / stride;
  layout_->moved.resize(parts);
  for (size_t c = 0; c < parts; ++c) {
    const float* centroid = layout_->centroids.data() + c * stride;
    layout_->moved[c] =
        c >= sources_.size() || !std::equal(centroid, centroid + stride,
                                            state.centroids.centroid(sources_[c].posting).begin());
  }
}

// A merge that fills another posting above its maximum would come back as a split, for ever.
bool Rebuild::Mergeable() const {
  const Version::State& state = version_->state();
  const Entries& own = sources_[0].members;
  Centroids others = state.centroids;
  others.Remove(sources_[0].posting);
  others.Encode();
  std::vector<Assignment> assignments;
  Assign(others, own.vectors(), own.size(), SpillRule::Of(state.options), &assignments);
  std::unordered_map<uint32_t, uint32_t> arrivals;
  const auto is_full = [&](uint32_t id) {
    return id != kNowhere &&
           others.posting(id).entries + ++arrivals[id] > state.options.posting_max;
  };
  for (size_t i = 0; i < own.size(); ++i) {
    if (is_full(assignments[i].primary)) return false;
    // Second copies that are elsewhere stay there.
    if (IsAlone(own.word(i)) && is_full(assignments[i].spill)) return false;
  }
  return true;
}

Status Rebuild::Finish(Change* out) {
  if (Status status = AllAdded(layout_->own, sources_.size()); !status.ok()) return status;
  Relocation relocation(*version_, *layout_, &sources_, &counts_);
  relocation.MoveCentroids();
  relocation.FindSettlers();
  relocation.Settle();
  Change change;
  if (task_ == Task::kScrub && !relocation.changes() && counts_.dropped == 0) {
    change.version = version_;
  } else {
    relocation.GatherRest();
    change = relocation.Write();
  }
  if (task_ == Task::kScrub) change.version = change.version->state().Scrubbed(own()[0]);
  *out = std::move(change);
  return {};
}

}  // namespace spfresh
