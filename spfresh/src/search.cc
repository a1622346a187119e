#include "spfresh/search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "candidates.h"
#include "centroid_order.h"
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
// More hits than k and this many, and a search with a recall target gives only the best of them.
constexpr size_t kHitsSpare = 32;
// Under a filter of which a share s may be found, the number of hits in a part of what is seen has
// the relative deviation sqrt((1 - s) / k): so many of these are waited for.
constexpr float kLateDeviations = 4;
// And of the miss that is allowed, so much is used up where it leaves hardly a row, and the more
// the more it leaves: no sample was like these rows.
constexpr float kFilteredMiss = 0.75F;
// Survivors of a scan are sorted when they are more than this: then the best of them, refined
// first, save most of the others from it.
constexpr size_t kSortedMin = 12;
constexpr size_t kCacheLine = 64;
// Among so many postings it is cheaper to look for a distance than to measure it again.
constexpr size_t kNamedLately = 64;
// Of entries whose records are not there, so many are wanted at once, and so many more for each of
// k.
constexpr size_t kOpenMost = 96;
constexpr size_t kOpenShare = 4;

// The query of "code" beside a posting, whose distance is known when it was named not long ago.
QueryCode::Beside PlaceBeside(const Version::State& state, const QueryCode& code, uint32_t posting,
                              std::span<const uint32_t> named, std::span<const float> named2) {
  const float radius = state.centroids.posting(posting).radius;
  if (!code.certain() && state.space.metric() != Metric::kInnerProduct) {
    const size_t end = named.size(), from = end - std::min(end, kNamedLately);
    for (size_t i = end; i-- > from;) {
      if (named[i] == posting) return QueryCode::Beside::At(named2[i], radius);
    }
  }
  return code.PlaceBeside(state.centroids.centroid(posting).data(), radius);
}

Status Misfit(const Chunk& chunk) {
  return Status::Corrupt("a chunk of posting " + std::to_string(chunk.kind().posting) + " with " +
                         std::to_string(chunk.stride()) + " coordinates of " +
                         std::to_string(chunk.kind().bits) + " bits is none of this index");
}

Status WithoutRecords(const Chunk& chunk) {
  return Status::Internal("a chunk of posting " + std::to_string(chunk.kind().posting) +
                          " came without its records");
}

void Prefetch(const uint8_t* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(from + at);
  __builtin_prefetch(from + bytes - 1);
}

}  // namespace

struct Search::Limits {
  float depth = 0;
  std::array<Stop::Limit, 2> both{};
};

Search::Search(std::shared_ptr<const Version> version, const Request& request)
    : version_(std::move(version)),
      request_(request),
      candidates_(std::make_unique<Candidates>(request.k)),
      guesses_(std::make_unique<Least>(request.k)),
      limits_(std::make_unique<Limits>()) {}

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

  // Centroids go by their codes where some of the answer may be missed, else by all that they are.
  const bool scans = search->code_ != nullptr && !search->code_->certain();
  search->order_ = std::make_unique<CentroidOrder>(state.centroids, state.space, placed,
                                                   scans ? search->code_.get() : nullptr);
  if (const auto* nearest = search->order_->Nearest()) search->nearest2_ = nearest->distance2;
  *out = std::move(search);
  return {};
}

void Search::Next(uint32_t most, std::vector<uint32_t>* postings) { Name(most, nullptr, postings); }

void Search::NextLikely(float depth, uint32_t most, std::vector<uint32_t>* postings) {
  Name(most, &depth, postings);
}

void Search::Name(uint32_t most, const float* depth, std::vector<uint32_t>* postings) {
  if (request_.k == 0) return;
  for (uint32_t named = 0; named < most;) {
    const CentroidOrder::Near* nearest = order_->Nearest();
    if (nearest == nullptr) return;
    const CentroidOrder::Near next = *nearest;
    if (probes_ >= request_.probes_min) {
      if (Done(next.distance2) && !CameLate()) return;
      if (depth != nullptr && LikelyDone(next.distance2, *depth)) return;
    }
    order_->Pop();
    if (probes_ >= request_.probes_min && CannotHold(next.posting, next.distance2)) continue;
    postings->push_back(next.posting);
    named_.push_back(next.posting);
    named2_.push_back(next.distance2);
    ++probes_;
    ++named;
  }
}

