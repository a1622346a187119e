// What a refinement makes of centroids, and what tells that one has been left by its mean.
#include "refine.h"

#include <cmath>

#include "drift.h"
#include "gtest/gtest.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// Clusters of 100 vectors each around the corners of a square.
std::vector<float> Corners(Random* random) {
  std::vector<float> vectors;
  for (int i = 0; i < 400; ++i) {
    vectors.push_back((i % 2 == 0 ? -5.0F : 5.0F) + random->Unit());
    vectors.push_back((i / 2 % 2 == 0 ? -5.0F : 5.0F) + random->Unit());
  }
  return vectors;
}

double Distortion(const std::vector<float>& vectors, const std::vector<float>& centroids) {
  double sum = 0;
  for (size_t i = 0; i < vectors.size(); i += 2) {
    float least = 1e9F, distance2;
    for (size_t c = 0; c < centroids.size(); c += 2) {
      L2Squared(vectors.data() + i, {centroids.data() + c, 1, 2, 2}, &distance2);
      least = std::min(least, distance2);
    }
    sum += static_cast<double>(least);
  }
  return sum / static_cast<double>(vectors.size() / 2);
}

TEST(Refine, MovesCentroidsToWhereVectorsAre) {
  Random random(1);
  const std::vector<float> vectors = Corners(&random);
  // All in one corner.
  std::vector<float> centroids = {-5, -5, -4.8F, -4.9F, -4.5F, -4.5F, -5, -4.4F};
  Refine({vectors.data(), 400, 2}, 100, 10, &centroids);
  ASSERT_EQ(centroids.size(), 8U);
  EXPECT_LT(Distortion(vectors, centroids), 0.2);
}

TEST(Refine, KeepsWhatIsSettledInItsPlace) {
  Random random(2);
  const std::vector<float> vectors = Corners(&random);
  std::vector<float> centroids = {-4.5F, -4.5F, 5.5F, -4.5F, -4.5F, 5.5F, 5.5F, 5.5F};
  const std::vector<float> before = centroids;
  Refine({vectors.data(), 400, 2}, 100, 10, &centroids);
  ASSERT_EQ(centroids.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(centroids[i], before[i], 0.2F);
}

TEST(Refine, MakesAsManyClustersAsVectorsWant) {
  Random random(3);
  const std::vector<float> vectors = Corners(&random);
  for (const size_t begun : {1U, 2U, 12U}) {
    std::vector<float> centroids;
    for (size_t c = 0; c < begun; ++c) centroids.insert(centroids.end(), {random.Unit(), 1.0F});
    Refine({vectors.data(), 400, 2}, 100, 10, &centroids);
    EXPECT_EQ(centroids.size() / 2, 4U);
    EXPECT_LT(Distortion(vectors, centroids), 0.2);
  }
}

TEST(Refine, MakesNoClusterThatAMergeWouldTake) {
  Random random(4);
  std::vector<float> vectors = Corners(&random);
  // Five that lie far off.
  for (int i = 0; i < 5; ++i) vectors.insert(vectors.end(), {90.0F, 90.0F});
  std::vector<float> centroids = {-5, -5, 5, -5, -5, 5, 90, 90};
  Refine({vectors.data(), 405, 2}, 100, 10, &centroids);
  for (size_t c = 0; c < centroids.size(); c += 2) EXPECT_LT(centroids[c], 50);
}

TEST(Refine, LeavesEqualVectorsTogether) {
  const std::vector<float> vectors(600, 3.0F);
  std::vector<float> centroids = {3, 3};
  Refine({vectors.data(), 300, 2}, 30, 5, &centroids);
  EXPECT_EQ(centroids, (std::vector<float>{3, 3}));
}

TEST(Drift, IsSeenInTheSketchWithinAFactor) {
  Random random(5);
  const size_t stride = 384;
  const std::vector<float> centroid(stride, 0.5F);
  for (const float drift : {0.0F, 0.05F, 0.2F, 0.5F}) {
    Posting posting;
    std::vector<float> vector(stride);
    double sum = 0;
    for (int i = 0; i < 2000; ++i) {
      // Each coordinate has a variance of a third; the mean moves in a direction of chance.
      for (size_t j = 0; j < stride; ++j) {
        const float sign = j * 2654435761U % 7 < 3 ? -1.0F : 1.0F;
        vector[j] = 0.5F + (random.Unit() * 2 - 1) + sign * drift * 0.577F;
      }
      float distance2;
      L2Squared(centroid.data(), {vector.data(), 1, stride, stride}, &distance2);
      sum += static_cast<double>(distance2);
      ++posting.primaries;
      CountIn(vector.data(), centroid.data(), stride, distance2, &posting);
    }
    EXPECT_NEAR(posting.spread, sum, 1e-3 * sum);
    const float seen = std::sqrt(DriftShare2(posting));
    const float true_share = drift / std::sqrt(1 + drift * drift);
    EXPECT_GT(seen, 0.5F * true_share);
    EXPECT_LT(seen, 1.6F * true_share + 0.04F);
  }
}

}  // namespace
}  // namespace spfresh
