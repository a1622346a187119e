// Nanoseconds a vector of each kernel, over vectors that stay in the cache.
//
//   kernel_bench [dims ...]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "query_code.h"
#include "random.h"
#include "rotation.h"
#include "spfresh/distance.h"

namespace {

// So few that they stay in a second-level cache of 512 KiB up to 512 dimensions.
constexpr size_t kVectors = 256;
constexpr int kTurns = 15, kCalls = 160;

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The best of several turns: what else the machine does only adds.
template <class Call>
void Measure(const char* name, size_t dims, Call call) {
  double best = std::numeric_limits<double>::infinity();
  for (int turn = 0; turn < kTurns; ++turn) {
    const double start = CpuSeconds();
    for (int i = 0; i < kCalls; ++i) call();
    best = std::min(best, CpuSeconds() - start);
  }
  std::printf("%6zu  %-18s %8.2f ns\n", dims, name, best / kCalls / kVectors * 1e9);
}

std::vector<float> Draw(spfresh::Random* random, size_t count) {
  std::vector<float> values(count);
  for (float& x : values) x = random->Unit() - 0.5F;
  return values;
}

void MeasureAll(size_t dims) {
  spfresh::Random random(dims);
  const std::vector<float> query = Draw(&random, dims);
  const std::vector<float> vectors = Draw(&random, kVectors * dims);
  std::vector<float> out(kVectors), norms(kVectors), errors(kVectors);
  const spfresh::Rows rows{vectors.data(), kVectors, dims, dims};
  Measure("f32 l2", dims, [&] { spfresh::L2Squared(query.data(), rows, out.data()); });
  Measure("f32 dot", dims, [&] { spfresh::Dot(query.data(), rows, out.data()); });
  Measure("f32 dot+norm", dims,
          [&] { spfresh::DotAndNorm(query.data(), rows, out.data(), norms.data()); });

  spfresh::Options options;
  options.dims = static_cast<uint32_t>(dims);
  const std::vector<float> centroid(dims);
  for (const uint32_t bits : {8, 4}) {
    options.code_bits = bits;
    const spfresh::Codec codec(options, options.dims);
    const size_t bytes = codec.record_bytes();
    std::vector<uint8_t> records(kVectors * bytes);
    const std::string of = " of " + std::to_string(bits) + " bits";
    Measure(("encode" + of).c_str(), dims, [&] {
      for (size_t i = 0; i < kVectors; ++i) {
        codec.Encode(vectors.data() + i * dims, centroid.data(), 0, records.data() + i * bytes);
      }
    });
    std::vector<spfresh::Record> placed(kVectors);
    for (size_t i = 0; i < kVectors; ++i) placed[i] = codec.At(records.data(), i);
    std::vector<float> decoded(dims);
    Measure(("decode" + of).c_str(), dims, [&] {
      for (size_t i = 0; i < kVectors; ++i) {
        codec.Decode(placed[i], centroid.data(), decoded.data());
      }
    });
    const std::vector<uint64_t> words(kVectors);
    const auto chunk = spfresh::Chunk::Make({0, options.dims, bits}, words, placed);
    const spfresh::QueryCode code(codec, options.metric, query.data(), 0.95F);
    const auto beside = code.PlaceBeside(centroid.data(), 1);
    if (bits == 8) {
      std::vector<uint32_t> within(chunk->scan().blocks);
      Measure("scan of 1 bit", dims,
              [&] { code.Scan(beside, chunk->scan(), 0, out.data(), within.data()); });
    }
    Measure(("refine" + of).c_str(), dims, [&] {
      for (uint32_t i = 0; i < kVectors; ++i) out[i] = code.Refine(beside, chunk->record(i)).score;
    });
    const auto refiner = code.RefinerOf(beside, *chunk);
    std::vector<uint32_t> entries(kVectors);
    std::iota(entries.begin(), entries.end(), 0U);
    Measure(("four" + of).c_str(), dims, [&] {
      for (uint32_t i = 0; i < kVectors; i += 4) {
        refiner.Four(entries.data() + i, out.data() + i, errors.data() + i);
      }
    });
  }
  const spfresh::Rotation rotation(dims, 1);
  std::vector<float> turned = vectors;
  Measure("rotate", dims, [&] {
    for (size_t i = 0; i < kVectors; ++i) rotation.Apply(turned.data() + i * dims);
  });
  Measure("table of a query", dims, [&] {
    for (size_t i = 0; i < kVectors; ++i) {
      spfresh::QueryCode(spfresh::Codec(options, options.dims), options.metric,
                         vectors.data() + i * dims, 0.95F);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("kernels %s\n", spfresh::KernelTarget());
  for (int i = 1; i < argc; ++i) MeasureAll(std::strtoul(argv[i], nullptr, 10));
  if (argc == 1) {
    for (const size_t dims : {384, 768, 1536}) MeasureAll(dims);
  }
  return 0;
}
