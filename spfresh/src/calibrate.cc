#include "spfresh/calibrate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_map>

#include "centroid_order.h"
#include "code_kernels.h"
#include "query_code.h"
#include "random.h"
#include "replay.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

constexpr size_t kQueries = 1024;
// Of these, and of the way to new thresholds, what an index that is followed takes at a time.
constexpr size_t kFollowPart = 4;
constexpr size_t kSamplePerChunk = 4;
// Rows kept of each query's truth: enough for the greatest depth, with both copies.
constexpr size_t kTruth = 1000;
// Queries of the first kinds lie this far off a row, in the difference of two others as unit: among
// rows, nearer, farther.
constexpr std::array<float, Stop::kKinds - 1> kWays = {0.1F, 0.5F, 0.8F};
// Those of the last lie where rows might, but by none of them: so many differences of two rows off
// the mean, each so long that together they vary as rows do.
constexpr size_t kDifferences = 16;
constexpr float kDifference = 0.176777F;
// No row has this number.
constexpr uint64_t kNoRow = ~uint64_t{0};
// How sure the codes are that keep a row out of a query's truth.
constexpr float kSure = 0.99F, kDeviations = 2.5F;

}  // namespace

struct Calibrator::Query {
  size_t kind = 0;
  // That of which it was made, which is no answer: what is asked for is seldom there itself.
  uint64_t row = kNoRow;
  struct Found {
    uint64_t row;
    float score;
    uint32_t posting;
    friend bool operator<(const Found& a, const Found& b) { return a.score < b.score; }
  };
  float norm2 = 0;
  // Null where vectors are kept whole.
  std::unique_ptr<const QueryCode> code;
  // The best kTruth found so far; sorted and cut when twice as many.
  std::vector<Found> found;
  float worst = std::numeric_limits<float>::infinity();

  void Offer(const Found& f) {
    if (!(f.score < worst)) return;
    found.push_back(f);
    if (found.size() < 2 * kTruth) return;
    std::nth_element(found.begin(), found.begin() + kTruth, found.end());
    found.resize(kTruth);
    worst = std::max_element(found.begin(), found.end())->score;
  }
};

Calibrator::Calibrator(std::shared_ptr<const Version> version) : version_(std::move(version)) {}
Calibrator::~Calibrator() = default;

std::unique_ptr<Calibrator> Calibrator::Begin(std::shared_ptr<const Version> version) {
  return std::unique_ptr<Calibrator>(new Calibrator(std::move(version)));
}

std::vector<uint32_t> Calibrator::SamplePostings() const {
  const Centroids& centroids = version_->state().centroids;
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    if (centroids.in_use(id)) ids.push_back(id);
  }
  // Other queries each time that an index is followed.
  Random random(version_->options().seed ^ 0xCA11 ^ (follows() ? version_->entries() : 0));
  for (size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[random.Below(i)]);
  return ids;
}

size_t Calibrator::wanted() const {
  const size_t have = sample_.size() / version_->stride();
  return have >= 3 * most_queries() ? 0 : 3 * most_queries() - have;
}

bool Calibrator::follows() const {
  const Version::State& state = version_->state();
  const Stop& stop = state.stop;
  // An index of which half is other than it was may want other biases.
  return stop.Suits(version_->entries()) &&
         2 * (state.reshaped + state.changed) <= version_->entries();
}

size_t Calibrator::most_queries() const { return follows() ? kQueries / kFollowPart : kQueries; }

void Calibrator::AddSample(const Chunk& chunk) {
  Random random(version_->options().seed ^ sample_.size());
  const size_t most = std::min<size_t>({kSamplePerChunk, wanted(), chunk.size()});
  const Version::State& state = version_->state();
  if (!state.Fits(chunk)) return;
  const std::vector<float> centroid = state.centroids.centroid(chunk.kind().posting);
  for (size_t i = 0; i < most; ++i) {
    const auto entry = static_cast<uint32_t>(random.Below(chunk.size()));
    sample_.resize(sample_.size() + chunk.stride());
    state.codec.Decode(chunk.record(entry), centroid.data(),
                       sample_.data() + sample_.size() - chunk.stride());
    sample_rows_.push_back(RowOf(chunk.words()[entry]));
  }
}