float Search::KthDistance2() const {
  return version_->state().space.Distance2(candidates_->bound(), query_norm2_);
}

float Search::Aim(float depth) const {
  const float share = static_cast<float>(request_.k) / depth;
  return 1 - (1 - request_.recall_target) * std::lerp(kFilteredMiss, 1.0F, std::min(1.0F, share));
}

bool Search::Done(float next2) const {
  const Stop& stop = version_->state().stop;
  if (request_.recall_target >= 1 || !stop.calibrated()) return false;
  // By records where there are k, else by what scans guess.
  const bool known = candidates_->full();
  if (!known && !guesses_->full()) return false;
  const float score = known ? candidates_->bound() : guesses_->worst();
  const float came = known ? candidates_->MeanLogFoundAt() : guesses_->MeanLogAt();
  const Stop::Place place{next2, nearest2_, version_->state().space.Distance2(score, query_norm2_),
                          std::log(static_cast<float>(seen_)) - came};
  if (!(place.kth2 > 0)) return true;
  // Of the rows seen, which share is allowed: the k-th hit lies as deep among all rows as k over
  // that.
  const float depth = static_cast<float>(request_.k) * static_cast<float>(seen_) /
                      static_cast<float>(std::max<uint64_t>(1, visible_count_));
  if (depth != limits_->depth) {
    *limits_ = {depth, stop.At(Aim(depth), depth, nearest2_)};
  }
  return std::ranges::all_of(limits_->both, [&](const Stop::Limit& limit) {
    return place.Progress(limit.bias) >= limit.threshold;
  });
}

bool Search::LikelyDone(float next2, float depth) const {
  const Stop& stop = version_->state().stop;
  if (request_.recall_target >= 1 || !stop.calibrated()) return false;
  return next2 >= stop.End2(Aim(depth), depth, nearest2_);
}

// The stop rule was calibrated on searches that may find every row. Which rows a filter leaves is
// unlike any sample: they may lie together, and far away. So its word is not enough there: the hits
// themselves must tell that no more are to come, which they do when all but those that may be
// missed came long ago, as measured by how much their number may deviate by chance.
bool Search::CameLate() {
  if (!candidates_->full() || visible_count_ >= seen_) return false;
  if (seen_ < stop_at_) return true;
  const auto k = static_cast<float>(request_.k);
  const float share = static_cast<float>(visible_count_) / static_cast<float>(seen_);
  const auto spare = static_cast<size_t>((1 - request_.recall_target) * k / 2);
  const float wait = 1 + kLateDeviations * std::sqrt((1 - share) / k);
  stop_at_ = static_cast<uint64_t>(wait * static_cast<float>(candidates_->FoundAt(spare)));
  return seen_ < stop_at_;
}

// By the triangle inequality. Under the inner product a long vector may lie outside the geometry.
bool Search::CannotHold(uint32_t posting, float distance2) const {
  const Version::State& state = version_->state();
  if (!candidates_->full() || state.space.metric() == Metric::kInnerProduct) return false;
  const float radius = state.centroids.posting(posting).radius;
  return std::sqrt(distance2) > kBoundSlack * (radius + std::sqrt(std::max(0.0F, KthDistance2())));
}

bool Search::MayBeFound(uint64_t row, const Allowed* allowed) const {
  return row < request_.below && (allowed == nullptr || allowed->Contains(row));
}

Status Search::Score(const Chunk& chunk, const Allowed* allowed) {
  if (!version_->state().Fits(chunk)) return Misfit(chunk);
  if (!chunk.has_records()) return WithoutRecords(chunk);
  if (code_ == nullptr) {
    ScoreWhole(chunk, allowed);
  } else {
    ScoreCodes(chunk, allowed, nullptr);
  }
  return {};
}

