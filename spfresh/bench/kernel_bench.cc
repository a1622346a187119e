// Nanoseconds a vector of each kernel, over vectors that stay in the cache.
//
//   kernel_bench [dims ...]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <vector>

#include "random.h"
#include "spfresh/distance.h"

namespace {

constexpr size_t kVectors = 1024;
constexpr int kTurns = 15, kCalls = 40;

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
  std::printf("%6zu  %-16s %8.2f ns\n", dims, name, best / kCalls / kVectors * 1e9);
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
  std::vector<float> out(kVectors), norms(kVectors);
  const spfresh::Rows rows{vectors.data(), kVectors, dims, dims};
  Measure("f32 l2", dims, [&] { spfresh::L2Squared(query.data(), rows, out.data()); });
  Measure("f32 dot", dims, [&] { spfresh::Dot(query.data(), rows, out.data()); });
  Measure("f32 dot+norm", dims,
          [&] { spfresh::DotAndNorm(query.data(), rows, out.data(), norms.data()); });
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
