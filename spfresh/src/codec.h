// What a chunk holds of a vector: its record. Below kCodedDims dimensions that is the vector. From
// there on it is its RaBitQ code (SIGMOD '24; with more than one bit SIGMOD '25) relative to the
// centroid of its posting:
//
//   r = x - c, in rotated coordinates; y = the middles of the steps into which the coordinates of
//   r fall, 2^bits of them; s = |r|^2 / <r, y>. Then s <q, y> is an unbiased estimate of <q, r>
//   for whatever q, and s y is nearly r.
//
// The highest bit of each step is the sign, and the signs alone are the code of one bit, with a
// scale of its own: |r|^2 / sum |r_i|. A record holds whole codes, signs included, row by row; a
// chunk has the signs once more, transposed, for FastScan. That is an eighth more than to keep each
// bit once, and a candidate is refined by one run of bytes and its factors.
//
// Thread safety: immutable after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "spfresh/chunk.h"
#include "spfresh/options.h"

namespace spfresh {

// What a record holds beside its code. With q a query and T the sum of q_i * code_i:
//   squared distance      ~ |q - c|^2 + add + rescale * (T - centre * sum q_i)
//   minus inner product   ~ -q.c      + add + rescale * (T - centre * sum q_i)
struct Factors {
  float add;
  float rescale;
  // c + step * y has the distance to c that the coded vector has: what is decoded and coded again,
  // as often as upkeep wants, neither grows nor shrinks.
  float step;
  // No less than |x - (c + s y)|, nor than the same with step for s; x the vector that was once
  // given, through all recodings.
  float error;
  // The same for the code of one bit, whose T sums q_i where the sign is positive and whose centre
  // is a half.
  float scan_add;
  float scan_rescale;
  // sqrt(1 - a^2), a the cosine of r and its signs: the error's length in the unit of s |y|.
  float scan_spread;

  // |r|^2. REQUIRES: of squared distances
  float Residual2(size_t stride) const {
    const auto dims = static_cast<float>(stride);
    const float height = scan_rescale / -4;
    const float cosine2 = 1 - scan_spread * scan_spread * (dims - 1) / dims;
    return cosine2 * height * height * dims;
  }
};

class Codec {
 public:
  Codec(const Options& options, uint32_t stride);

  uint32_t stride() const { return stride_; }
  // Of a coordinate: 4 or 8, or 32 for vectors that are kept whole.
  uint32_t bits() const { return bits_; }
  bool coded() const { return bits_ != kWholeBits; }
  size_t record_bytes() const { return RecordBytes(stride_, bits_); }
  // Record i of some that lie one behind the other, each its code and then its factors.
  Record At(const uint8_t* records, size_t i) const {
    const uint8_t* code = records + i * record_bytes();
    return {code, code + CodeBytes(stride_, bits_)};
  }
  // The step in the middle of all.
  float centre() const { return static_cast<float>(half()) - 0.5F; }

  static size_t CodeBytes(size_t stride, size_t bits) { return stride * bits / 8; }
  static size_t FactorBytes(size_t bits) { return bits == kWholeBits ? 0 : sizeof(Factors); }
  static size_t RecordBytes(size_t stride, size_t bits) {
    return CodeBytes(stride, bits) + FactorBytes(bits);
  }
  // REQUIRES: of coded vectors
  static Factors FactorsOf(const Record& record) {
    // One by one: of those that are not used nothing is read.
    const auto factor = [&](size_t i) {
      float value;
      std::memcpy(&value, record.factors + i * sizeof(value), sizeof(value));
      return value;
    };
    return {factor(0), factor(1), factor(2), factor(3), factor(4), factor(5), factor(6)};
  }
  // The steps of a code as bytes, with the sign as their highest bit.
  static void Steps(const uint8_t* code, size_t stride, size_t bits, uint8_t* steps);

  // Writes record_bytes(), the code and then the factors. "error" is how far "vector" may be from
  // what was once given: 0 for that itself, what Decode returned for what it gave.
  void Encode(const float* vector, const float* centroid, float error, uint8_t* record) const;
  // Writes stride() floats. Returns a bound of their distance from the vector that was once given.
  float Decode(const Record& record, const float* centroid, float* vector) const;

 private:
  uint32_t half() const { return 1U << (bits_ - 1); }

  uint32_t stride_;
  uint32_t bits_;
  Metric metric_;
};

}  // namespace spfresh
