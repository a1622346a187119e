// A random rotation in O(n log n): rounds of random signs, a fast Hadamard transform and Kac's
// butterfly. Afterwards no coordinate means anything alone, so that one bit for each tells equally
// much of any vector, which is what RaBitQ's bound rests on (SIGMOD '24, section 3.1).
//
// Lengths that are no power of two: the Hadamard transform mixes the first 2^m coordinates in even
// rounds and the last 2^m in odd ones, and Kac's butterfly pairs the two halves in between.
//
// Thread safety: immutable after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spfresh {

class Rotation {
 public:
  // REQUIRES: size is a multiple of 16 and at least 64
  Rotation(size_t size, uint64_t seed);

  size_t size() const { return size_; }

  // In place. Lengths and angles stay, but for rounding.
  void Apply(float* vector) const;
  // The way back.
  void Invert(float* vector) const;

 private:
  void Hadamard(size_t round, float* vector, float* spare) const;

  size_t size_;
  // 2^m, and what makes its transform keep lengths.
  size_t power_ = 1;
  float scale_;
  size_t rounds_;
  // +1 or -1, of each round.
  std::vector<float> signs_;
};

}  // namespace spfresh
