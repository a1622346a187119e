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
// At 1 and above the thresholds of the sample say little about other queries.
constexpr std::array<float, 5> kBiases = {0, 0.2F, 0.4F, 0.6F, 0.8F};
// Queries lie this far off a row, in the difference of two others as unit: among rows, nearer,
// farther.
constexpr std::array<float, 3> kWays = {0.1F, 0.5F, 0.8F};
constexpr size_t kEnough = 8;
// Of the answer, what may usually be missed.
constexpr float kUsualMissMax = 0.1F, kUsualMissMin = 0.01F;
// How sure the codes are that keep a row out of a query's truth.
constexpr float kSure = 0.99F, kDeviations = 2.5F;
// The share of the queries whose k-th hit shall lie within reach. A search by what is within reads
// more than most need, and less than some.
constexpr double kWithinReach = 0.8;
// Of the allowed miss, what the sample may use up: all but so much, and at least this share. The
// rest is for queries harder than it.
constexpr double kMissSpare = 0.03;
constexpr double kMissShare = 0.5;

}  // namespace

struct Calibrator::Query {
  size_t way = 0;
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

namespace {

// How one search would have gone, probe by probe. The steps that are kept are those after which
// another of the true k is found, so that where a search stops says exactly what it has found, and
// of the others one for each kReadPart of what was read: by so much its reading may be overstated.
// A replay is thus as long as its depth and a logarithm, not as there are postings.
struct Replay {
  struct Step {
    // The squared distances of the next posting and of the nearest, in that of the k-th hit.
    float next;
    float nearest;
    // Of the true k.
    float share;
    uint64_t read;
  };
  std::vector<Step> steps;

  void Add(const Step& step) {
    if (step.share > last_.share || last_.read - kept_ >= kept_ / kReadPart) Keep();
    last_ = step;
  }
  void End() {
    steps.push_back(last_);
    steps.shrink_to_fit();
  }

 private:
  static constexpr uint64_t kReadPart = 32;

  // Nobody stops before there is any progress.
  void Keep() {
    if (last_.next <= 0) return;
    steps.push_back(last_);
    kept_ = last_.read;
  }

  // The step before, and what had been read at the last that was kept.
  Step last_{};
  uint64_t kept_ = 0;
};

// The mean share found and entries read if all had stopped there.
std::pair<double, double> StopAt(const std::vector<Replay>& replays, const Stop::Limit& limit) {
  double share = 0, read = 0;
  for (const Replay& replay : replays) {
    // Progress only grows.
    const auto before = [&](const Replay::Step& step) {
      return !limit.Reached(step.next, step.nearest, 1);
    };
    const auto stop = std::partition_point(replay.steps.begin(), replay.steps.end() - 1, before);
    share += static_cast<double>(stop->share);
    read += static_cast<double>(stop->read);
  }
  const auto n = static_cast<double>(replays.size());
  return {share / n, read / n};
}

float FindThreshold(const std::vector<Replay>& replays, float bias, double share) {
  float low = 0, high = 1;
  while (high < 1e6F && StopAt(replays, {bias, high}).first < share) high *= 2;
  for (int i = 0; i < 24; ++i) {
    const float middle = (low + high) / 2;
    (StopAt(replays, {bias, middle}).first < share ? low : high) = middle;
  }
  return high;
}

// The replays of one depth, apart by the way of their queries.
using Ways = std::array<std::vector<Replay>, kWays.size()>;

bool Enough(const Ways& ways) {
  return std::all_of(ways.begin(), ways.end(),
                     [](const auto& replays) { return replays.size() >= kEnough; });
}

// At which every way has found the share: the kinds of queries to come are not known.
float FindThreshold(const Ways& ways, float bias, double share) {
  float most = 0;
  for (const auto& replays : ways) most = std::max(most, FindThreshold(replays, bias, share));
  return most;
}

double Read(const Ways& ways, const Stop::Limit& limit) {
  double read = 0;
  for (const auto& replays : ways) read += StopAt(replays, limit).second;
  return read;
}

// The share to be found where so much may be missed.
double Aim(double miss) { return 1.0 - std::max(kMissShare * miss, miss - kMissSpare); }

// With these thresholds for a bias.
Stop::Rule RuleFor(const Ways& ways, float bias) {
  Stop::Rule rule;
  rule.bias = bias;
  for (size_t m = 0; m < Stop::kMisses.size(); ++m) {
    rule.thresholds[m] = FindThreshold(ways, bias, Aim(Stop::kMisses[m]));
  }
  return rule;
}

// Whose bias reads least for the usual wishes together: for one alone that would be whose sample
// was the luckiest.
Stop::Rule BestRule(const Ways& ways) {
  Stop::Rule best;
  double least = std::numeric_limits<double>::infinity();
  for (const float bias : kBiases) {
    const Stop::Rule rule = RuleFor(ways, bias);
    double read = 0;
    for (size_t m = 0; m < Stop::kMisses.size(); ++m) {
      if (Stop::kMisses[m] > kUsualMissMax || Stop::kMisses[m] < kUsualMissMin) continue;
      read += std::log(Read(ways, {bias, rule.thresholds[m]}));
    }
    if (read < least) best = rule;
    least = std::min(least, read);
  }
  return best;
}

// What most are at most.
float Within(std::vector<float>* reaches) {
  if (reaches->empty()) return 1;
  const auto place =
      static_cast<ptrdiff_t>(kWithinReach * static_cast<double>(reaches->size() - 1));
  std::nth_element(reaches->begin(), reaches->begin() + place, reaches->end());
  return (*reaches)[static_cast<size_t>(place)];
}

}  // namespace

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
  }
}

