// What the calibration of the stop rule costs in memory, and that it finds what it is made for.
#include "spfresh/calibrate.h"

#include "gtest/gtest.h"
#include "random.h"
#include "test_index.h"

namespace spfresh {
namespace {

TEST(Calibrate, HoldsNoMoreForMorePostings) {
  Options options;
  options.dims = 4;
  options.posting_target = 8;
  options.posting_max = 64;
  options.posting_min = 2;
  constexpr size_t kRows = 14'000;
  Random random(1);
  std::vector<float> vectors(kRows * options.dims);
  for (float& x : vectors) x = random.Unit();
  test::TestIndex index(options);
  index.Build(vectors.data(), kRows);

  auto calibrator = Calibrator::Begin(index.shared());
  for (const uint32_t id : calibrator->SamplePostings()) {
    if (calibrator->wanted() == 0) break;
    for (const auto& chunk : index.chunks().at(id)) calibrator->AddSample(*chunk);
  }
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      test::Must(calibrator->AddPosting(id, *chunk, index.Live(*chunk)));
    }
  }
  const auto calibrated = calibrator->Finish();
  EXPECT_EQ(calibrated->calibrated_entries(), index.version().entries());
  EXPECT_GT(calibrator->held_most(), 1U << 20);
  EXPECT_LT(calibrator->held_most(), 16U << 20);
  // Thirty-two bytes for each step of each search at six depths.
  const uint64_t with_every_step = uint64_t{32} * index.version().postings() * 1024 * 6;
  EXPECT_GT(with_every_step, 10 * calibrator->held_most());
}

}  // namespace
}  // namespace spfresh
