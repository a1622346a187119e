#include "spfresh/search.h"

#include <algorithm>
#include <array>
#include <bit>
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
// The share of entries that may be found is counted until so many are known, then from a sample of
// each chunk: every entry's row would cost more than its code.
constexpr uint64_t kVisibleKnown = 256;
constexpr size_t kVisibleSample = 8;
// Into which centroids are sorted by distance.
constexpr size_t kBuckets = 256;
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

// A posting whose centroid is measured.
struct Search::Near {
  float distance2;
  uint32_t posting;
  // The order of a heap whose top is the nearest.
  friend bool operator<(const Near& a, const Near& b) {
    return a.distance2 > b.distance2 || (a.distance2 == b.distance2 && a.posting > b.posting);
  }
};

// A posting whose centroid was scanned.
struct Search::Far {
  // A bound of its distance, and one for all that come behind it.
  float low2;
  float least2;
  uint32_t posting;
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

  search->ScanCentroids();
  search->SortFar();
  if (const Near* nearest = search->Nearest()) search->nearest2_ = nearest->distance2;
  *out = std::move(search);
  return {};
}

void Search::ScanCentroids() {
  const Version::State& state = version_->state();
  const Centroids& centroids = state.centroids;
  const bool by_codes = code_ != nullptr && !code_->certain();
  const bool is_product = state.space.metric() == Metric::kInnerProduct;
  const float bound2 = state.space.norm_bound() * state.space.norm_bound();
  far_.reserve(centroids.count());
  for (uint32_t page = 0; page < centroids.pages(); ++page) {
    const CentroidPage& rows = centroids.page(page);
    const auto& postings = centroids.posting_page(page).postings;
    if (!by_codes || rows.codes == nullptr) {
      float distances2[kPage];
      state.space.ToCentroids(query_.data(), rows.rows.data(), kPage, distances2);
      for (uint32_t i = 0; i < kPage; ++i) {
        if (postings[i].in_use) far_.push_back({distances2[i], 0, page * kPage + i});
      }
      continue;
    }
    const Chunk::Scan scan = rows.codes->scan();
    float low[kPage] = {};
    uint32_t within[kPage / kScanBlock];
    code_->ScanSafely(code_->PlaceBeside(rows.mean.data(), 0), scan, low, within);
    const std::span<const uint64_t> words = rows.codes->words();
    for (uint32_t i = 0; i < words.size(); ++i) {
      const auto id = static_cast<uint32_t>(words[i]);
      if (!postings[id % kPage].in_use) continue;
      if (i >= scan.blocks * kScanBlock) {
        far_.push_back({ToCentroid(id), 0, id});
      } else if (is_product) {
        const float norm2 = std::min(rows.norm2[id % kPage], bound2);
        far_.push_back({query_norm2_ + norm2 + 2 * low[i], 0, id});
      } else {
        far_.push_back({low[i], 0, id});
      }
    }
  }
}

float Search::ToCentroid(uint32_t posting) const {
  const Version::State& state = version_->state();
  float distance2;
  state.space.ToCentroids(query_.data(), state.centroids.centroid(posting), 1, &distance2);
  return distance2;
}

// By counting, into buckets of like bounds: most postings are never looked at again, and their
// order would be dear.
void Search::SortFar() {
  if (far_.empty()) return;
  float least = std::numeric_limits<float>::infinity(), most = -least;
  for (const Far& far : far_) {
    least = std::min(least, far.low2);
    most = std::max(most, far.low2);
  }
  const float scale = most > least ? static_cast<float>(kBuckets - 1) / (most - least) : 0.0F;
  const auto bucket_of = [&](const Far& far) {
    return std::min(kBuckets - 1, static_cast<size_t>((far.low2 - least) * scale));
  };
  std::array<uint32_t, kBuckets + 1> from{};
  std::array<float, kBuckets> least_of;
  least_of.fill(most);
  for (const Far& far : far_) {
    const size_t bucket = bucket_of(far);
    ++from[bucket + 1];
    least_of[bucket] = std::min(least_of[bucket], far.low2);
  }
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) from[bucket + 1] += from[bucket];
  std::vector<Far> sorted(far_.size());
  for (const Far& far : far_) {
    const size_t bucket = bucket_of(far);
    sorted[from[bucket]++] = {far.low2, least_of[bucket], far.posting};
  }
  far_ = std::move(sorted);
}

