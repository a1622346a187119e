#include "spfresh/verify.h"

#include <algorithm>
#include <cmath>

#include "assign.h"
#include "entries.h"
#include "query_code.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Distances are computed in float along different ways.
constexpr float kSlack = 1.001F;
// How sure the bounds are whose failures are counted.
constexpr float kTarget = 0.99F;

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

float Norm(const float* vector, size_t stride) {
  float norm2;
  Dot(vector, {vector, 1, stride, stride}, &norm2);
  return std::sqrt(norm2);
}

}  // namespace

Verifier::Verifier(std::shared_ptr<const Version> version) : version_(std::move(version)) {}
Verifier::~Verifier() = default;

std::unique_ptr<Verifier> Verifier::Begin(std::shared_ptr<const Version> version) {
  return std::unique_ptr<Verifier>(new Verifier(std::move(version)));
}

Status Verifier::AddChunk(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  const Version::State& state = version_->state();
  Posting& count = counted_[posting];
  count.entries += chunk.size();
  found_.entries += chunk.size();
  for (const uint64_t word : chunk.words()) count.primaries += IsSpilled(word) ? 0 : 1;
  found_.largest = std::max(found_.largest, count.entries);
  if (live.size() != chunk.size() || !chunk.has_records() || chunk.kind().posting != posting) {
    return Status::Internal("a chunk does not fit the check of posting " + std::to_string(posting));
  }
  for (uint32_t i = 0; i < chunk.size(); ++i) found_.dead += live[i] == 0 ? 1 : 0;
  // Of a posting without a centroid, which is a fault of its own, nothing can be measured.
  if (!state.Fits(chunk)) return {};

  const size_t stride = state.space.stride();
  const std::vector<float> row = state.centroids.centroid(posting);
  const float* centroid = row.data();
  const float* vectors = VectorsOf(state.codec, chunk, centroid, &decoded_);
  std::vector<float> distances2(chunk.size());
  L2Squared(centroid, {vectors, chunk.size(), stride, stride}, distances2.data());
  const float radius = state.centroids.posting(posting).radius;
  // What an insert measured before it was coded may lie a little farther off as decoded; the radius
  // must hold the vector, so that far an entry is given its error.
  std::vector<float> firsts;
  for (uint32_t i = 0; i < chunk.size(); ++i) {
    float error = 0;
    if (state.codec.coded()) {
      error = Codec::FactorsOf(chunk.record(i)).error;
    }
    if (std::sqrt(distances2[i]) > kSlack * (radius + error) + 1e-6F) ++found_.outside;
    if (IsSpilled(chunk.words()[i])) continue;
    count.spread += distances2[i];
    if (live[i] == 0) continue;
    firsts.insert(firsts.end(), vectors + i * stride, vectors + (i + 1) * stride);
  }
  if (firsts.empty()) return {};
  std::vector<Assignment> to;
  Assign(state.centroids, firsts.data(), firsts.size() / stride, {}, &to, Care::kSure);
  for (size_t i = 0; i < to.size(); ++i) {
    ++found_.placed;
    if (to[i].primary == posting) continue;
    // Of centroids that are equally near, either will do.
    const float own2 = Distance2(centroid, firsts.data() + i * stride, stride);
    if (std::sqrt(own2) > kSlack * std::sqrt(to[i].primary_distance2)) ++found_.misplaced;
  }
  return {};
}

