#include "spfresh/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "candidates.h"
#include "code_kernels.h"
#include "query_code.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Distances are computed in float along different ways: a bound must be clearly exceeded.
constexpr float kBoundSlack = 1.0001F;
// The share of entries that may be found is counted until so many are known, then from a sample:
// every entry's row would cost more than its code.
constexpr uint64_t kVisibleKnown = 256;
constexpr uint32_t kVisibleEvery = 8;
// More hits than k and this many, and a search with a recall target gives only the best of them.
constexpr size_t kHitsSpare = 32;
// Survivors of a scan are sorted when they are more than this: then the best of them, refined
// first, save most of the others from it.
constexpr size_t kSortedMin = 12;
constexpr size_t kCacheLine = 64;

void Prefetch(const uint8_t* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(from + at);
}

}  // namespace

struct Search::Near {
  float distance2;
  uint32_t posting;
  // The order of a heap whose top is the nearest.
  friend bool operator<(const Near& a, const Near& b) {
    return a.distance2 > b.distance2 || (a.distance2 == b.distance2 && a.posting > b.posting);
  }
};

Search::Search(std::shared_ptr<const Version> version, const Request& request)
    : version_(std::move(version)),
      request_(request),
      candidates_(std::make_unique<Candidates>(request.k)) {}

Search::~Search() = default;

Status Search::Begin(std::shared_ptr<const Version> version, std::span<const float> query,
                     const Request& request, std::unique_ptr<Search>* out) {
  const Version::State& state = version->state();
  if (query.size() != state.options.dims) {
    return Status::Invalid("expected " + std::to_string(state.options.dims) + " dimensions, not " +
                           std::to_string(query.size()));
  }
  if (!(request.recall_target > 0 && request.recall_target <= 1)) {
    return Status::Invalid("recall_target must be above 0 and at most 1");
  }
  std::unique_ptr<Search> search(new Search(version, request));
  const uint32_t stride = state.space.stride();
  search->query_.resize(stride);
  if (!state.space.PlaceQuery(query.data(), search->query_.data())) {
    return Status::Invalid("the query has no direction or is too long to be measured");
  }
  const float* placed = search->query_.data();
  Dot(placed, {placed, 1, stride, stride}, &search->query_norm2_);

  if (state.codec.coded()) {
    search->code_ = std::make_unique<QueryCode>(state.codec, state.options.metric, placed,
                                                request.recall_target);
  }

  const Centroids& centroids = state.centroids;
  search->near_.reserve(centroids.count());
  float distances2[kPage];
  for (uint32_t page = 0; page < centroids.pages(); ++page) {
    state.space.ToCentroids(placed, centroids.page(page).rows.data(), kPage, distances2);
    const auto& postings = centroids.posting_page(page).postings;
    for (uint32_t i = 0; i < kPage; ++i) {
      if (postings[i].in_use) search->near_.push_back({distances2[i], page * kPage + i});
    }
  }
  std::make_heap(search->near_.begin(), search->near_.end());
  if (!search->near_.empty()) search->nearest2_ = search->near_.front().distance2;
  *out = std::move(search);
  return {};
}

void Search::Next(uint32_t most, std::vector<uint32_t>* postings) {
  if (request_.k == 0) return;
  for (uint32_t named = 0; named < most && !near_.empty();) {
    const Near next = near_.front();
    if (probes_ >= request_.probes_min && Done(next.distance2)) return;
    std::pop_heap(near_.begin(), near_.end());
    near_.pop_back();
    if (probes_ >= request_.probes_min && CannotHold(next)) continue;
    postings->push_back(next.posting);
    ++probes_;
    ++named;
  }
}

float Search::KthDistance2() const {
  return version_->state().space.Distance2(candidates_->bound(), query_norm2_);
}

bool Search::Done(float next2) const {
  const Stop& stop = version_->state().stop;
  if (!candidates_->full() || request_.recall_target >= 1 || !stop.calibrated()) return false;
  const float kth2 = KthDistance2();
  if (!(kth2 > 0)) return true;
  // Of the rows seen, which share is allowed: the k-th hit lies as deep among all rows as k over
  // that.
  const float depth = static_cast<float>(request_.k) * static_cast<float>(seen_) /
                      static_cast<float>(std::max<uint64_t>(1, visible_count_));
  return Stop::Progress(stop.bias(), next2, nearest2_, kth2) >=
         stop.Threshold(request_.recall_target, depth);
}

