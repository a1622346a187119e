// SplitMix64: the same numbers on every machine, which the standard's distributions do not promise.
#pragma once

#include <cstdint>

namespace spfresh {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E37'79B9'7F4A'7C15);
    z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9;
    z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EB;
    return z ^ (z >> 31);
  }
  // Below "end". REQUIRES: end > 0
  uint64_t Below(uint64_t end) { return Next() % end; }
  // In [0, 1).
  float Unit() { return static_cast<float>(Next() >> 40) * 0x1p-24F; }

 private:
  uint64_t state_;
};

}  // namespace spfresh