// The nearest posting that was not named yet; null when all were.
const Search::Near* Search::Nearest() {
  const bool by_codes = code_ != nullptr && !code_->certain();
  for (; measured_ < far_.size(); ++measured_) {
    const Far& far = far_[measured_];
    if (!near_.empty() && near_.front().distance2 < far.least2) break;
    near_.push_back({by_codes ? ToCentroid(far.posting) : far.low2, far.posting});
    std::push_heap(near_.begin(), near_.end());
  }
  return near_.empty() ? nullptr : &near_.front();
}

void Search::Next(uint32_t most, std::vector<uint32_t>* postings) {
  if (request_.k == 0) return;
  for (uint32_t named = 0; named < most;) {
    const Near* nearest = Nearest();
    if (nearest == nullptr) return;
    const Near next = *nearest;
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
  const std::span<const uint64_t> words = chunk.words();
  // Of the sample, one line of the cache for a chunk, and not always the same.
  const bool all = visible_count_ < kVisibleKnown;
  const size_t from = all ? 0 : probes_ * kVisibleSample % words.size();
  const size_t end = all ? words.size() : std::min(words.size(), from + kVisibleSample);
  size_t visible = 0;
  for (size_t i = from; i < end; ++i) visible += MayBeFound(RowOf(words[i]), allowed) ? 1 : 0;
  seen_ += words.size();
  visible_count_ += words.size() * visible / (end - from);
}

// First all entries by one bit a coordinate, then by the whole code those of which that leaves open
// whether they are among the k nearest.
void Search::ScoreCodes(const Chunk& chunk, const Allowed* allowed) {
  const Version::State& state = version_->state();
  const uint32_t posting = chunk.kind().posting;
  scanned_ += chunk.size();

  const QueryCode::Beside beside = code_->PlaceBeside(state.centroids.centroid(posting),
                                                      state.centroids.posting(posting).radius);
  const std::span<const uint64_t> words = chunk.words();
  const size_t record_bytes = state.codec.record_bytes();
  const uint8_t* const records = chunk.records().data();
  const auto refine = [&](uint32_t i) {
    ++refined_;
    const Estimate estimate = code_->Refine(beside, records + i * record_bytes);
    candidates_->Offer(estimate.score, estimate.error, RowOf(words[i]));
  };
  uint32_t scanned = 0;
  if (!code_->certain()) {
    const Chunk::Scan scan = chunk.scan();
    scanned = std::min(chunk.size(), scan.blocks * static_cast<uint32_t>(kScanBlock));
    scores_.resize(scan.blocks * kScanBlock);
    within_.resize(scan.blocks);
    code_->Scan(beside, scan, candidates_->bound(), scores_.data(), within_.data());
    visible_.clear();
    for (uint32_t block = 0; block < scan.blocks; ++block) {
      for (uint32_t rest = within_[block]; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<uint32_t>(block * kScanBlock + std::countr_zero(rest));
        // What fills up the last block is infinitely far, and so is the bound at first.
        if (i >= scanned || !MayBeFound(RowOf(words[i]), allowed)) continue;
        visible_.push_back(i);
        Prefetch(records + i * record_bytes, record_bytes);
      }
    }
    if (visible_.size() >= kSortedMin) {
      std::sort(visible_.begin(), visible_.end(),
                [&](uint32_t a, uint32_t b) { return scores_[a] < scores_[b]; });
    }
    for (const uint32_t i : visible_) {
      if (scores_[i] <= candidates_->bound()) refine(i);
    }
  }
  for (uint32_t i = scanned; i < words.size(); ++i) {
    if (MayBeFound(RowOf(words[i]), allowed)) refine(i);
  }
  CountVisible(chunk, allowed);
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
