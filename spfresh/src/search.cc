#include "spfresh/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Distances are computed in float along different ways: a bound must be clearly exceeded.
constexpr float kBoundSlack = 1.0001F;

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
    : version_(std::move(version)), request_(request) {}

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
  Settle();
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
  return version_->state().space.Distance2(hits_[request_.k - 1].score, query_norm2_);
}

bool Search::Done(float next2) const {
  const Stop& stop = version_->state().stop;
  if (settled_ < request_.k || request_.recall_target >= 1 || !stop.calibrated()) return false;
  const float kth2 = KthDistance2();
  if (!(kth2 > 0)) return true;
  // Of the rows seen, which share is allowed: the k-th hit lies as deep among all rows as k over
  // that.
  const float depth = static_cast<float>(request_.k) * static_cast<float>(seen_) /
                      static_cast<float>(std::max<uint64_t>(1, scanned_));
  return Stop::Progress(stop.bias(), next2, nearest2_, kth2) >=
         stop.Threshold(request_.recall_target, depth);
}

// By the triangle inequality. Under the inner product a long vector may lie outside the geometry.
bool Search::CannotHold(const Near& near) const {
  const Version::State& state = version_->state();
  if (settled_ < request_.k || state.space.metric() == Metric::kInnerProduct) return false;
  const float radius = state.centroids.posting(near.posting).radius;
  return std::sqrt(near.distance2) > kBoundSlack * (radius + std::sqrt(KthDistance2()));
}

void Search::Score(const Chunk& chunk, const Allowed* allowed) {
  const std::span<const uint64_t> words = chunk.words();
  visible_.clear();
  for (uint32_t i = 0; i < words.size(); ++i) {
    const uint64_t row = RowOf(words[i]);
    if (row < request_.below && (allowed == nullptr || allowed->Contains(row))) {
      visible_.push_back(i);
    }
  }
  seen_ += words.size();
  scanned_ += visible_.size();
  if (visible_.empty()) return;

  const Space& space = version_->state().space;
  scores_.resize(words.size());
  if (visible_.size() * 4 >= words.size() * 3) {
    space.Scores(query_.data(), chunk.vectors(), words.size(), scores_.data());
  } else {
    for (const uint32_t i : visible_) {
      space.Scores(query_.data(), chunk.vector(i), 1, &scores_[i]);
    }
  }
  for (const uint32_t i : visible_) Offer(scores_[i], RowOf(words[i]));
}

void Search::Offer(float score, uint64_t row) {
  // NaN is no distance.
  if (!(score <= std::numeric_limits<float>::max())) return;
  if (settled_ == request_.k && Scored{score, row} >= hits_[settled_ - 1]) return;
  hits_.push_back({score, row});
  if (hits_.size() >= settled_ + request_.k + 64) Settle();
}

// Sorts what is new into what is old. The two copies of a row have the same bytes, hence the same
// score to the last bit, and fall together here.
void Search::Settle() {
  if (hits_.size() == settled_) return;
  const auto middle = hits_.begin() + static_cast<ptrdiff_t>(settled_);
  std::sort(middle, hits_.end());
  std::inplace_merge(hits_.begin(), middle, hits_.end());
  hits_.erase(std::unique(hits_.begin(), hits_.end()), hits_.end());
  if (hits_.size() > request_.k) hits_.resize(request_.k);
  settled_ = hits_.size();
}

std::vector<Hit> Search::Hits() const {
  std::vector<Scored> scored = hits_;
  std::sort(scored.begin(), scored.end());
  scored.erase(std::unique(scored.begin(), scored.end()), scored.end());
  if (scored.size() > request_.k) scored.resize(request_.k);
  std::vector<Hit> hits;
  hits.reserve(scored.size());
  for (const Scored& s : scored) {
    hits.push_back({s.row, version_->state().space.Shown(s.score)});
  }
  return hits;
}

}  // namespace spfresh
