// One step of upkeep at a time, on postings small enough to be drawn.
#include <algorithm>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "test_index.h"

namespace spfresh {
namespace {

Options Line(uint32_t target, uint32_t max, uint32_t min) {
  Options options;
  options.dims = 1;
  options.posting_target = target;
  options.posting_max = max;
  options.posting_min = min;
  options.spill = Spill::kNone;
  return options;
}

// Each posting as its centroid and its rows, in the order of the line: "2.0: 0 1 2 | 8.5: 3 4".
std::string Draw(const test::TestIndex& index) {
  std::vector<std::pair<float, std::string>> postings;
  for (const auto& [id, chunks] : index.chunks()) {
    std::vector<uint64_t> rows;
    for (const auto& chunk : chunks) {
      for (const uint64_t word : chunk->words()) rows.push_back(RowOf(word));
    }
    std::sort(rows.begin(), rows.end());
    std::ostringstream drawn;
    const float centroid = index.version().centroid(id)[0];
    drawn.precision(1);
    drawn << std::fixed << centroid << ":";
    for (const uint64_t row : rows) drawn << " " << row;
    postings.push_back({centroid, drawn.str()});
  }
  std::sort(postings.begin(), postings.end());
  std::string all;
  for (const auto& [centroid, drawn] : postings) all += (all.empty() ? "" : " | ") + drawn;
  return all;
}

void Insert(test::TestIndex* index, uint64_t row, const std::vector<float>& values) {
  index->Insert(row, values.data(), values.size());
}

TEST(Rebuild, SplitsAFullPostingWhereItFallsApart) {
  test::TestIndex index(Line(4, 6, 1));
  Insert(&index, 0, {1, 2, 3, 11, 12, 13, 2});
  EXPECT_EQ(Draw(index), "6.3: 0 1 2 3 4 5 6");
  EXPECT_EQ(index.Upkeep(), 1U);
  EXPECT_EQ(Draw(index), "2.0: 0 1 2 6 | 12.0: 3 4 5");
}

// LIRE's condition 2: row 4 lies at 7 with the posting around 12; the posting around 0 is split,
// and one of its parts comes nearer to row 4 than 12 is.
TEST(Rebuild, TakesANeighboursRowThatIsNowNearer) {
  test::TestIndex index(Line(4, 6, 1));
  Insert(&index, 0, {-1, 1});
  Insert(&index, 2, {16, 16, 16, 16, 16});
  index.Upkeep();
  ASSERT_EQ(Draw(index), "0.0: 0 1 | 16.0: 2 3 4 5 6");
  Insert(&index, 7, {9});
  ASSERT_EQ(Draw(index), "0.0: 0 1 | 16.0: 2 3 4 5 6 7");
  Insert(&index, 8, {7, 7, 7, -1, 1});
  index.Upkeep();
  EXPECT_EQ(Draw(index), "0.0: 0 1 11 12 | 7.0: 7 8 9 10 | 16.0: 2 3 4 5 6");
}

TEST(Rebuild, MergesAPostingThatBecameSmall) {
  test::TestIndex index(Line(4, 6, 2));
  Insert(&index, 0, {1, 2, 3, 11, 12, 13, 2});
  index.Upkeep();
  for (const uint64_t row : {3, 5, 6}) index.Delete(row);
  index.Sweep();
  EXPECT_EQ(Draw(index), "4.5: 0 1 2 4");
}

TEST(Rebuild, KeepsEqualVectorsTogetherAndLeavesThemAlone) {
  test::TestIndex index(Line(4, 6, 1));
  Insert(&index, 0, std::vector<float>(20, 3.0F));
  EXPECT_EQ(index.Upkeep(), 1U);
  EXPECT_EQ(index.Upkeep(), 0U);
  EXPECT_EQ(index.version().posting(0)->entries, 20U);
  EXPECT_EQ(index.version().posting(0)->stuck, 20U);
  Insert(&index, 20, {9});
  EXPECT_EQ(index.Upkeep(), 0U) << "it is tried again when it has doubled";
  Insert(&index, 21, std::vector<float>(19, 3.0F));
  index.Upkeep();
  EXPECT_EQ(index.version().postings(), 2U);
  EXPECT_EQ(index.version().entries(), 40U);
}

TEST(Rebuild, EmptiesAnIndexOfDeadRowsAndFillsItAgain) {
  test::TestIndex index(Line(4, 6, 2));
  Insert(&index, 0, {1, 2, 3, 11, 12, 13, 2});
  index.Upkeep();
  for (uint64_t row = 0; row < 7; ++row) index.Delete(row);
  index.Sweep();
  EXPECT_EQ(index.version().postings(), 0U);
  Insert(&index, 7, {5, 6});
  EXPECT_EQ(Draw(index), "5.5: 7 8");
}

TEST(Rebuild, LeavesTheVersionBeforeAsItWas) {
  test::TestIndex index(Line(4, 6, 1));
  Insert(&index, 0, {1, 2, 3, 11, 12, 13, 2});
  const std::shared_ptr<const Version> before = index.shared();
  const std::vector<uint8_t> bytes = before->Serialize();
  index.Upkeep();
  EXPECT_EQ(before->Serialize(), bytes);
  EXPECT_EQ(before->postings(), 1U);
}

}  // namespace
}  // namespace spfresh
