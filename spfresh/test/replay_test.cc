// A replayed search stops where a search that is followed step by step does.
#include "replay.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gtest/gtest.h"
#include "random.h"

namespace spfresh {
namespace {

struct Sample {
  size_t k = 1;
  std::vector<Replay::Visit> order;
  std::vector<float> truth2;
  std::vector<std::vector<uint32_t>> found;

  Replay Replayed() const { return {k, order, truth2, found}; }
};

Sample Draw(Random* random, bool equal_rows) {
  Sample sample;
  const size_t postings = 1 + random->Below(60);
  float distance2 = random->Unit();
  for (size_t i = 0; i < postings; ++i) {
    sample.order.push_back({distance2, static_cast<uint32_t>(1 + random->Below(40))});
    distance2 += 0.2F * random->Unit();
  }
  sample.k = 1 + random->Below(12);
  sample.truth2.resize(sample.k + random->Below(60));
  for (float& t : sample.truth2) t = equal_rows ? 0 : 0.5F + random->Unit();
  std::sort(sample.truth2.begin(), sample.truth2.end());
  sample.found.resize(postings);
  for (uint32_t i = 0; i < sample.truth2.size(); ++i) {
    // More of it in the nearer ones.
    const float at = random->Unit();
    sample.found[static_cast<size_t>(at * at * static_cast<float>(postings))].push_back(i);
  }
  return sample;
}

// How a search goes that looks at all its hits after each posting.
struct Stopped {
  float share = 0;
  float read = 0;
};

Stopped Follow(const Sample& sample, float bias, float threshold) {
  std::vector<std::pair<uint32_t, float>> hits;
  float seen = 0;
  Stopped stopped;
  for (size_t at = 0; at < sample.order.size(); ++at) {
    seen += static_cast<float>(sample.order[at].entries);
    for (const uint32_t i : sample.found[at]) hits.emplace_back(i, std::log(seen));
    std::sort(hits.begin(), hits.end());
    const size_t k = std::min(sample.k, hits.size());
    const auto right = std::count_if(hits.begin(), hits.begin() + static_cast<ptrdiff_t>(k),
                                     [&](const auto& hit) { return hit.first < sample.k; });
    stopped = {static_cast<float>(right) / static_cast<float>(sample.k), seen};
    if (hits.size() < sample.k || at + 1 == sample.order.size()) continue;
    const float kth2 = sample.truth2[hits[k - 1].first];
    if (!(kth2 > 0)) return stopped;
    float came = 0;
    for (size_t i = 0; i < k; ++i) came += hits[i].second;
    const Stop::Place place{sample.order[at + 1].distance2, sample.order[0].distance2, kth2,
                            std::log(seen) - came / static_cast<float>(k)};
    if (place.Progress(bias) >= threshold) return stopped;
  }
  return stopped;
}

TEST(Replay, StopsWhereASearchDoes) {
  Random random(7);
  size_t early = 0;
  for (int round = 0; round < 400; ++round) {
    const Sample sample = Draw(&random, round % 20 == 0);
    const Replay replay = sample.Replayed();
    for (size_t bias = 0; bias < Replay::kBiases.size(); ++bias) {
      // Off the values that rounding could put on either side.
      const float threshold = 3 * random.Unit();
      const Stopped right = Follow(sample, Replay::kBiases[bias], threshold);
      const Replay::Step& step = replay.StopAt(bias, threshold);
      ASSERT_EQ(step.share, right.share) << "round " << round << ", threshold " << threshold;
      ASSERT_GE(step.read, right.read);
      ASSERT_LE(step.read, right.read * (1 + 1.0F / 32) + 40);
      early += right.share < 1 ? 1 : 0;
    }
  }
  EXPECT_GT(early, 200U);
}

TEST(Replay, RulesFindWhatIsAskedFor) {
  Random random(11);
  std::array<Replays, Stop::kDepths.size()> replays;
  for (size_t d = 0; d < 3; ++d) {
    for (size_t i = 0; i < 600; ++i) {
      Sample sample = Draw(&random, false);
      sample.k = std::min(static_cast<size_t>(Stop::kDepths[d]), sample.truth2.size());
      replays[d][i % Stop::kKinds].push_back(sample.Replayed());
    }
  }
  ASSERT_TRUE(EnoughReplays(replays[0]));
  const Stop::Rules rules = FindRules(replays, nullptr);
  EXPECT_TRUE(std::ranges::is_sorted(rules.nearest2));
  for (size_t d = 0; d < 3; ++d) {
    const auto bias = static_cast<size_t>(std::ranges::find(Replay::kBiases, rules.at[d].bias) -
                                          Replay::kBiases.begin());
    ASSERT_LT(bias, Replay::kBiases.size());
    for (size_t miss = 0; miss < Stop::kMisses.size(); ++miss) {
      double share = 0, count = 0;
      for (const auto& kind : replays[d]) {
        for (const Replay& replay : kind) {
          share += replay.StopAt(bias, rules.Threshold(d, miss, replay.nearest2())).share;
          ++count;
        }
      }
      // The kinds are alike here, and a search is held to those that are about as near as it is.
      EXPECT_GE(share / count, 1 - Stop::kMisses[miss] - 0.01) << "depth " << Stop::kDepths[d];
    }
  }
  // Without replays, as the depth before.
  EXPECT_EQ(rules.at[3].bias, rules.at[2].bias);
  EXPECT_EQ(rules.at[5].thresholds, rules.at[2].thresholds);
  // Those that follow have the same biases, and thresholds of their own.
  const Stop::Rules again = FindRules(replays, &rules);
  for (size_t d = 0; d < rules.at.size(); ++d) {
    EXPECT_EQ(again.at[d].bias, rules.at[d].bias);
    EXPECT_EQ(again.at[d].thresholds, rules.at[d].thresholds);
  }
}

TEST(Stop, BetweenTwoKindsBothAreSatisfied) {
  Stop::Rules rules;
  rules.nearest2 = {1, 4, 16, 64};
  for (size_t kind = 0; kind < Stop::kKinds; ++kind) {
    for (auto& rule : rules.at) {
      rule.thresholds[kind].fill(kind == 1 ? 3 : 1);
      rule.ends[kind].fill(static_cast<float>(2 + kind));
    }
  }
  const Stop stop(rules, 100);
  const auto threshold = [&](float nearest2) { return stop.At(0.9F, 10, nearest2)[0].threshold; };
  EXPECT_EQ(threshold(0), 1);
  EXPECT_EQ(threshold(0.9F), 1);
  EXPECT_EQ(threshold(2), 3);
  EXPECT_EQ(threshold(8), 3);
  EXPECT_EQ(threshold(17), 1);
  EXPECT_FLOAT_EQ(stop.End2(0.9F, 10, 2), 2 * 2.5F);
  EXPECT_FLOAT_EQ(stop.End2(0.9F, 10, 128), 128 * 5);
}

}  // namespace
}  // namespace spfresh