// Most are a row pushed off by the difference of two others: outside the data, as queries are, but
// in the directions in which the data varies. The three are thirds of the sample apart. Where there
// are clusters these are by one of them; the last kind is by none.
void Calibrator::MakeQueries() {
  const Space& space = version_->state().space;
  const size_t stride = space.stride(), count = sample_.size() / stride;
  const size_t triples = count / 3;
  std::vector<float> mean(stride), off(stride), vector(space.dims());
  for (size_t i = 0; i < sample_.size(); ++i) mean[i % stride] += sample_[i];
  for (float& x : mean) x /= static_cast<float>(std::max<size_t>(1, count));
  Random random(version_->options().seed ^ 0x0FF);
  const auto add = [&](size_t a, size_t b, float share) {
    const float *to = sample_.data() + a * stride, *from = sample_.data() + b * stride;
    for (size_t j = 0; j < stride; ++j) off[j] += share * (to[j] - from[j]);
  };
  for (size_t i = 0; i < triples; ++i) {
    Query query;
    query.kind = i % Stop::kKinds;
    if (query.kind < kWays.size()) {
      std::copy_n(sample_.data() + i * stride, stride, off.data());
      add(i + triples, i + 2 * triples, kWays[query.kind]);
      query.row = sample_rows_[i];
    } else {
      off = mean;
      for (size_t d = 0; d < kDifferences; ++d) {
        add(random.Below(count), random.Below(count), kDifference);
      }
    }
    space.Recover(off.data(), vector.data());
    places_.resize((queries_.size() + 1) * stride);
    float* place = places_.data() + queries_.size() * stride;
    if (!space.PlaceQuery(vector.data(), place)) continue;
    Dot(place, {place, 1, stride, stride}, &query.norm2);
    queries_.push_back(std::move(query));
  }
  places_.resize(queries_.size() * stride);
  const Codec& codec = version_->state().codec;
  for (size_t q = 0; q < queries_.size() && codec.coded(); ++q) {
    queries_[q].code =
        std::make_unique<QueryCode>(codec, space.metric(), places_.data() + q * stride, kSure);
  }
}

Status Calibrator::AddPosting(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  const Version::State& state = version_->state();
  if (!state.Fits(chunk) || chunk.kind().posting != posting || live.size() != chunk.size()) {
    return Status::Internal("a chunk does not fit the calibration");
  }
  if (queries_.empty()) MakeQueries();
  if (state.codec.coded()) {
    OfferCodes(posting, chunk, live);
  } else {
    OfferVectors(posting, chunk, live);
  }
  return {};
}

// By one bit a coordinate, and the whole code where that leaves it open.
void Calibrator::OfferCodes(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  const Version::State& state = version_->state();
  const std::vector<float> centroid = state.centroids.centroid(posting);
  const Chunk::Scan scan = chunk.scan();
  const Words words = chunk.words();
  const auto in_blocks = static_cast<uint32_t>(scan.blocks * kScanBlock);
  std::vector<float> lows(in_blocks);
  std::vector<uint32_t> within(scan.blocks);
  for (Query& query : queries_) {
    const QueryCode::Beside beside = query.code->PlaceBeside(centroid.data(), 0);
    const auto offer = [&](uint32_t i) {
      if (live[i] == 0 || RowOf(words[i]) == query.row) return;
      query.Offer({RowOf(words[i]), query.code->Refine(beside, chunk.record(i)).score, posting});
    };
    query.code->ScanWithin(kDeviations, beside, scan, query.worst, lows.data(), within.data());
    for (uint32_t block = 0; block < scan.blocks; ++block) {
      for (uint32_t rest = within[block]; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<uint32_t>(block * kScanBlock + std::countr_zero(rest));
        if (i < words.size() && lows[i] < query.worst) offer(i);
      }
    }
    for (uint32_t i = in_blocks; i < words.size(); ++i) offer(i);
  }
}

