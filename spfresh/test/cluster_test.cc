#include "trainer.h"

#include <algorithm>
#include <set>

#include "codec.h"
#include "gtest/gtest.h"

namespace spfresh {
namespace {

Codec WholeCodec(uint32_t dims) {
  Options options;
  options.dims = dims;
  return {options, dims};
}

TEST(KMeans, FindsTheGroups) {
  std::vector<float> data;
  for (int i = 0; i < 90; ++i) {
    data.push_back(static_cast<float>(i % 3) * 10 + static_cast<float>(i) * 0.01F);
    data.push_back(static_cast<float>(i % 3) * -10);
  }
  Random random(1);
  std::vector<uint32_t> cluster_of;
  const auto centroids = KMeans({data.data(), 90, 2}, {}, 3, 10, &random, &cluster_of);
  ASSERT_EQ(centroids.size(), 6U);
  for (int i = 3; i < 90; ++i) EXPECT_EQ(cluster_of[i], cluster_of[i % 3]);
  EXPECT_EQ(std::set<uint32_t>(cluster_of.begin(), cluster_of.end()).size(), 3U);
}

TEST(KMeans, GivesOneCentroidForEqualVectors) {
  const std::vector<float> data(500, 2.5F);
  Random random(2);
  std::vector<uint32_t> cluster_of;
  EXPECT_EQ(KMeans({data.data(), 250, 2}, {}, 4, 10, &random, &cluster_of).size(), 2U);
  EXPECT_EQ(cluster_of, std::vector<uint32_t>(250, 0));
}

TEST(KMeans, SeesTheOneThatDiffersThoughItIsNotInTheSample) {
  std::vector<float> data(10'000, 1.0F);
  data[7777] = 2.0F;
  Random random(3);
  std::vector<uint32_t> cluster_of;
  EXPECT_EQ(KMeans({data.data(), 10'000, 1}, {}, 2, 4, &random, &cluster_of).size(), 2U);
  EXPECT_NE(cluster_of[7777], cluster_of[0]);
}

TEST(Trainer, MakesClustersOfLikeSize) {
  Random random(4);
  constexpr size_t kCount = 8000, kDims = 8;
  std::vector<float> data(kCount * kDims);
  for (size_t i = 0; i < kCount; ++i) {
    // Half of the vectors crowd in a hundredth of the space.
    const float scale = i % 2 == 0 ? 0.1F : 1.0F;
    for (size_t j = 0; j < kDims; ++j) data[i * kDims + j] = scale * (random.Unit() - 0.5F);
  }
  const Codec codec = WholeCodec(kDims);
  Trainer trainer({data.data(), kCount, kDims}, 100, codec, 5);
  while (trainer.Step()) {
  }
  EXPECT_FLOAT_EQ(trainer.progress(), 1.0F);
  const size_t found = trainer.centroids().size() / kDims;
  EXPECT_GE(found, 80U);
  EXPECT_LE(found, 140U);
  std::vector<size_t> sizes(found);
  for (size_t i = 0; i < kCount; ++i) {
    float best = 1e9F;
    size_t nearest = 0;
    for (size_t c = 0; c < found; ++c) {
      float distance2 = 0;
      for (size_t j = 0; j < kDims; ++j) {
        const float d = data[i * kDims + j] - trainer.centroids()[c * kDims + j];
        distance2 += d * d;
      }
      if (distance2 < best) {
        best = distance2;
        nearest = c;
      }
    }
    ++sizes[nearest];
  }
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 4 * kCount / found);
}

TEST(Trainer, IsAFunctionOfItsSeed) {
  Random random(6);
  std::vector<float> data(4000);
  for (float& x : data) x = random.Unit();
  const auto train = [&](uint64_t seed) {
    const Codec codec = WholeCodec(4);
    Trainer trainer({data.data(), 1000, 4}, 40, codec, seed);
    while (trainer.Step()) {
    }
    return trainer.centroids();
  };
  EXPECT_EQ(train(1), train(1));
  EXPECT_NE(train(1), train(2));
}

}  // namespace
}  // namespace spfresh
