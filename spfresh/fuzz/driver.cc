// Feeds a fuzz target with seeds that were damaged by chance: bits turned, bytes and numbers set to
// what is rare, runs cut out, doubled or taken from another seed.
//
//   fuzz_NAME [turns] [seed]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "random.h"
#include "target.h"

namespace {

using spfresh::Random;

void SetNumber(Random* random, std::vector<uint8_t>* bytes) {
  constexpr uint64_t kRare[] = {0,          1,          0x7F,       0xFF,
                                0xFFFF,     0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                0x7F800000, 0x7FC00000, 0xFF7FFFFF, ~uint64_t{0}};
  const uint64_t number = kRare[random->Below(std::size(kRare))];
  const size_t length = size_t{1} << random->Below(4);
  const size_t at = random->Below(bytes->size());
  for (size_t i = 0; i < length && at + i < bytes->size(); ++i) {
    (*bytes)[at + i] = static_cast<uint8_t>(number >> (8 * i));
  }
}

void Damage(Random* random, const std::vector<std::vector<uint8_t>>& seeds,
            std::vector<uint8_t>* bytes) {
  if (bytes->empty()) return;
  // Most of what decides lies at the beginning.
  const size_t end = random->Below(2) == 0 ? std::min<size_t>(bytes->size(), 300) : bytes->size();
  const size_t from = random->Below(end);
  const size_t length = 1 + random->Below(std::min<size_t>(bytes->size() - from, 64));
  const auto at = bytes->begin() + static_cast<ptrdiff_t>(from);
  switch (random->Below(7)) {
    case 0:
      *at ^= static_cast<uint8_t>(1U << random->Below(8));
      break;
    case 1:
      *at = static_cast<uint8_t>(random->Next());
      break;
    case 2:
      SetNumber(random, bytes);
      break;
    case 3:
      bytes->erase(at, at + static_cast<ptrdiff_t>(length));
      break;
    case 4: {
      const std::vector<uint8_t> run(at, at + static_cast<ptrdiff_t>(length));
      bytes->insert(at, run.begin(), run.end());
      break;
    }
    case 5:
      bytes->resize(from);
      break;
    default: {
      const std::vector<uint8_t>& other = seeds[random->Below(seeds.size())];
      for (size_t i = 0; i < length && from + i < other.size(); ++i) {
        (*bytes)[from + i] = other[from + i];
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t turns = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4000;
  Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  const std::vector<std::vector<uint8_t>> seeds = Seeds();
  for (const auto& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  for (uint64_t turn = 0; turn < turns; ++turn) {
    std::vector<uint8_t> bytes = seeds[random.Below(seeds.size())];
    for (uint64_t times = 1 + random.Below(4); times > 0; --times) Damage(&random, seeds, &bytes);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%llu inputs\n", static_cast<unsigned long long>(turns + seeds.size()));
  return 0;
}
