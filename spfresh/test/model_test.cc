// Random operations against brute force, seeded: whatever the metric, the codes and the order of
// events, nothing is lost, nothing dead or doubled is found, and with recall 1 the answer is exact.
// `soak` (soak.cc) does the same for longer.
#include "model.h"

#include <string>

#include "gtest/gtest.h"

namespace spfresh {
namespace {

using test::Model;

class ModelTest : public testing::TestWithParam<Model::Case> {};

TEST_P(ModelTest, AgreesWithBruteForce) {
  Model model(GetParam());
  for (int step = 0; step < 500; ++step) {
    ASSERT_EQ(model.Step(), "") << "step " << step;
    if (step % 10 == 0) {
      ASSERT_EQ(model.Check(), "") << "step " << step;
    }
  }
  ASSERT_EQ(model.Check(), "");
  test::TestIndex& index = model.index();
  index.Sweep();
  index.Idle();
  ASSERT_EQ(model.Check(), "");
  // Settled: nothing is too full but what cannot be told apart, and no row is far from home.
  for (uint32_t id = 0; id < index.version().capacity(); ++id) {
    const Posting* posting = index.version().posting(id);
    if (posting != nullptr && posting->entries > model.options().posting_max) {
      EXPECT_GT(posting->stuck, 0U) << "posting " << id;
    }
  }
  const test::Health health = test::Examine(index);
  EXPECT_LE(health.stale, 0.15);
  // A row coded anew is not quite where it was: with 4 bits that makes some change their mind.
  EXPECT_LE(health.violations, GetParam().bits == 4 ? 0.05 : 0.01);
}

std::vector<Model::Case> Cases() {
  std::vector<Model::Case> cases;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
      const auto spill = static_cast<Spill>(seed % 3);
      cases.push_back({metric, seed, spill, kWholeBits});
      if (seed <= 6) cases.push_back({metric, seed, spill, seed % 2 == 0 ? 4U : 8U});
    }
  }
  return cases;
}

std::string Name(const testing::TestParamInfo<Model::Case>& info) {
  constexpr const char* kMetrics[] = {"L2", "InnerProduct", "Cosine"};
  constexpr const char* kSpills[] = {"", "Soar", "Closure"};
  return std::string(kMetrics[static_cast<int>(info.param.metric)]) +
         std::to_string(info.param.seed) + kSpills[static_cast<int>(info.param.spill)] +
         (info.param.bits == kWholeBits ? "" : "Bits" + std::to_string(info.param.bits));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::ValuesIn(Cases()), Name);

}  // namespace
}  // namespace spfresh
