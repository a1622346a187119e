// The kernels against their plain twins, for every length around the widths of registers.
#include "spfresh/distance.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "random.h"

namespace spfresh {
namespace {

std::vector<float> Draw(Random* random, size_t count) {
  std::vector<float> values(count);
  for (float& x : values) x = random->Unit() * 2 - 1;
  return values;
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& b, size_t dims) {
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], 1e-6 * static_cast<double>(dims) + 1e-6)
        << "dims " << dims << " at " << i;
  }
}

TEST(Distance, KernelsAgreeWithTheirTwins) {
  Random random(1);
  for (size_t dims = 0; dims < 140; ++dims) {
    for (const size_t count : {0, 1, 2, 3, 5, 67}) {
      const size_t stride = dims + random.Below(3);
      const std::vector<float> queries = Draw(&random, 6 * stride + dims);
      const std::vector<float> data = Draw(&random, count * stride);
      const Rows rows{data.data(), count, dims, stride};
      std::vector<float> out(count), twin(count), out2(count), twin2(count);
      L2Squared(queries.data(), rows, out.data());
      scalar::L2Squared(queries.data(), rows, twin.data());
      ExpectNear(out, twin, dims);
      Dot(queries.data(), rows, out.data());
      scalar::Dot(queries.data(), rows, twin.data());
      ExpectNear(out, twin, dims);
      L1(queries.data(), rows, out.data());
      scalar::L1(queries.data(), rows, twin.data());
      ExpectNear(out, twin, dims);
      DotAndNorm(queries.data(), rows, out.data(), out2.data());
      scalar::DotAndNorm(queries.data(), rows, twin.data(), twin2.data());
      ExpectNear(out, twin, dims);
      ExpectNear(out2, twin2, dims);
      std::vector<float> many(6 * count), many_twin(6 * count);
      const Rows six{queries.data(), 6, dims, stride};
      DotMany(six, rows, many.data());
      scalar::DotMany(six, rows, many_twin.data());
      ExpectNear(many, many_twin, dims);
    }
  }
}

TEST(Distance, NanAndInfinityComeThrough) {
  for (size_t dims = 1; dims < 70; ++dims) {
    const std::vector<float> zero(dims);
    for (size_t at = 0; at < dims; ++at) {
      std::vector<float> odd(dims);
      odd[at] = std::numeric_limits<float>::quiet_NaN();
      float out;
      L2Squared(zero.data(), {odd.data(), 1, dims, dims}, &out);
      EXPECT_TRUE(std::isnan(out));
      L1(zero.data(), {odd.data(), 1, dims, dims}, &out);
      EXPECT_TRUE(std::isnan(out));
      odd[at] = 1e30F;
      L2Squared(zero.data(), {odd.data(), 1, dims, dims}, &out);
      EXPECT_TRUE(std::isinf(out));
    }
  }
}

TEST(Distance, SqlShowsWhatPgvectorShows) {
  const std::vector<float> rows = {3, 4, 0, 0, -2, 0, 1, 1};
  const std::vector<float> query = {1, 0};
  std::vector<double> out(4);
  const Rows view{rows.data(), 4, 2, 2};
  Distances(SqlDistance::kL2, query.data(), view, out);
  EXPECT_DOUBLE_EQ(out[0], std::sqrt(20.0));
  EXPECT_EQ(out[2], 3.0);
  Distances(SqlDistance::kInnerProduct, query.data(), view, out);
  EXPECT_EQ(out[0], -3.0);
  Distances(SqlDistance::kCosine, query.data(), view, out);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_EQ(out[2], 2.0);
  EXPECT_NEAR(out[3], 1 - 1 / std::sqrt(2.0), 1e-7);
  Distances(SqlDistance::kL1, query.data(), view, out);
  EXPECT_EQ(out[0], 6.0);
}

TEST(Distance, RowsAnywhereAreMeasuredAsRowsInOrder) {
  Random random(7);
  for (const size_t dims : {1, 17, 384}) {
    constexpr size_t kRows = 700;
    const std::vector<float> rows = Draw(&random, kRows * dims);
    const std::vector<float> query = Draw(&random, dims);
    std::vector<uint32_t> at;
    for (uint32_t i = 0; i < kRows; ++i) at.push_back((i * 311) % kRows);
    for (const auto distance :
         {SqlDistance::kL2, SqlDistance::kInnerProduct, SqlDistance::kCosine, SqlDistance::kL1}) {
      std::vector<double> found(at.size());
      DistancesAt(distance, query.data(), {rows.data(), kRows, dims, dims}, at, found);
      for (size_t i = 0; i < at.size(); ++i) {
        double alone = 0;
        Distances(distance, query.data(), {rows.data() + at[i] * dims, 1, dims, dims}, {&alone, 1});
        EXPECT_EQ(found[i], alone);
      }
    }
  }
}

}  // namespace
}  // namespace spfresh
