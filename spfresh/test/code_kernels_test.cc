// The kernels over codes against plain loops, on every set of instructions that this machine has.
#include "code_kernels.h"

#include <cmath>

#include "gtest/gtest.h"
#include "random.h"
#include "targets.h"

namespace spfresh {
namespace {

std::vector<float> Draw(Random* random, size_t count) {
  std::vector<float> values(count);
  for (float& x : values) x = random->Unit() * 2 - 1;
  return values;
}

std::vector<uint8_t> DrawBytes(Random* random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random->Next());
  return bytes;
}

constexpr size_t kDims[] = {64, 80, 384, 400, 1024, 1040, 1536, 16000};

// Tables full of 255 too: sums of 16 bits must not overflow.
TEST(FastScan, SumsWhatTheBitsSay) {
  Random random(1);
  for (const size_t dims : kDims) {
    for (const bool full : {false, true}) {
      const size_t blocks = 3, entries = blocks * kScanBlock - 5;
      const std::vector<uint8_t> signs = DrawBytes(&random, entries * dims);
      std::vector<uint8_t> table = DrawBytes(&random, PlaneBytes(dims));
      if (full) table.assign(table.size(), 255);
      std::vector<uint8_t> planes(blocks * PlaneBytes(dims));
      std::vector<float> wanted(blocks * kScanBlock);
      for (size_t block = 0; block < blocks; ++block) {
        const uint8_t* of[kScanBlock] = {};
        for (size_t i = 0; i < kScanBlock; ++i) {
          const size_t e = block * kScanBlock + i;
          if (e < entries) of[i] = signs.data() + e * dims;
          for (size_t from = 0; from < dims; from += kLookupDims) {
            size_t bits = 0;
            for (size_t j = 0; j < kLookupDims && e < entries; ++j) {
              bits |= static_cast<size_t>(signs[e * dims + from + j] >> 7) << j;
            }
            wanted[e] += table[from / kLookupDims * kLookupBytes + bits];
          }
        }
        PackBlock(of, dims, planes.data() + block * PlaneBytes(dims));
      }
      std::vector<uint16_t> add(wanted.size()), rescale(wanted.size());
      for (uint16_t& x : add) x = static_cast<uint16_t>(random.Next());
      for (uint16_t& x : rescale) x = static_cast<uint16_t>(random.Below(4));
      test::ForEachTarget([&](const char* target) {
        std::vector<float> out(wanted.size());
        std::vector<uint32_t> within(blocks);
        // Plain sums are whole numbers: equal to the last bit.
        const std::vector<uint16_t> none(wanted.size()), one(wanted.size(), 1);
        FastScan({table.data(), dims}, {0, 1, 1, 0}, blocks, planes.data(), none.data(), one.data(),
                 1, out.data(), within.data());
        EXPECT_EQ(out, wanted) << target << " dims " << dims;
        FastScan({table.data(), dims}, {7, 0.25F, 0.5F, -3}, blocks, planes.data(), add.data(),
                 rescale.data(), 5000, out.data(), within.data());
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(within[i / kScanBlock] >> (i % kScanBlock) & 1, out[i] <= 5000 ? 1U : 0U);
        }
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_NEAR(out[i], 7 + 0.25F * add[i] + rescale[i] * (0.5F * wanted[i] - 3),
                      1e-6F * wanted[i] + 1e-2F)
              << target << " dims " << dims;
        }
      });
    }
  }
}

