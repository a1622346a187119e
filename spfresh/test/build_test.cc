// A build by several threads: inserts into one version, computed side by side and merged, make what
// they make one after the other.
#include "spfresh/build.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "random.h"
#include "spfresh/version.h"
#include "test_index.h"

namespace spfresh {
namespace {

constexpr uint32_t kDims = 20;
constexpr size_t kRows = 6000;
constexpr size_t kSlice = 1500;

std::vector<float> Vectors() {
  Random random(5);
  std::vector<float> vectors(kRows * kDims);
  for (float& x : vectors) x = static_cast<float>(random.Below(2000)) / 1000.0F - 1.0F;
  return vectors;
}

std::shared_ptr<const Version> Trained(const std::vector<float>& vectors) {
  Options options;
  options.dims = kDims;
  std::unique_ptr<Builder> builder;
  test::Must(Builder::Begin(options, kRows, kRows, &builder));
  test::Must(builder->AddSample(vectors));
  builder->Start();
  while (builder->Train()) {
  }
  return builder->version();
}

Change InsertSlice(const Version& version, const std::vector<float>& vectors, size_t slice) {
  std::vector<uint64_t> rows;
  for (size_t i = 0; i < kSlice; ++i) rows.push_back(slice * kSlice + i);
  Change change;
  test::Must(version.Insert(rows, {vectors.data() + slice * kSlice * kDims, kSlice * size_t{kDims}},
                            &change));
  return change;
}

TEST(Build, InsertsSideBySideMergeToThoseInARow) {
  const std::vector<float> vectors = Vectors();
  const std::shared_ptr<const Version> base = Trained(vectors);
  ASSERT_GT(base->postings(), 10U);
  ASSERT_EQ(base->entries(), 0U);

  std::shared_ptr<const Version> in_a_row = base;
  for (size_t slice = 0; slice < kRows / kSlice; ++slice) {
    in_a_row = InsertSlice(*in_a_row, vectors, slice).version;
  }
  std::vector<Change> changes(kRows / kSlice);
  std::vector<std::thread> threads;
  for (size_t slice = 0; slice < changes.size(); ++slice) {
    threads.emplace_back([&, slice] { changes[slice] = InsertSlice(*base, vectors, slice); });
  }
  for (std::thread& thread : threads) thread.join();
  std::shared_ptr<const Version> merged = base;
  for (const Change& change : changes) {
    std::shared_ptr<const Version> next;
    test::Must(merged->Merge(*base, *change.version, &next));
    merged = next;
  }

  EXPECT_EQ(merged->entries(), in_a_row->entries());
  EXPECT_EQ(merged->Serialize(), in_a_row->Serialize());
  EXPECT_EQ(merged->Loaded()->Serialize(), in_a_row->Loaded()->Serialize());
}

// Copies have the room of placed vectors, which are padded: of 100 dimensions to 112.
TEST(Build, TheSampleFitsInItsMemory) {
  Options options;
  options.dims = 100;
  EXPECT_EQ(Builder::SampleRows(options, 1'000'000, 112 * sizeof(float) * 5000), 5000U);
  EXPECT_EQ(Builder::SampleRows(options, 1'000'000, 0), 1024U);
  const uint64_t enough = Builder::SampleRows(options, 1'000'000, UINT64_MAX);
  EXPECT_GT(enough, 100'000U);
  EXPECT_LT(enough, 1'000'000U);
}

// What comes beyond its size would double the memory of all that came before.
TEST(Build, TheSampleTakesNoMoreThanItSaid) {
  const std::vector<float> vectors = Vectors();
  const auto trained = [&](size_t given) {
    Options options;
    options.dims = kDims;
    std::unique_ptr<Builder> builder;
    test::Must(Builder::Begin(options, kRows, 1000, &builder));
    test::Must(builder->AddSample({vectors.data(), given * kDims}));
    test::Must(builder->AddSample({vectors.data() + given * kDims, 10 * size_t{kDims}}));
    builder->Start();
    while (builder->Train()) {
    }
    return builder->version()->Serialize();
  };
  EXPECT_EQ(trained(1000), trained(990));
  EXPECT_EQ(trained(1000), trained(2500));
  EXPECT_NE(trained(1000), trained(980));
}

TEST(Build, VersionsOfOtherCentroidsDoNotMerge) {
  const std::vector<float> vectors = Vectors();
  const std::shared_ptr<const Version> base = Trained(vectors);
  std::shared_ptr<const Version> empty, out;
  test::Must(Version::Empty(base->options(), &empty));
  EXPECT_FALSE(base->Merge(*empty, *base, &out).ok());
  EXPECT_FALSE(empty->Merge(*base, *base, &out).ok());
  EXPECT_EQ(out, nullptr);
}

TEST(Build, LoadedForgetsEmptyPostingsAndWantsNoRecentring) {
  const std::vector<float> vectors = Vectors();
  const std::shared_ptr<const Version> base = Trained(vectors);
  Change change = InsertSlice(*base, vectors, 0);
  // A posting that no row of the slice is near to.
  uint32_t empty = 0;
  for (uint32_t id = 0; id < base->capacity(); ++id) {
    const Posting* posting = change.version->posting(id);
    if (posting != nullptr && posting->entries == 0) ++empty;
  }
  const std::shared_ptr<const Version> loaded = change.version->Loaded();
  EXPECT_EQ(loaded->postings() + empty, base->postings());
  EXPECT_EQ(loaded->entries(), change.version->entries());
  uint32_t posting = 0;
  EXPECT_NE(loaded->NextWork(&posting), Work::kRecentre);
  EXPECT_NE(loaded->NextWork(&posting), Work::kMerge);
  EXPECT_FALSE(loaded->NextRefine(&posting));
  EXPECT_EQ(change.version->NextWork(&posting) == Work::kNone, false);
}

}  // namespace
}  // namespace spfresh
