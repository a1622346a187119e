// The model test for as long as one likes, on all cores.
//
//   soak [--operations=10000000] [--seed=1] [--live=1500] [--threads=0]
//
// Operations are those of model.h: inserts, deletes, steps of upkeep, searches, checkpoints and
// crashes, also within a step. Every 2,500 the case changes, by metric, codes and second copies: of
// one half of them vectors are coded. Every hundred the whole index is counted anew. A case is of
// one thread and depends on its seed alone, so that the seed of the first thing that is wrong finds
// it again. It ends everything.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "model.h"

namespace {

constexpr uint64_t kLength = 2'500;

uint64_t Flag(int argc, char** argv, const char* name, uint64_t otherwise) {
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], name, std::strlen(name)) == 0) {
      return std::strtoull(argv[i] + std::strlen(name), nullptr, 10);
    }
  }
  return otherwise;
}

// So many operations of the case of a seed. Whether all of them were right.
bool Right(uint64_t seed, uint64_t operations, uint64_t live) {
  using namespace spfresh;
  const uint32_t bits = seed % 2 == 0 ? (seed % 4 == 0 ? 4 : 8) : kWholeBits;
  const Spill spill = seed % 5 == 0 ? Spill::kNone : seed % 5 == 1 ? Spill::kClosure : Spill::kSoar;
  test::Model model({static_cast<Metric>(seed % 3), seed, spill, bits});
  for (uint64_t step = 0; step < operations; ++step) {
    std::string wrong = model.Step(live);
    if (wrong.empty() && step % 100 == 99) wrong = model.Check();
    if (wrong.empty()) continue;
    std::printf("seed %llu, operation %llu of its own: %s\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(step), wrong.c_str());
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t operations = Flag(argc, argv, "--operations=", 10'000'000);
  const uint64_t live = Flag(argc, argv, "--live=", 1500);
  const uint64_t seed = Flag(argc, argv, "--seed=", 1);
  uint64_t threads = Flag(argc, argv, "--threads=", 0);
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());

  std::atomic<uint64_t> next{0}, done{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    while (!failed) {
      const uint64_t from = next++ * kLength;
      if (from >= operations) return;
      const uint64_t count = std::min(kLength, operations - from);
      if (!Right(seed + from / kLength, count, live)) failed = true;
      const uint64_t now = done += count;
      if (now / 100'000 != (now - count) / 100'000 && !failed) {
        std::printf("%llu operations\n", static_cast<unsigned long long>(now));
        std::fflush(stdout);
      }
    }
  };
  std::vector<std::thread> others;
  for (uint64_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  if (failed) return 1;
  std::printf("%llu operations without a lost, stale or doubled row\n",
              static_cast<unsigned long long>(done.load()));
  return 0;
}