TEST(CodeKernels, AgreeWithPlainLoops) {
  Random random(2);
  for (const size_t dims : kDims) {
    const std::vector<float> query = Draw(&random, dims), vector = Draw(&random, dims);
    const std::vector<uint8_t> codes = DrawBytes(&random, dims);
    double bytes = 0, nibbles = 0, norm2 = 0, abs_sum = 0, signs = 0;
    float abs_max = 0;
    for (size_t i = 0; i < dims; ++i) {
      bytes += static_cast<double>(query[i]) * codes[i];
      const size_t half = dims / 2;
      nibbles += static_cast<double>(query[i]) * (i < half ? codes[i] & 15 : codes[i - half] >> 4);
      const float r = vector[i] - query[i];
      norm2 += static_cast<double>(r) * r;
      abs_sum += std::fabs(r);
      abs_max = std::max(abs_max, std::fabs(r));
      signs += r >= 0 ? query[i] : -query[i];
    }
    const double slack = 1e-4 * static_cast<double>(dims);
    test::ForEachTarget([&](const char* target) {
      EXPECT_NEAR(DotBytes(query.data(), codes.data(), dims), bytes, slack) << target;
      for (const StepBits bits : {StepBits::k8, StepBits::k16}) {
        const SteppedQuery stepped = InSteps(query.data(), dims, bits);
        double sum = 0, whole = 0, whole_nibbles = 0;
        for (size_t i = 0; i < dims; ++i) {
          const int steps = stepped.steps[i];
          const size_t half = dims / 2;
          sum += steps;
          whole += steps * (codes[i] - 127.5);
          whole_nibbles += steps * ((i < half ? codes[i] & 15 : codes[i - half] >> 4) - 7.5);
          ASSERT_NEAR(static_cast<double>(stepped.step) * steps, query[i], 0.51 * stepped.step);
        }
        EXPECT_EQ(static_cast<double>(stepped.sum), sum) << target;
        // Whole numbers: the same on every target.
        const float half_step = stepped.step / 2;
        EXPECT_EQ(DotBytes(stepped, codes.data(), dims, 255),
                  half_step * static_cast<float>(2 * whole))
            << target;
        EXPECT_EQ(DotNibbles(stepped, codes.data(), dims, 15),
                  half_step * static_cast<float>(2 * whole_nibbles))
            << target;
        double q = 0;
        for (const float x : query) q += static_cast<double>(x);
        // Errors of up to half a step, independent of each other.
        const double off = 127.5 * stepped.step * std::sqrt(static_cast<double>(dims));
        EXPECT_NEAR(DotBytes(stepped, codes.data(), dims, 255), bytes - 127.5 * q, slack + off)
            << target;
        EXPECT_NEAR(DotNibbles(stepped, codes.data(), dims, 15), nibbles - 7.5 * q, slack + off)
            << target;
      }
      std::vector<float> residual(dims), again(dims);
      const ResidualSums r = Residual(vector.data(), query.data(), dims, residual.data());
      EXPECT_NEAR(r.norm2, norm2, slack) << target;
      EXPECT_NEAR(r.abs_sum, abs_sum, slack) << target;
      EXPECT_EQ(r.abs_max, abs_max) << target;
      EXPECT_NEAR(r.signs_dot_centroid, signs, slack) << target;
      for (const uint32_t half : {8U, 128U}) {
        const float range = static_cast<float>(half) - 0.5F;
        std::vector<uint8_t> steps(dims);
        const QuantizedSums q =
            Quantize(residual.data(), range / abs_max, half, dims, steps.data());
        Reconstruct(steps.data(), abs_max / range, half, query.data(), dims, again.data());
        double dot = 0, length2 = 0;
        for (size_t i = 0; i < dims; ++i) {
          ASSERT_LT(steps[i], 2 * half);
          ASSERT_EQ(steps[i] >= half, residual[i] >= 0) << "the highest bit is the sign";
          const double y = static_cast<double>(steps[i]) - static_cast<double>(range);
          dot += static_cast<double>(residual[i]) * y;
          length2 += y * y;
          ASSERT_NEAR(again[i], vector[i], 0.51F * abs_max / range) << target;
        }
        EXPECT_NEAR(q.dot, dot, 1e-4 * dot) << target;
        EXPECT_NEAR(q.norm2, length2, 1e-4 * length2) << target;
      }
    });
  }
}

