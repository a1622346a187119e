#include "gtest/gtest.h"
#include "random.h"
#include "test_index.h"

namespace spfresh {
namespace {

test::TestIndex Some(Metric metric, uint32_t dims) {
  Options options;
  options.metric = metric;
  options.dims = dims;
  options.posting_target = 16;
  options.posting_max = 32;
  options.posting_min = 4;
  Random random(9);
  std::vector<float> vectors(2000 * dims);
  for (float& x : vectors) x = random.Unit() - 0.5F;
  test::TestIndex index(options);
  index.Build(vectors.data(), 2000);
  return index;
}

TEST(Snapshot, ComesBackFromItsBytes) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    const test::TestIndex index = Some(metric, metric == Metric::kCosine ? 70 : 6);
    const std::vector<uint8_t> bytes = index.version().Serialize();
    std::shared_ptr<const Version> back;
    ASSERT_TRUE(Version::Open(bytes, &back).ok());
    EXPECT_EQ(back->Serialize(), bytes);
    EXPECT_EQ(back->entries(), index.version().entries());
    EXPECT_EQ(back->postings(), index.version().postings());
    EXPECT_GT(back->calibrated_entries(), 0U);
  }
}

TEST(Snapshot, RefusesOrReadsAnyBytes) {
  Random random(10);
  for (const uint32_t dims : {6, 64}) {
    const std::vector<uint8_t> whole = Some(Metric::kInnerProduct, dims).version().Serialize();
    for (int turn = 0; turn < 1500; ++turn) {
      std::vector<uint8_t> bytes = whole;
      const size_t end = turn % 2 == 0 ? 280 : bytes.size();
      for (int i = 0; i < 4; ++i) bytes[random.Below(end)] = static_cast<uint8_t>(random.Next());
      if (turn % 7 == 0) bytes.resize(random.Below(bytes.size()));
      std::shared_ptr<const Version> back;
      const Status status = Version::Open(bytes, &back);
      if (!status.ok()) {
        EXPECT_EQ(status.code(), Code::kCorrupt) << status.message();
        continue;
      }
      std::unique_ptr<Search> search;
      const std::vector<float> query(back->options().dims, 1.0F);
      ASSERT_TRUE(Search::Begin(back, query, {5, 0.9F, 0, 100}, &search).ok());
      std::vector<uint32_t> postings;
      search->Next(1000, &postings);
      EXPECT_TRUE(search->Hits().empty());
    }
  }
}

TEST(Snapshot, OpensWhatAMassDeletionLeft) {
  constexpr uint32_t kDims = 2;
  Options options;
  options.dims = kDims;
  options.posting_target = 8;
  options.posting_max = 16;
  options.posting_min = 2;
  options.spill = Spill::kNone;
  Random random(11);
  constexpr size_t kRows = 20'000;
  std::vector<float> vectors(kRows * kDims);
  for (float& x : vectors) x = random.Unit();
  test::TestIndex index(options);
  index.Build(vectors.data(), kRows);
  // All but the rows of the posting with the highest id.
  const uint32_t last = index.chunks().rbegin()->first;
  ASSERT_GT(last, 2048U);
  std::vector<uint8_t> stays(kRows);
  for (const auto& chunk : index.chunks().at(last)) {
    for (const uint64_t word : chunk->words()) stays[RowOf(word)] = 1;
  }
  for (size_t row = 0; row < kRows; ++row) {
    if (stays[row] == 0) index.Delete(row);
  }
  index.Sweep();
  ASSERT_EQ(index.version().postings(), 1U);
  std::shared_ptr<const Version> back;
  const Status status = Version::Open(index.version().Serialize(), &back);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_NE(back->posting(last), nullptr);
  EXPECT_EQ(back->entries(), index.version().entries());
  EXPECT_EQ(back->Serialize(), index.version().Serialize());
}

TEST(Snapshot, RemembersWhatChangedSinceTheCalibration) {
  test::TestIndex index = Some(Metric::kL2, 6);
  index.Idle();
  index.Calibrate();
  ASSERT_FALSE(index.version().WantsCalibration());
  Random random(12);
  std::vector<float> vector(6);
  uint64_t row = 2000;
  // Restarted after each hundredth of change.
  for (int restart = 0; restart < 6; ++restart) {
    EXPECT_FALSE(index.version().WantsCalibration()) << restart;
    for (int i = 0; i < 20; ++i, ++row) {
      for (float& x : vector) x = random.Unit() - 0.5F;
      index.Insert(row, vector.data(), 1);
    }
    index.Open(index.Checkpoint());
  }
  EXPECT_TRUE(index.version().WantsCalibration());
}

TEST(Snapshot, RefusesAFormatOfThePast) {
  std::vector<uint8_t> bytes = Some(Metric::kL2, 6).version().Serialize();
  bytes[4] = 1;
  std::shared_ptr<const Version> back;
  const Status status = Version::Open(bytes, &back);
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_NE(status.message().find("format 1"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace spfresh
