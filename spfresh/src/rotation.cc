#include "rotation.h"

#include <cassert>
#include <cmath>

#include "random.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "rotation.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spfresh {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Registers of at most 16 floats: every length here is a multiple of 16.
using Wide = hn::CappedTag<float, 16>;

void SignsKernel(const float* HWY_RESTRICT signs, size_t size, float* HWY_RESTRICT vector) {
  const Wide d;
  for (size_t i = 0; i < size; i += hn::Lanes(d)) {
    hn::StoreU(hn::Mul(hn::LoadU(d, vector + i), hn::LoadU(d, signs + i)), d, vector + i);
  }
}

// Pease's form: every stage adds and subtracts the two halves and shuffles them into each other, so
// that all stages run at the full width. After log2(size) stages everything is in its place.
void HadamardKernel(size_t size, float scale, float* HWY_RESTRICT vector,
                    float* HWY_RESTRICT spare) {
  const Wide d;
  const size_t half = size / 2;
  const auto unit = hn::Set(d, scale);
  float* from = vector;
  float* to = spare;
  for (size_t stage = 1; stage < size; stage *= 2) {
    for (size_t i = 0; i < half; i += hn::Lanes(d)) {
      const auto a = hn::LoadU(d, from + i), b = hn::LoadU(d, from + half + i);
      hn::StoreInterleaved2(hn::Add(a, b), hn::Sub(a, b), d, to + 2 * i);
    }
    float* const last = from;
    from = to;
    to = last;
  }
  for (size_t i = 0; i < size; i += hn::Lanes(d)) {
    hn::StoreU(hn::Mul(hn::LoadU(d, from + i), unit), d, vector + i);
  }
}

// (x, y) becomes (x + y, x - y) / sqrt(2) for each pair across the halves. Its own inverse.
void KacKernel(size_t size, float* HWY_RESTRICT vector) {
  // Halves are multiples of 8.
  const hn::CappedTag<float, 8> d;
  const size_t half = size / 2;
  const auto unit = hn::Set(d, 0.70710678118654752F);
  for (size_t i = 0; i < half; i += hn::Lanes(d)) {
    const auto a = hn::LoadU(d, vector + i), b = hn::LoadU(d, vector + half + i);
    hn::StoreU(hn::Mul(hn::Add(a, b), unit), d, vector + i);
    hn::StoreU(hn::Mul(hn::Sub(a, b), unit), d, vector + half + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace spfresh
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace spfresh {

HWY_EXPORT(SignsKernel);
HWY_EXPORT(HadamardKernel);
HWY_EXPORT(KacKernel);

namespace {

// One Hadamard transform spreads a coordinate over all that it mixes; the others make chance of
// what a single one leaves regular. Where each round leaves some coordinates out it takes more of
// them.
constexpr size_t kRoundsWhole = 3, kRoundsInParts = 6;

}  // namespace

Rotation::Rotation(size_t size, uint64_t seed) : size_(size) {
  assert(size % 16 == 0 && size >= 64);
  while (2 * power_ <= size_) power_ *= 2;
  scale_ = 1.0F / std::sqrt(static_cast<float>(power_));
  rounds_ = power_ == size_ ? kRoundsWhole : kRoundsInParts;
  Random random(seed ^ 0x0707'A7E5);
  signs_.resize(rounds_ * size_);
  for (float& sign : signs_) sign = random.Next() >> 63 == 0 ? 1.0F : -1.0F;
}

void Rotation::Hadamard(size_t round, float* vector, float* spare) const {
  HWY_DYNAMIC_DISPATCH(HadamardKernel)
  (power_, scale_, vector + (round % 2 == 0 ? 0 : size_ - power_), spare);
}

void Rotation::Apply(float* vector) const {
  std::vector<float> spare(power_);
  for (size_t round = 0; round < rounds_; ++round) {
    HWY_DYNAMIC_DISPATCH(SignsKernel)(signs_.data() + round * size_, size_, vector);
    Hadamard(round, vector, spare.data());
    if (power_ != size_) HWY_DYNAMIC_DISPATCH(KacKernel)(size_, vector);
  }
}

void Rotation::Invert(float* vector) const {
  std::vector<float> spare(power_);
  for (size_t round = rounds_; round-- > 0;) {
    if (power_ != size_) HWY_DYNAMIC_DISPATCH(KacKernel)(size_, vector);
    Hadamard(round, vector, spare.data());
    HWY_DYNAMIC_DISPATCH(SignsKernel)(signs_.data() + round * size_, size_, vector);
  }
}

}  // namespace spfresh
#endif  // HWY_ONCE