// Of any four of some records, by whatever sums them.
TEST(CodeKernels, EstimatesOfFourAreThoseOfEach) {
  Random random(3);
  for (const size_t dims : kDims) {
    constexpr size_t kRecords = 7, kFactors = 7;
    const std::vector<float> query = Draw(&random, dims), factors = Draw(&random, 7 * kFactors);
    const std::vector<uint8_t> codes = DrawBytes(&random, kRecords * dims);
    const Records records{codes.data(), dims, reinterpret_cast<const uint8_t*>(factors.data()),
                          kFactors * sizeof(float)};
    const uint32_t entries[] = {6, 0, 3, 3};
    test::ForEachTarget([&](const char* target) {
      const SteppedQuery stepped = InSteps(query.data(), dims, StepBits::k8);
      const EstimateLine line{2, stepped.step / 2, 255 * static_cast<int32_t>(stepped.sum), 3, 5};
      float scores[4], errors[4];
      EstimateFour(stepped, dims, line, records, entries, scores, errors);
      for (size_t i = 0; i < 4; ++i) {
        const float* own = factors.data() + entries[i] * kFactors;
        const float dot = DotBytes(stepped, records[entries[i]].code, dims, 255);
        EXPECT_NEAR(scores[i], 2 + own[0] + dot * own[1], 1e-5F * (3 + std::fabs(dot))) << target;
        EXPECT_NEAR(errors[i], std::hypot(3 * own[3], 5.0F), 1e-5F) << target;
      }
    });
  }
}

TEST(CodeKernels, SumsOfStepsNeverOverflow) {
  for (const size_t dims : {size_t{64}, size_t{2000}, size_t{16'000}}) {
    const std::vector<uint8_t> codes(dims, 255), nothing(dims, 0);
    for (const float sign : {1.0F, -1.0F}) {
      const std::vector<float> same(dims, 0.3F * sign);
      const double wanted = 127.5 * 0.3 * static_cast<double>(sign) * static_cast<double>(dims);
      const double slack = 1e-3 * std::fabs(wanted);
      const std::vector<float> factors = {0, 1, 0, 0};
      const auto* ones = reinterpret_cast<const uint8_t*>(factors.data());
      test::ForEachTarget([&](const char* target) {
        for (const StepBits bits : {StepBits::k8, StepBits::k16}) {
          const SteppedQuery query = InSteps(same.data(), dims, bits);
          EXPECT_NEAR(DotBytes(query, codes.data(), dims, 255), wanted, slack) << target;
          EXPECT_NEAR(DotBytes(query, nothing.data(), dims, 255), -wanted, slack) << target;
        }
        const SteppedQuery query = InSteps(same.data(), dims, StepBits::k8);
        const EstimateLine line{0, query.step / 2, 255 * static_cast<int32_t>(query.sum), 0, 0};
        const uint32_t entries[] = {0, 0, 0, 0};
        float scores[4], errors[4];
        EstimateFour(query, dims, line, {codes.data(), 0, ones, 0}, entries, scores, errors);
        EXPECT_NEAR(scores[3], wanted, slack) << target;
        EstimateFour(query, dims, line, {nothing.data(), 0, ones, 0}, entries, scores, errors);
        EXPECT_NEAR(scores[3], -wanted, slack) << target;
      });
    }
  }
}

TEST(CodeKernels, AQueryOfNoNumbersGivesNone) {
  const std::vector<uint8_t> codes(64, 200);
  for (const StepBits bits : {StepBits::k8, StepBits::k16}) {
    std::vector<float> query(64, 1.0F);
    for (const float odd :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      query[5] = odd;
      EXPECT_TRUE(std::isnan(DotBytes(InSteps(query.data(), 64, bits), codes.data(), 64, 255)));
    }
    query.assign(64, 0.0F);
    EXPECT_EQ(DotBytes(InSteps(query.data(), 64, bits), codes.data(), 64, 255), 0.0F);
    query.assign(64, 1e-42F);
    EXPECT_EQ(DotBytes(InSteps(query.data(), 64, bits), codes.data(), 64, 255), 0.0F);
  }
}

}  // namespace
}  // namespace spfresh
