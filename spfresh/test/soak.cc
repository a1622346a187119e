// The model test for as long as one likes.
//
//   soak [--operations=10000000] [--seed=1] [--live=1500]
//
// Operations are those of model.h: inserts, deletes, steps of upkeep, searches, checkpoints and
// crashes, also within a step. Every 2,500 the case changes, by metric, codes and second copies: of
// one half of them vectors are coded. Every hundred the whole index is counted anew. The first
// thing that is wrong ends it, with the seed to find it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "model.h"

namespace {

uint64_t Flag(int argc, char** argv, const char* name, uint64_t otherwise) {
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], name, std::strlen(name)) == 0) {
      return std::strtoull(argv[i] + std::strlen(name), nullptr, 10);
    }
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace spfresh;
  const uint64_t operations = Flag(argc, argv, "--operations=", 10'000'000);
  const uint64_t live = Flag(argc, argv, "--live=", 1500);
  uint64_t seed = Flag(argc, argv, "--seed=", 1);
  uint64_t done = 0;
  for (; done < operations; ++seed) {
    const uint32_t bits = seed % 2 == 0 ? (seed % 4 == 0 ? 4 : 8) : kWholeBits;
    constexpr uint64_t kLength = 2'500;
    test::Model model({static_cast<Metric>(seed % 3), seed, seed % 5 != 0, bits});
    for (uint64_t step = 0; step < kLength && done < operations; ++step, ++done) {
      std::string wrong = model.Step(live);
      if (wrong.empty() && step % 100 == 99) wrong = model.Check();
      if (wrong.empty()) continue;
      std::printf("seed %llu, operation %llu of its own: %s\n",
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(step),
                  wrong.c_str());
      return 1;
    }
    if (seed % 10 == 0) {
      std::printf("%llu operations\n", static_cast<unsigned long long>(done));
      std::fflush(stdout);
    }
  }
  std::printf("%llu operations without a lost, stale or doubled row\n",
              static_cast<unsigned long long>(done));
  return 0;
}
