#include "drift.h"

#include <cstdint>

namespace spfresh {
namespace {

// A sign for each coordinate, as if drawn by chance: neighbours in one sum must not go together.
float SignOf(size_t coordinate) {
  uint64_t mixed = (coordinate + 1) * 0x9E37'79B9'7F4A'7C15;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9;
  return (mixed >> 63) != 0 ? 1.0F : -1.0F;
}

}  // namespace

void CountIn(const float* vector, const float* centroid, size_t stride, float distance2,
             Posting* posting) {
  constexpr size_t kSums = std::tuple_size_v<decltype(Posting::shift)>;
  posting->spread += distance2;
  for (size_t i = 0; i < stride; ++i) {
    posting->shift[i % kSums] += SignOf(i) * (vector[i] - centroid[i]);
  }
}

void AddSums(const Posting& sums, Posting* posting) {
  posting->spread += sums.spread;
  for (size_t i = 0; i < sums.shift.size(); ++i) posting->shift[i] += sums.shift[i];
}

float DriftShare2(const Posting& posting) {
  if (!(posting.spread > 0) || posting.primaries == 0) return 0;
  float shift2 = 0;
  for (const float sum : posting.shift) shift2 += sum * sum;
  return shift2 / (posting.spread * static_cast<float>(posting.primaries));
}

}  // namespace spfresh
