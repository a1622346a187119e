#include "replay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace spfresh {
namespace {

constexpr size_t kEnough = 8;
constexpr float kReadPart = 32;
constexpr float kFar = std::numeric_limits<float>::max();
// No end is told to be farther, beside the nearest centroid.
constexpr float kEndMost = 1e6F;
// For logarithms and divisions.
constexpr float kNear = std::numeric_limits<float>::min();
// Of the answer, what may usually be missed.
constexpr float kUsualMissMax = 0.1F, kUsualMissMin = 0.01F;
// The share of the queries that shall stop before the end that is told of them. Who reads by it
// reads more than most need, and less than some.
constexpr double kWithinEnd = 0.75;
// Of the allowed miss, what the sample may use up: all but so much, and at least this share. The
// rest is for queries harder than it.
constexpr double kMissSpare = 0.02;
constexpr double kMissShare = 0.6;
// For queries that are by no cluster, which differ most among themselves.
constexpr double kMissSpareFar = 0.05;
constexpr double kMissShareFar = 0.3;

// The hits of a search as it goes on: the k nearest so far, and when they came.
class Hits {
 public:
  Hits(size_t k, size_t truth) : k_(k), came_(truth, -1.0F), kth_(truth) {}

  bool full() const { return count_ >= k_; }
  // The place in the truth of the k-th; before there are k, what all places are below.
  size_t kth() const { return kth_; }
  // Of the true k, how many there are.
  size_t right() const { return right_; }

  void Add(uint32_t place, uint64_t seen) {
    came_[place] = std::log(static_cast<float>(std::max<uint64_t>(1, seen)));
    right_ += place < k_ ? 1 : 0;
    if (++count_ < k_) {
      log_came_ += came_[place];
    } else if (count_ == k_) {
      log_came_ += came_[place];
      kth_ = 0;
      for (size_t have = 0; (have += Has(kth_) ? 1 : 0) < k_;) ++kth_;
    } else if (place < kth_) {
      log_came_ += came_[place] - came_[kth_];
      while (!Has(--kth_)) {
      }
    }
  }

  // The mean of the logarithms of what had been seen when each came. REQUIRES: full()
  float MeanLogCame() const { return static_cast<float>(log_came_ / static_cast<double>(k_)); }

 private:
  bool Has(size_t place) const { return came_[place] >= 0; }

  size_t k_;
  // By place in the truth, the logarithm of what had been seen, or -1.
  std::vector<float> came_;
  double log_came_ = 0;
  size_t count_ = 0;
  size_t kth_;
  size_t right_ = 0;
};

// The mean share found if all had stopped there.
double ShareAt(const std::vector<Replay>& replays, size_t bias, float threshold) {
  double share = 0;
  for (const Replay& replay : replays) share += replay.StopAt(bias, threshold).share;
  return share / static_cast<double>(replays.size());
}

float FindThreshold(const std::vector<Replay>& replays, size_t bias, double share) {
  float low = 0, high = 1;
  while (high < 1e6F && ShareAt(replays, bias, high) < share) high *= 2;
  for (int i = 0; i < 24; ++i) {
    const float middle = (low + high) / 2;
    (ShareAt(replays, bias, middle) < share ? low : high) = middle;
  }
  return high;
}

// The share to be found where so much may be missed.
double Aim(double miss, bool is_far) {
  return 1.0 - (is_far ? std::max(kMissShareFar * miss, miss - kMissSpareFar)
                       : std::max(kMissShare * miss, miss - kMissSpare));
}

// What most are at most.
float Within(std::vector<float>* values) {
  const auto place = values->begin() +
                     static_cast<ptrdiff_t>(kWithinEnd * static_cast<double>(values->size() - 1));
  std::nth_element(values->begin(), place, values->end());
  return *place;
}

// The rule of one depth among all that are to be.
class Fit {
 public:
  Fit(const Replays& replays, size_t far, size_t depth, Stop::Rules* rules)
      : replays_(replays), far_(far), depth_(depth), rules_(*rules) {}

  void By(size_t bias) {
    Stop::Rule& rule = rules_.at[depth_];
    rule.bias = Replay::kBiases[bias];
    for (size_t kind = 0; kind < Stop::kKinds; ++kind) {
      for (size_t miss = 0; miss < Stop::kMisses.size(); ++miss) {
        rule.thresholds[kind][miss] =
            FindThreshold(replays_[kind], bias, Aim(Stop::kMisses[miss], kind == far_));
      }
    }
    bias_ = bias;
  }

  // The bias that reads least for the usual wishes together: for one alone that would be whose
  // sample was the luckiest.
  void ByBest() {
    double least = std::numeric_limits<double>::infinity();
    size_t best = 0;
    for (size_t bias = 0; bias < Replay::kBiases.size(); ++bias) {
      By(bias);
      double read = 0;
      for (size_t miss = 0; miss < Stop::kMisses.size(); ++miss) {
        if (Stop::kMisses[miss] > kUsualMissMax || Stop::kMisses[miss] < kUsualMissMin) continue;
        read += std::log(Read(miss));
      }
      if (read < least) best = bias;
      least = std::min(least, read);
    }
    By(best);
  }

