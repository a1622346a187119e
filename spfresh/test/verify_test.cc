// The verifier finds what was put in wrong on purpose, and nothing in a sound index.
#include "spfresh/verify.h"

#include "entries.h"
#include "gtest/gtest.h"
#include "random.h"
#include "test_index.h"
#include "version_state.h"

namespace spfresh {
namespace {

constexpr size_t kRows = 2000;

struct Sample {
  explicit Sample(uint32_t dims, Metric metric = Metric::kL2) : index(OptionsOf(dims, metric)) {
    Random random(dims);
    vectors.resize(kRows * dims);
    for (float& x : vectors) x = random.Unit() * 2 - 1;
    index.Build(vectors.data(), kRows);
    index.Idle();
  }
  static Options OptionsOf(uint32_t dims, Metric metric) {
    Options options;
    options.dims = dims;
    options.metric = metric;
    options.posting_target = 32;
    options.posting_max = 64;
    options.posting_min = 8;
    return options;
  }
  std::span<const float> vector(uint64_t row) const {
    const size_t dims = index.version().options().dims;
    return {vectors.data() + row * dims, dims};
  }
  // Adds all chunks but those of a posting to leave out.
  std::unique_ptr<Verifier> Counted(uint32_t without = ~0U) const {
    auto verifier = Verifier::Begin(index.shared());
    for (const auto& [id, chunks] : index.chunks()) {
      if (id == without) continue;
      for (const auto& chunk : chunks) {
        test::Must(verifier->AddChunk(id, *chunk, index.Live(*chunk)));
        for (uint32_t i = 0; i < chunk->size(); i += 5) {
          const uint64_t row = RowOf(chunk->words()[i]);
          test::Must(verifier->Compare(*chunk, i, vector(row), vector((row + 7) % kRows)));
        }
      }
    }
    return verifier;
  }
  test::TestIndex index;
  std::vector<float> vectors;
};

TEST(Verify, FindsNothingInASoundIndex) {
  for (const auto& [dims, metric] : {std::pair{8U, Metric::kL2},
                                     {96U, Metric::kInnerProduct},
                                     {70U, Metric::kCosine},
                                     {96U, Metric::kL2}}) {
    Sample sample(dims, metric);
    for (uint64_t row = 0; row < kRows; row += 20) sample.index.Delete(row);
    const auto verifier = sample.Counted();
    EXPECT_TRUE(verifier->Faults().empty()) << verifier->Faults()[0];
    const Verifier::Found& found = verifier->found();
    EXPECT_EQ(found.entries, sample.index.version().entries());
    EXPECT_EQ(found.placed, kRows * 19 / 20);
    EXPECT_GT(found.dead, 0U);
    EXPECT_LE(found.misplaced * 1000, found.placed);
    EXPECT_EQ(found.outside, 0U);
    EXPECT_GT(found.compared, 100U);
    EXPECT_EQ(found.untrue, 0U);
    EXPECT_LE(found.unbounded * 100, found.estimates);
    EXPECT_EQ(verifier->Overfull(), 0U);
  }
}

TEST(Verify, FindsAPostingThatIsLost) {
  const Sample sample(8);
  const uint32_t lost = sample.index.chunks().begin()->first;
  const std::vector<std::string> faults = sample.Counted(lost)->Faults();
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0], "posting " + std::to_string(lost) + " is lost");
  EXPECT_NE(faults[1].find("entries are counted"), std::string::npos);
}

TEST(Verify, FindsAnEntryTooManyAndFarFromHome) {
  for (const uint32_t dims : {8U, 96U}) {
    const Sample sample(dims);
    const Version::State& state = sample.index.version().state();
    const auto verifier = sample.Counted();
    const uint32_t id = sample.index.chunks().begin()->first;
    // A vector three times as far away as any.
    std::vector<float> far(sample.vector(0).begin(), sample.vector(0).end());
    std::vector<float> place(state.space.stride());
    for (float& x : far) x = x < 0 ? -3 : 3;
    ASSERT_TRUE(state.space.Place(far.data(), place.data()));
    const uint64_t row = 5;
    const auto chunk =
        EncodeChunk(state.codec, id, state.centroids.centroid(id).data(), {&row, 1}, place.data());
    const uint8_t live = 1;
    test::Must(verifier->AddChunk(id, *chunk, {&live, 1}));
    EXPECT_EQ(verifier->found().outside, 1U);
    EXPECT_EQ(verifier->Faults().size(), 2U);
  }
}

TEST(Verify, FindsRowsNearerToAnotherCentroid) {
  const Sample sample(8);
  const Version::State& state = sample.index.version().state();
  const auto verifier = sample.Counted();
  const uint64_t before = verifier->found().misplaced;
  auto at = sample.index.chunks().begin();
  const uint32_t home = at->first, other = (++at)->first;
  const auto& stranger = at->second[0];
  // The other's members as if they were of this posting.
  std::vector<float> buffer;
  const float* vectors =
      VectorsOf(state.codec, *stranger, state.centroids.centroid(other).data(), &buffer);
  const std::vector<uint64_t> words(stranger->size(), 3);
  const auto chunk =
      EncodeChunk(state.codec, home, state.centroids.centroid(home).data(), words, vectors);
  test::Must(verifier->AddChunk(home, *chunk, std::vector<uint8_t>(chunk->size(), 1)));
  EXPECT_GT(verifier->found().misplaced, before + chunk->size() / 2);
}

TEST(Verify, FindsCodesThatAreNotOfTheirVectors) {
  for (const uint32_t dims : {8U, 96U}) {
    const Sample sample(dims);
    auto verifier = Verifier::Begin(sample.index.shared());
    const auto& chunk = sample.index.chunks().begin()->second[0];
    for (uint32_t i = 0; i < chunk->size(); ++i) {
      const uint64_t row = RowOf(chunk->words()[i]);
      const uint64_t wrong = (row + 1000) % kRows;
      test::Must(verifier->Compare(*chunk, i, sample.vector(wrong), sample.vector(wrong)));
    }
    EXPECT_EQ(verifier->found().compared, chunk->size());
    EXPECT_EQ(verifier->found().untrue, chunk->size());
    if (dims == 96U) {
      EXPECT_GT(verifier->found().unbounded * 2, verifier->found().estimates);
    }
  }
}

}  // namespace
}  // namespace spfresh
