#include "candidates.h"

#include <algorithm>
#include <map>

#include "gtest/gtest.h"
#include "random.h"

namespace spfresh {
namespace {

// Rows come up to three times with scores that are off within their bounds: the k nearest are
// always among the candidates, and each row is there once.
TEST(Candidates, HoldTheNearestWhateverTheErrors) {
  Random random(1);
  for (const uint32_t k : {1, 2, 10, 100}) {
    for (int turn = 0; turn < 50; ++turn) {
      Candidates candidates(k);
      std::map<uint64_t, float> truth;
      for (int i = 0; i < 600; ++i) {
        const uint64_t row = random.Below(300);
        const auto found = truth.try_emplace(row, random.Unit()).first;
        const float error = 0.05F * random.Unit();
        candidates.Offer(found->second + error * (2 * random.Unit() - 1), error, row, 0);
      }
      std::vector<std::pair<float, uint64_t>> nearest;
      for (const auto& [row, score] : truth) nearest.push_back({score, row});
      std::sort(nearest.begin(), nearest.end());
      std::map<uint64_t, int> rows;
      for (const Candidate& c : candidates.Best(1000)) ++rows[c.row];
      for (uint32_t i = 0; i < k; ++i) EXPECT_EQ(rows[nearest[i].second], 1) << "k " << k;
      for (const auto& [row, times] : rows) EXPECT_EQ(times, 1);
      EXPECT_GE(candidates.bound(), nearest[k - 1].first);
      EXPECT_LE(candidates.Best(k + 3).size(), k + 3);
    }
  }
}

TEST(Candidates, AreInOrderWithTiesByRow) {
  Candidates candidates(3);
  for (const uint64_t row : {5, 3, 9, 1}) candidates.Offer(row == 9 ? 0.5F : 1.0F, 0, row, 0);
  std::vector<uint64_t> rows;
  for (const Candidate& c : candidates.Best(3)) rows.push_back(c.row);
  EXPECT_EQ(rows, (std::vector<uint64_t>{9, 1, 3}));
}

TEST(Candidates, TellWhenTheNearestCame) {
  Candidates candidates(3);
  EXPECT_EQ(candidates.FoundAt(0), 0U);
  const float scores[] = {5, 1, 4, 2, 3};
  for (uint64_t row = 0; row < 5; ++row) candidates.Offer(scores[row], 0, row, 10 * row);
  // Row 1 again, better known: it came when it first came.
  candidates.Offer(1, 0, 1, 99);
  EXPECT_EQ(candidates.FoundAt(0), 40U);
  EXPECT_EQ(candidates.FoundAt(1), 30U);
  EXPECT_EQ(candidates.FoundAt(2), 10U);
  EXPECT_EQ(candidates.FoundAt(3), 0U);
}

}  // namespace
}  // namespace spfresh