Status Verifier::Compare(const Chunk& chunk, uint32_t entry, std::span<const float> vector,
                         std::span<const float> query) {
  const Version::State& state = version_->state();
  if (!state.Fits(chunk) || !chunk.has_records() || entry >= chunk.size() ||
      vector.size() != state.options.dims || query.size() != state.options.dims) {
    return Status::Internal("an entry does not fit the comparison with its vector");
  }
  const size_t stride = state.space.stride();
  std::vector<float> place(stride), query_place(stride), decoded(stride);
  if (!state.space.Place(vector.data(), place.data())) return {};
  const uint32_t posting = chunk.kind().posting;
  const std::vector<float> row = state.centroids.centroid(posting);
  const float* centroid = row.data();
  const float error = state.codec.Decode(chunk.record(entry), centroid, decoded.data());
  ++found_.compared;
  const float off = std::sqrt(Distance2(place.data(), decoded.data(), stride));
  if (off > kSlack * error + 1e-5F * Norm(place.data(), stride)) ++found_.untrue;

  if (!state.codec.coded() || !state.space.PlaceQuery(query.data(), query_place.data())) return {};
  const QueryCode code(state.codec, state.options.metric, query_place.data(), kTarget);
  const Estimate estimate = code.Refine(
      code.PlaceBeside(centroid, state.centroids.posting(posting).radius), chunk.record(entry));
  float score;
  if (state.options.metric == Metric::kInnerProduct) {
    Dot(query_place.data(), {place.data(), 1, stride, stride}, &score);
    score = -score;
  } else {
    score = Distance2(query_place.data(), place.data(), stride);
  }
  ++found_.estimates;
  if (!(std::fabs(score - estimate.score) <= estimate.error)) ++found_.unbounded;
  return {};
}

uint32_t Verifier::Overfull() const {
  const Centroids& centroids = version_->state().centroids;
  const uint32_t most = 2 * version_->options().posting_max;
  uint32_t overfull = 0;
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    const Posting& posting = centroids.posting(id);
    if (posting.in_use && posting.entries > most && posting.entries >= 2 * posting.stuck)
      ++overfull;
  }
  return overfull;
}

uint32_t Verifier::Misspread() const {
  const Version::State& state = version_->state();
  // What was inserted was measured before it was coded.
  const float loose = state.codec.coded() ? 0.1F : 0.01F;
  uint32_t misspread = 0;
  for (const auto& [id, count] : counted_) {
    if (!state.centroids.in_use(id)) continue;
    const float off = std::fabs(count.spread - state.centroids.posting(id).spread);
    if (off > loose * (count.spread + 1)) ++misspread;
  }
  return misspread;
}

std::vector<std::string> Verifier::Faults() const {
  const Centroids& centroids = version_->state().centroids;
  std::vector<std::string> faults;
  const auto fault = [&](std::string sentence) {
    if (faults.size() < kFaultsMax) faults.push_back(std::move(sentence));
  };
  uint64_t entries = 0;
  uint32_t in_use = 0;
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    if (!centroids.in_use(id)) continue;
    ++in_use;
    const Posting& posting = centroids.posting(id);
    entries += posting.entries;
    const auto found = counted_.find(id);
    const Posting count = found == counted_.end() ? Posting{} : found->second;
    if (posting.entries > 0 && found == counted_.end()) {
      fault("posting " + std::to_string(id) + " is lost");
    } else if (count.entries != posting.entries || count.primaries != posting.primaries) {
      fault("posting " + std::to_string(id) + " has " + std::to_string(count.entries) +
            " entries, " + std::to_string(count.primaries) +
            " of them first copies; its centroid counts " + std::to_string(posting.entries) +
            " and " + std::to_string(posting.primaries));
    } else if (posting.unrefined > posting.primaries) {
      fault("posting " + std::to_string(id) + " has more new first copies than it has");
    }
  }
  for (const auto& [id, count] : counted_) {
    if (!centroids.in_use(id)) fault("posting " + std::to_string(id) + " has no centroid");
  }
  if (in_use != centroids.count()) {
    fault(std::to_string(in_use) + " postings are in use, the index says " +
          std::to_string(centroids.count()));
  }
  if (found_.entries != version_->entries() || entries != version_->entries()) {
    fault(std::to_string(found_.entries) + " entries are counted, the index says " +
          std::to_string(version_->entries()));
  }
  if (std::string wrong = centroids.TreeFault(); !wrong.empty()) fault(std::move(wrong));
  return faults;
}

}  // namespace spfresh