// By the triangle inequality. Under the inner product a long vector may lie outside the geometry.
bool Search::CannotHold(const Near& near) const {
  const Version::State& state = version_->state();
  if (!candidates_->full() || state.space.metric() == Metric::kInnerProduct) return false;
  const float radius = state.centroids.posting(near.posting).radius;
  return std::sqrt(near.distance2) >
         kBoundSlack * (radius + std::sqrt(std::max(0.0F, KthDistance2())));
}

bool Search::MayBeFound(uint64_t row, const Allowed* allowed) const {
  return row < request_.below && (allowed == nullptr || allowed->Contains(row));
}

void Search::Score(const Chunk& chunk, const Allowed* allowed) {
  if (!version_->state().Fits(chunk)) return;
  if (code_ == nullptr) {
    ScoreWhole(chunk, allowed);
  } else {
    ScoreCodes(chunk, allowed);
  }
}

void Search::ScoreWhole(const Chunk& chunk, const Allowed* allowed) {
  const std::span<const uint64_t> words = chunk.words();
  visible_.clear();
  for (uint32_t i = 0; i < words.size(); ++i) {
    if (MayBeFound(RowOf(words[i]), allowed)) visible_.push_back(i);
  }
  seen_ += words.size();
  visible_count_ += visible_.size();
  scanned_ += visible_.size();
  if (visible_.empty()) return;

  const Space& space = version_->state().space;
  const float* vectors = chunk.vectors();
  scores_.resize(words.size());
  if (visible_.size() * 4 >= words.size() * 3) {
    space.Scores(query_.data(), vectors, words.size(), scores_.data());
  } else {
    for (const uint32_t i : visible_) {
      space.Scores(query_.data(), vectors + size_t{i} * chunk.stride(), 1, &scores_[i]);
    }
  }
  for (const uint32_t i : visible_) candidates_->Offer(scores_[i], 0, RowOf(words[i]));
}

void Search::CountVisible(const Chunk& chunk, const Allowed* allowed) {
  const uint32_t every = visible_count_ < kVisibleKnown ? 1 : kVisibleEvery;
  for (uint32_t i = 0; i < chunk.size(); i += every) {
    seen_ += every;
    visible_count_ += MayBeFound(RowOf(chunk.words()[i]), allowed) ? every : 0;
  }
}

// First all entries by one bit a coordinate, then by the whole code those of which that leaves open
// whether they are among the k nearest.
void Search::ScoreCodes(const Chunk& chunk, const Allowed* allowed) {
  const Version::State& state = version_->state();
  const uint32_t posting = chunk.kind().posting;
  CountVisible(chunk, allowed);
  scanned_ += chunk.size();

  const QueryCode::Beside beside = code_->PlaceBeside(state.centroids.centroid(posting),
                                                      state.centroids.posting(posting).radius);
  const std::span<const uint64_t> words = chunk.words();
  uint32_t from = 0;
  visible_.clear();
  if (!code_->certain()) {
    const Chunk::Scan scan = chunk.scan();
    scores_.resize(size_t{scan.blocks} * kScanBlock);
    code_->Scan(beside, scan, scores_.data());
    const float bound = candidates_->bound();
    from = std::min(chunk.size(), static_cast<uint32_t>(scores_.size()));
    for (uint32_t i = 0; i < from; ++i) {
      if (!(scores_[i] <= bound) || !MayBeFound(RowOf(words[i]), allowed)) continue;
      visible_.push_back(i);
      Prefetch(chunk.record(i), state.codec.record_bytes());
    }
    if (visible_.size() >= kSortedMin) {
      std::sort(visible_.begin(), visible_.end(),
                [&](uint32_t a, uint32_t b) { return scores_[a] < scores_[b]; });
    }
  }
  const auto refine = [&](uint32_t i) {
    ++refined_;
    const Estimate estimate = code_->Refine(beside, chunk.record(i));
    candidates_->Offer(estimate.score, estimate.error, RowOf(words[i]));
  };
  for (const uint32_t i : visible_) {
    if (scores_[i] <= candidates_->bound()) refine(i);
  }
  for (uint32_t i = from; i < chunk.size(); ++i) {
    if (MayBeFound(RowOf(words[i]), allowed)) refine(i);
  }
}

std::vector<Hit> Search::Hits() const {
  const size_t k = request_.k;
  const size_t most = code_ == nullptr   ? k
                      : code_->certain() ? std::numeric_limits<size_t>::max()
                                         : 2 * k + kHitsSpare;
  const Space& space = version_->state().space;
  std::vector<Hit> hits;
  for (const Candidate& candidate : candidates_->Best(most)) {
    hits.push_back({candidate.row, space.Shown(candidate.score)});
  }
  return hits;
}

}  // namespace spfresh
