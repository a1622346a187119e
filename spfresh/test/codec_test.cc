// What RaBitQ promises: estimates without bias, errors within their bounds as often as was asked
// for, and certain bounds always, through any number of recodings.
#include "codec.h"

#include <algorithm>
#include <cmath>

#include "code_kernels.h"
#include "entries.h"
#include "gtest/gtest.h"
#include "query_code.h"
#include "random.h"
#include "rotation.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

constexpr uint32_t kDims = 256;
constexpr uint32_t kEntries = 128;

// About normal.
float Bell(Random* random) {
  float sum = -6;
  for (int i = 0; i < 12; ++i) sum += random->Unit();
  return sum;
}

std::vector<float> Bells(Random* random, size_t count, float scale) {
  std::vector<float> values(count);
  for (float& x : values) x = scale * Bell(random);
  return values;
}

// A posting and a query, turned by the rotation of this seed.
struct Scene {
  Scene(Metric metric, uint32_t bits, uint64_t seed) : codec(OptionsOf(metric, bits), kDims) {
    Random random(7);
    centroid = Bells(&random, kDims, 1);
    query = Bells(&random, kDims, 1);
    vectors = Bells(&random, kEntries * kDims, 0.5F);
    // Unlike each other in their coordinates, so that without rotation signs would tell little.
    for (uint32_t i = 0; i < kEntries * kDims; ++i) {
      if (i % kDims % 16 != 0) vectors[i] *= 0.05F;
      vectors[i] += centroid[i % kDims];
    }
    const Rotation rotation(kDims, seed);
    rotation.Apply(centroid.data());
    rotation.Apply(query.data());
    for (uint32_t i = 0; i < kEntries; ++i) rotation.Apply(vectors.data() + i * kDims);
    words.resize(kEntries);
    chunk = EncodeChunk(codec, 3, centroid.data(), words, vectors.data());
    for (uint32_t i = 0; i < kEntries; ++i) {
      float to_query, to_centroid;
      const Rows row{vectors.data() + i * kDims, 1, kDims, kDims};
      if (metric == Metric::kInnerProduct) {
        Dot(query.data(), row, &to_query);
        to_query = -to_query;
      } else {
        L2Squared(query.data(), row, &to_query);
      }
      scores.push_back(to_query);
      L2Squared(centroid.data(), row, &to_centroid);
      radius = std::max(radius, std::sqrt(to_centroid));
    }
  }

  static Options OptionsOf(Metric metric, uint32_t bits) {
    Options options;
    options.metric = metric;
    options.dims = kDims;
    options.code_bits = bits;
    return options;
  }

  Codec codec;
  std::vector<float> centroid, query, vectors;
  std::vector<uint64_t> words;
  std::shared_ptr<const Chunk> chunk;
  std::vector<float> scores;
  float radius = 0;
};

TEST(RaBitQ, EstimatesWithoutBiasAndWithinItsBounds) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    for (const uint32_t bits : {4, 8}) {
      double bias = 0, spread = 0, scan_over = 0, over = 0, count = 0;
      for (uint64_t seed = 1; seed <= 60; ++seed) {
        const Scene scene(metric, bits, seed);
        const QueryCode code(scene.codec, metric, scene.query.data(), 0.95F);
        const auto beside = code.PlaceBeside(scene.centroid.data(), scene.radius);
        std::vector<float> low(kEntries);
        std::vector<uint32_t> within(kEntries / kScanBlock);
        code.Scan(beside, scene.chunk->scan(), 0, low.data(), within.data());
        for (uint32_t i = 0; i < kEntries; ++i) {
          const Estimate estimate = code.Refine(beside, scene.chunk->record(i));
          const double off = static_cast<double>(estimate.score) - scene.scores[i];
          bias += off;
          spread += off * off;
          over += std::fabs(off) > estimate.error ? 1 : 0;
          scan_over += low[i] > scene.scores[i] ? 1 : 0;
          ++count;
        }
      }
      const double deviation = std::sqrt(spread / count);
      // Entries of one scene share their query, so that they are not as good as independent.
      EXPECT_LT(std::fabs(bias / count), 0.1 * deviation) << "bits " << bits;
      EXPECT_LT(over / count, 0.01) << "bits " << bits;
      // About two deviations, on one side.
      EXPECT_LT(scan_over / count, 0.04) << "bits " << bits;
      EXPECT_GT(scan_over / count, 0.002) << "bits " << bits;
    }
  }
}

TEST(RaBitQ, CertainBoundsHoldThroughAnyRecoding) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
    for (const uint32_t bits : {4, 8}) {
      Random random(5);
      const Scene scene(metric, bits, 1);
      std::vector<float> decoded(kDims);
      std::vector<uint8_t> record(scene.codec.record_bytes());
      for (uint32_t i = 0; i < kEntries; ++i) {
        const float* vector = scene.vectors.data() + i * kDims;
        std::vector<float> centroid = scene.centroid;
        std::copy_n(vector, kDims, decoded.begin());
        float error = 0;
        for (int turn = 0; turn < 12; ++turn) {
          for (float& x : centroid) x += 0.05F * Bell(&random);
          scene.codec.Encode(decoded.data(), centroid.data(), error, record.data());
          const QueryCode code(scene.codec, metric, scene.query.data(), 1);
          float radius2, lost2;
          L2Squared(vector, {centroid.data(), 1, kDims, kDims}, &radius2);
          const auto beside = code.PlaceBeside(centroid.data(), std::sqrt(radius2));
          const Estimate estimate = code.Refine(beside, scene.codec.At(record.data(), 0));
          ASSERT_LE(std::fabs(estimate.score - scene.scores[i]), estimate.error);
          error =
              scene.codec.Decode(scene.codec.At(record.data(), 0), centroid.data(), decoded.data());
          L2Squared(vector, {decoded.data(), 1, kDims, kDims}, &lost2);
          ASSERT_LE(std::sqrt(lost2), error);
        }
        // Errors add up, lengths do not grow.
        EXPECT_LT(error, bits == 8 ? 0.6F : 12.0F);
      }
    }
  }
}

TEST(RaBitQ, AVectorThatIsItsCentroidComesBackExactly) {
  const Scene scene(Metric::kL2, 8, 1);
  std::vector<uint8_t> record(scene.codec.record_bytes());
  std::vector<float> decoded(kDims);
  scene.codec.Encode(scene.centroid.data(), scene.centroid.data(), 0, record.data());
  scene.codec.Decode(scene.codec.At(record.data(), 0), scene.centroid.data(), decoded.data());
  EXPECT_EQ(decoded, scene.centroid);
}

// An entry that stays where its centroid stays keeps its code, bit for bit.
TEST(Entries, KeepTheirCodesAtHome) {
  const Scene scene(Metric::kL2, 8, 1);
  Entries entries(scene.codec);
  const std::vector<uint8_t> live(kEntries, 1);
  EXPECT_EQ(entries.AddLive(*scene.chunk, scene.centroid.data(), live), 0U);
  const auto same = entries.ToChunk(3, scene.centroid.data(), false);
  EXPECT_TRUE(std::ranges::equal(same->scan_bytes(), scene.chunk->scan_bytes()));
  EXPECT_TRUE(std::ranges::equal(same->record_bytes(), scene.chunk->record_bytes()));
  const auto moved = entries.ToChunk(3, scene.query.data(), true);
  EXPECT_FALSE(std::ranges::equal(moved->record_bytes(), scene.chunk->record_bytes()));
}

}  // namespace
}  // namespace spfresh