// A row pushed off by the difference of two others: outside the data, as queries are, but in the
// directions in which the data varies. The three are thirds of the sample apart.
void Calibrator::MakeQueries() {
  const Space& space = version_->state().space;
  const size_t stride = space.stride(), dims = space.dims();
  const size_t triples = sample_.size() / stride / 3;
  std::vector<float> off(stride), vector(dims);
  for (size_t i = 0; i < triples; ++i) {
    const float* row = sample_.data() + i * stride;
    const float* a = sample_.data() + (i + triples) * stride;
    const float* b = sample_.data() + (i + 2 * triples) * stride;
    const size_t way = i % kWays.size();
    for (size_t j = 0; j < stride; ++j) off[j] = row[j] + kWays[way] * (a[j] - b[j]);
    space.Recover(off.data(), vector.data());
    places_.resize((queries_.size() + 1) * stride);
    float* place = places_.data() + queries_.size() * stride;
    if (!space.PlaceQuery(vector.data(), place)) continue;
    Query query;
    query.way = way;
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
      if (live[i] == 0) return;
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
      if (live[i] != 0) queries_[q].Offer({RowOf(chunk.words()[i]), scores[i], posting});
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

  // Each query's truth: its nearest rows in order, each with the rank of the first posting that has
  // it.
  std::array<Ways, Stop::kDepths.size()> replays;
  // Of each query, the true k-th hit's squared distance in the nearest centroid's.
  std::array<std::vector<float>, Stop::kDepths.size()> reaches;
  struct Ranked {
    float distance2;
    uint32_t posting;
  };
  struct Truth {
    float distance2;
    uint32_t rank;
  };
  uint64_t held = (sample_.capacity() + places_.capacity()) * sizeof(float);
  for (const Query& query : queries_) held += query.found.capacity() * sizeof(Query::Found);
  std::vector<Ranked> order;
  for (size_t q = 0; q < queries_.size(); ++q) {
    order.clear();
    CentroidOrder nearest(centroids, state.space, places_.data() + q * centroids.stride(), nullptr);
    while (const CentroidOrder::Near* near = nearest.Nearest()) {
      order.push_back({near->distance2, near->posting});
      nearest.Pop();
    }
    std::unordered_map<uint32_t, uint32_t> rank_of;
    for (uint32_t i = 0; i < order.size(); ++i) rank_of[order[i].posting] = i;

    auto& found = queries_[q].found;
    std::sort(found.begin(), found.end());
    std::vector<Truth> truth;
    std::unordered_map<uint64_t, size_t> at;
    for (const Query::Found& f : found) {
      const uint32_t rank = rank_of.at(f.posting);
      const auto [known, is_new] = at.try_emplace(f.row, truth.size());
      if (is_new) {
        truth.push_back({state.space.Distance2(f.score, queries_[q].norm2), rank});
      } else {
        truth[known->second].rank = std::min(truth[known->second].rank, rank);
      }
    }
    // By rank: who is found at which step.
    std::vector<std::vector<uint32_t>> found_at(order.size());
    for (uint32_t i = 0; i < truth.size(); ++i) found_at[truth[i].rank].push_back(i);
    for (size_t d = 0; d < Stop::kDepths.size(); ++d) {
      const auto k = static_cast<size_t>(Stop::kDepths[d]);
      // Deeper than a small index goes: its search would read all anyway.
      if (truth.size() < k || k * 4 > state.entries) continue;
      Replay replay;
      std::vector<bool> have(truth.size());
      uint64_t read = 0;
      size_t count = 0, right = 0, kth = truth.size();
      for (uint32_t t = 0; t < order.size(); ++t) {
        read += centroids.posting(order[t].posting).entries;
        for (const uint32_t i : found_at[t]) {
          have[i] = true;
          ++count;
          right += i < k ? 1 : 0;
          // The k-th of those found moves down as better ones come.
          if (count == k) {
            kth = 0;
            for (size_t seen = 0; (seen += have[kth] ? 1 : 0) < k;) ++kth;
          } else if (count > k && i < kth) {
            while (!have[--kth]) {
            }
          }
        }
        Replay::Step step{};
        const float kth2 = count < k ? 0 : truth[kth].distance2;
        if (t + 1 == order.size() || (count >= k && !(kth2 > 0))) {
          step.next = std::numeric_limits<float>::max();
        } else if (count >= k) {
          step.next = order[t + 1].distance2 / kth2;
          step.nearest = order[0].distance2 / kth2;
        }
        step.share = static_cast<float>(right) / static_cast<float>(k);
        step.read = read;
        replay.Add(step);
      }
      if (order.empty()) continue;
      if (order[0].distance2 > 0) reaches[d].push_back(truth[k - 1].distance2 / order[0].distance2);
      replay.End();
      held += replay.steps.capacity() * sizeof(Replay::Step);
      replays[d][queries_[q].way].push_back(std::move(replay));
    }
    held_most_ = std::max(held_most_, held);
    held -= found.capacity() * sizeof(Query::Found);
    std::vector<Query::Found>().swap(found);
  }

  if (!Enough(replays[0])) return Unchanged();
  Stop::Rules rules;
  for (size_t d = 0; d < rules.size(); ++d) {
    if (!Enough(replays[d])) {
      // Without a sample so deep: as before it.
      rules[d] = rules[d - 1];
    } else if (follows()) {
      rules[d] = RuleFor(replays[d], state.stop.rules()[d].bias);
    } else {
      rules[d] = BestRule(replays[d]);
    }
    if (Enough(replays[d])) rules[d].reach = Within(&reaches[d]);
  }
  Version::State next = state;
  next.reshaped = follows() ? state.reshaped + state.changed : 0;
  next.changed = 0;
  next.stop = follows() ? state.stop.Toward(rules, 1.0F / kFollowPart) : Stop(rules, state.entries);
  return Seal(std::move(next));
}

}  // namespace spfresh