void Search::ScoreWhole(const Chunk& chunk, const Allowed* allowed) {
  const Words words = chunk.words();
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
  for (const uint32_t i : visible_) candidates_->Offer(scores_[i], 0, RowOf(words[i]), seen_);
}

void Search::CountVisible(const Chunk& chunk, const Allowed* allowed) {
  const Words words = chunk.words();
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
void Search::ScoreCodes(const Chunk& chunk, const Allowed* allowed, std::vector<Open>* open) {
  const Version::State& state = version_->state();
  const uint32_t posting = chunk.kind().posting;
  scanned_ += chunk.size();

  // What a scan reads until it is well under way; from there on it looks ahead itself.
  if (!code_->certain()) {
    const std::span<const uint8_t> bytes = chunk.scan_bytes();
    const size_t planes = chunk.scan().planes - bytes.data();
    Prefetch(bytes.data(), std::min(bytes.size(), planes + PlaneBytes(chunk.stride())));
  }
  const QueryCode::Beside beside = PlaceBeside(state, *code_, posting, named_, named2_);
  const Words words = chunk.words();
  const size_t code_bytes = Codec::CodeBytes(chunk.stride(), chunk.kind().bits);
  const bool refines = open == nullptr;
  const uint64_t seen = seen_ + words.size();
  const QueryCode::Refiner refiner = code_->RefinerOf(beside, chunk);
  const auto refine = [&](uint32_t i) {
    ++refined_;
    const Estimate estimate = refiner.One(i);
    candidates_->Offer(estimate.score, estimate.error, RowOf(words[i]), seen);
  };
  uint32_t scanned = 0;
  if (!code_->certain()) {
    const Chunk::Scan& scan = chunk.scan();
    scanned = std::min(chunk.size(), scan.blocks * static_cast<uint32_t>(kScanBlock));
    scores_.resize(scan.blocks * kScanBlock);
    within_.resize(scan.blocks);
    code_->Scan(beside, scan, candidates_->bound(), scores_.data(), within_.data());
    visible_.clear();
    for (uint32_t block = 0; block < scan.blocks; ++block) {
      for (uint32_t rest = within_[block]; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<uint32_t>(block * kScanBlock + std::countr_zero(rest));
        // What fills up the last block may look near while there is no bound.
        if (i >= scanned || !MayBeFound(RowOf(words[i]), allowed)) continue;
        visible_.push_back(i);
        if (!refines) continue;
        const Record record = chunk.record(i);
        Prefetch(record.code, code_bytes);
        Prefetch(record.factors, sizeof(Factors));
      }
    }
    if (visible_.size() >= kSortedMin) {
      std::sort(visible_.begin(), visible_.end(),
                [&](uint32_t a, uint32_t b) { return scores_[a] < scores_[b]; });
    }
    const QueryCode::Widths widths = code_->WidthsOf(beside, scan);
    // The bound falls between groups of four, which are refined together.
    size_t at = 0;
    for (; refines && at + 4 <= visible_.size(); at += 4) {
      const uint32_t* group = visible_.data() + at;
      const float bound = candidates_->bound();
      const auto open_still = [&](uint32_t i) { return scores_[i] <= bound; };
      if (!std::all_of(group, group + 4, open_still)) {
        for (const uint32_t* i = group; i < group + 4; ++i) {
          if (scores_[*i] <= candidates_->bound()) refine(*i);
        }
        continue;
      }
      float scores[4], errors[4];
      refiner.Four(group, scores, errors);
      refined_ += 4;
      for (size_t i = 0; i < 4; ++i) {
        candidates_->Offer(scores[i], errors[i], RowOf(words[group[i]]), seen);
      }
    }
    for (; at < visible_.size(); ++at) {
      const uint32_t i = visible_[at];
      if (!(scores_[i] <= candidates_->bound())) continue;
      if (refines) {
        refine(i);
      } else {
        open->push_back({scores_[i], i});
        guesses_->Offer(scores_[i] + widths(i), seen);
      }
    }
  }
  for (uint32_t i = scanned; i < words.size(); ++i) {
    if (!MayBeFound(RowOf(words[i]), allowed)) continue;
    if (refines) {
      refine(i);
    } else {
      open->push_back({-std::numeric_limits<float>::infinity(), i});
    }
  }
  CountVisible(chunk, allowed);
}

bool Search::wants_all_records() const { return code_ == nullptr || code_->certain(); }

Status Search::ScoreScan(const Chunk& chunk, uint32_t number, const Allowed* allowed) {
  if (!version_->state().Fits(chunk)) return Misfit(chunk);
  OpenChunk& chunk_open = open_[number];
  chunk_open.posting = chunk.kind().posting;
  chunk_open.size = chunk.size();
  chunk_open.seen = seen_ + chunk.size();
  std::vector<Open>& open = chunk_open.entries;
  if (code_ != nullptr) {
    ScoreCodes(chunk, allowed, &open);
    return {};
  }
  const Words words = chunk.words();
  for (uint32_t i = 0; i < words.size(); ++i) {
    if (!MayBeFound(RowOf(words[i]), allowed)) continue;
    open.push_back({-std::numeric_limits<float>::infinity(), i});
  }
  seen_ += words.size();
  visible_count_ += open.size();
  scanned_ += open.size();
  return {};
}

void Search::Wanted(std::vector<uint32_t>* numbers) {
  std::vector<float> lows;
  for (const auto& [number, open] : open_) {
    for (const Open& entry : open.entries) {
      if (entry.low <= candidates_->bound()) lows.push_back(entry.low);
    }
  }
  // Before anything was refined there is no bound. What looks nearest gives one; what that leaves
  // open is little, and the next to be asked for.
  open_bound_ = candidates_->bound();
  if (const size_t most = kOpenMost + kOpenShare * request_.k; lows.size() > most) {
    const auto last = lows.begin() + static_cast<ptrdiff_t>(most);
    std::nth_element(lows.begin(), last, lows.end());
    open_bound_ = *last;
  }
  for (const auto& [number, open] : open_) {
    const bool wanted = std::any_of(open.entries.begin(), open.entries.end(),
                                    [&](const Open& entry) { return entry.low <= open_bound_; });
    if (wanted) numbers->push_back(number);
  }
}

Status Search::ScoreRecords(const Chunk& chunk, uint32_t number) {
  const Version::State& state = version_->state();
  if (!state.Fits(chunk)) return Misfit(chunk);
  if (!chunk.has_records()) return WithoutRecords(chunk);
  const auto found = open_.find(number);
  if (found == open_.end()) return {};
  std::vector<Open>& open = found->second.entries;
  const uint64_t seen = found->second.seen;
  const Words words = chunk.words();
  const bool whole = code_ == nullptr;
  const QueryCode::Beside beside =
      whole ? QueryCode::Beside{}
            : PlaceBeside(state, *code_, chunk.kind().posting, named_, named2_);
  if (found->second.posting != chunk.kind().posting || found->second.size != chunk.size()) {
    return Status::Corrupt("a chunk of posting " + std::to_string(chunk.kind().posting) +
                           " is not the one that was scanned");
  }
  size_t kept = 0;
  for (const Open& entry : open) {
    if (entry.low > candidates_->bound()) continue;
    if (entry.low > open_bound_) {
      open[kept++] = entry;
      continue;
    }
    const uint64_t row = RowOf(words[entry.entry]);
    if (whole) {
      float score;
      state.space.Scores(query_.data(), chunk.vectors() + size_t{entry.entry} * chunk.stride(), 1,
                         &score);
      candidates_->Offer(score, 0, row, seen);
    } else {
      ++refined_;
      const Estimate estimate = code_->Refine(beside, chunk.record(entry.entry));
      candidates_->Offer(estimate.score, estimate.error, row, seen);
    }
  }
  open.resize(kept);
  if (open.empty()) open_.erase(found);
  return {};
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