void Calibrator::OfferVectors(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  const Space& space = version_->state().space;
  const size_t stride = space.stride(), n = chunk.size();
  std::vector<float> scores(n);
  for (size_t q = 0; q < queries_.size(); ++q) {
    space.Scores(places_.data() + q * stride, chunk.vectors(), n, scores.data());
    for (size_t i = 0; i < n; ++i) {
      const uint64_t row = RowOf(chunk.words()[i]);
      if (live[i] != 0 && row != queries_[q].row) queries_[q].Offer({row, scores[i], posting});
    }
  }
}

// Nothing was learned; what changed so far is no reason to try again.
std::shared_ptr<const Version> Calibrator::Unchanged() const {
  Version::State next = version_->state();
  next.reshaped += next.changed;
  next.changed = 0;
  return Seal(std::move(next));
}

std::shared_ptr<const Version> Calibrator::Finish() {
  const Version::State& state = version_->state();
  const Centroids& centroids = state.centroids;
  if (queries_.size() < 8) return Unchanged();

  std::array<Replays, Stop::kDepths.size()> replays;
  uint64_t held = (sample_.capacity() + places_.capacity()) * sizeof(float);
  for (const Query& query : queries_) held += query.found.capacity() * sizeof(Query::Found);
  std::vector<Replay::Visit> order;
  std::vector<uint32_t> rank_of(centroids.capacity());
  for (size_t q = 0; q < queries_.size(); ++q) {
    order.clear();
    CentroidOrder nearest(centroids, state.space, places_.data() + q * centroids.stride(), nullptr);
    while (const CentroidOrder::Near* near = nearest.Nearest()) {
      rank_of[near->posting] = static_cast<uint32_t>(order.size());
      order.push_back({near->distance2, centroids.posting(near->posting).entries});
      nearest.Pop();
    }
    if (order.empty()) continue;

    // The truth: its nearest rows in order, each with the rank of the first posting that has it.
    auto& found = queries_[q].found;
    std::sort(found.begin(), found.end());
    std::vector<float> truth2;
    std::vector<uint32_t> ranks;
    std::unordered_map<uint64_t, size_t> at;
    for (const Query::Found& f : found) {
      const auto [known, is_new] = at.try_emplace(f.row, truth2.size());
      if (is_new) {
        truth2.push_back(state.space.Distance2(f.score, queries_[q].norm2));
        ranks.push_back(rank_of[f.posting]);
      } else {
        ranks[known->second] = std::min(ranks[known->second], rank_of[f.posting]);
      }
    }
    std::vector<std::vector<uint32_t>> found_at(order.size());
    for (uint32_t i = 0; i < ranks.size(); ++i) found_at[ranks[i]].push_back(i);
    for (size_t d = 0; d < Stop::kDepths.size(); ++d) {
      const auto k = static_cast<size_t>(Stop::kDepths[d]);
      // Deeper than a small index goes: its search would read all anyway.
      if (truth2.size() < k || k * 4 > state.entries) continue;
      replays[d][queries_[q].kind].emplace_back(k, order, truth2, found_at);
      held += replays[d][queries_[q].kind].back().bytes();
    }
    held_most_ = std::max(held_most_, held);
    held -= found.capacity() * sizeof(Query::Found);
    std::vector<Query::Found>().swap(found);
  }

  if (!EnoughReplays(replays[0])) return Unchanged();
  const Stop::Rules rules =
      FindRules(std::move(replays), follows() ? &state.stop.rules() : nullptr);
  Version::State next = state;
  next.reshaped = follows() ? state.reshaped + state.changed : 0;
  next.changed = 0;
  next.stop = follows() ? state.stop.Toward(rules, 1.0F / kFollowPart) : Stop(rules, state.entries);
  return Seal(std::move(next));
}

}  // namespace spfresh