  void FindEnds() {
    std::vector<float> ends;
    for (size_t kind = 0; kind < Stop::kKinds; ++kind) {
      for (size_t miss = 0; miss < Stop::kMisses.size(); ++miss) {
        ends.clear();
        for (const Replay& replay : replays_[kind]) {
          const float end2 = std::min(StopOf(replay, miss).next2, replay.farthest2());
          ends.push_back(std::min(kEndMost, end2 / std::max(kNear, replay.nearest2())));
        }
        rules_.at[depth_].ends[kind][miss] = Within(&ends);
      }
    }
  }

 private:
  const Replay::Step& StopOf(const Replay& replay, size_t miss) const {
    return replay.StopAt(bias_, rules_.Threshold(depth_, miss, replay.nearest2()));
  }

  double Read(size_t miss) const {
    double read = 0;
    for (const auto& replays : replays_) {
      double of_kind = 0;
      for (const Replay& replay : replays) of_kind += StopOf(replay, miss).read;
      read += of_kind / static_cast<double>(replays.size());
    }
    return read;
  }

  const Replays& replays_;
  const size_t far_;
  const size_t depth_;
  Stop::Rules& rules_;
  size_t bias_ = 0;
};

// The mean of each kind on a logarithmic ruler.
std::array<float, Stop::kKinds> Nearest2(const Replays& replays) {
  std::array<float, Stop::kKinds> means{};
  for (size_t kind = 0; kind < Stop::kKinds; ++kind) {
    double sum = 0;
    for (const Replay& replay : replays[kind]) {
      sum += std::log(std::max(kNear, replay.nearest2()));
    }
    means[kind] = static_cast<float>(std::exp(sum / static_cast<double>(replays[kind].size())));
  }
  return means;
}

}  // namespace

Replay::Replay(size_t k, std::span<const Visit> order, std::span<const float> truth2,
               std::span<const std::vector<uint32_t>> found)
    : nearest2_(order[0].distance2), farthest2_(order.back().distance2) {
  Hits hits(k, truth2.size());
  Stop::Place place{0, nearest2_, 0, 0};
  uint64_t seen = 0;
  Step step{};
  // Nobody stops before there are k. Progress only grows until news come.
  const auto look = [&] {
    if (!hits.full()) return;
    place.waited = std::log(static_cast<float>(seen)) - hits.MeanLogCame();
    for (size_t b = 0; b < kBiases.size(); ++b) {
      const float progress = place.kth2 > 0 ? place.Progress(kBiases[b]) : kFar;
      step.progress[b] = std::max(step.progress[b], progress);
    }
    step.next2 = place.next2;
    step.share = static_cast<float>(hits.right()) / static_cast<float>(k);
    step.read = static_cast<float>(seen);
  };
  const auto keep = [&] {
    if (hits.full()) steps_.push_back(step);
  };
  for (size_t at = 0; at < order.size(); ++at) {
    const auto any_below = [&](size_t end) {
      return std::ranges::any_of(found[at], [end](uint32_t i) { return i < end; });
    };
    const bool news = any_below(hits.kth());
    if (news) {
      look();
      if (any_below(k)) keep();
    }
    seen += order[at].entries;
    for (const uint32_t i : found[at]) hits.Add(i, seen);
    if (news && hits.full()) place.kth2 = truth2[hits.kth()];
    const bool last = at + 1 == order.size();
    place.next2 = last ? kFar : order[at + 1].distance2;
    const float kept = steps_.empty() ? 0 : steps_.back().read;
    if (last || static_cast<float>(seen) - kept >= kept / kReadPart) {
      look();
      keep();
    }
  }
  steps_.shrink_to_fit();
}

const Replay::Step& Replay::StopAt(size_t bias, float threshold) const {
  const auto before = [&](const Step& step) { return step.progress[bias] < threshold; };
  return *std::partition_point(steps_.begin(), steps_.end() - 1, before);
}

bool EnoughReplays(const Replays& replays) {
  return std::ranges::all_of(replays, [](const auto& kind) { return kind.size() >= kEnough; });
}

Stop::Rules FindRules(std::array<Replays, Stop::kDepths.size()> replays,
                      const Stop::Rules* follow) {
  Stop::Rules rules;
  const auto means = Nearest2(replays[0]);
  std::array<size_t, Stop::kKinds> order;
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](size_t kind) { return means[kind]; });
  const auto far = static_cast<size_t>(std::ranges::find(order, Stop::kKinds - 1) - order.begin());
  for (Replays& of_depth : replays) {
    Replays sorted;
    for (size_t kind = 0; kind < Stop::kKinds; ++kind) {
      sorted[kind] = std::move(of_depth[order[kind]]);
      rules.nearest2[kind] = means[order[kind]];
    }
    of_depth = std::move(sorted);
  }
  for (size_t d = 0; d < replays.size(); ++d) {
    if (!EnoughReplays(replays[d])) {
      rules.at[d] = follow != nullptr ? follow->at[d] : rules.at[d - 1];
      continue;
    }
    Fit fit(replays[d], far, d, &rules);
    if (follow != nullptr) {
      const auto& biases = Replay::kBiases;
      const auto own = std::ranges::lower_bound(biases, follow->at[d].bias);
      fit.By(std::min<size_t>(own - biases.begin(), biases.size() - 1));
    } else {
      fit.ByBest();
    }
    fit.FindEnds();
  }
  return rules;
}

}  // namespace spfresh
