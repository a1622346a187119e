#include "codec.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// Ranges that are tried for the steps, as shares of the largest coordinate. Eight bits resolve the
// whole range well enough; with four it pays to cut off its ends.
constexpr float kRanges[] = {1.0F, 0.9F, 0.8F, 0.7F, 0.6F, 0.5F};
constexpr size_t kRangesTriedByFourBits = 6;
// What rounding may add to a distance, as a share of the lengths involved.
constexpr float kRounding = 2e-6F;

float Length(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return std::sqrt(distance2);
}

}  // namespace

Codec::Codec(const Options& options, uint32_t stride)
    : stride_(stride), bits_(options.record_bits()), metric_(options.metric) {}

void Codec::Steps(const uint8_t* code, size_t stride, size_t bits, uint8_t* steps) {
  if (bits == 8) {
    std::memcpy(steps, code, stride);
    return;
  }
  for (size_t i = 0; i < stride / 2; ++i) {
    steps[i] = static_cast<uint8_t>(code[i] << 4);
    steps[stride / 2 + i] = code[i] & 0xF0;
  }
}

void Codec::Encode(const float* vector, const float* centroid, float error, uint8_t* record) const {
  if (!coded()) {
    std::memcpy(record, vector, record_bytes());
    return;
  }
  std::vector<float> residual(stride_);
  std::vector<uint8_t> steps(stride_), tried(stride_);
  const ResidualSums r = Residual(vector, centroid, stride_, residual.data());
  QuantizedSums best{};
  const float range = static_cast<float>(half()) - 0.5F;
  for (size_t i = 0; i < (bits_ == 8 ? 1 : kRangesTriedByFourBits) && r.abs_max > 0; ++i) {
    const float per_unit = range / (kRanges[i] * r.abs_max);
    const QuantizedSums q =
        Quantize(residual.data(), std::min(per_unit, 1e30F), half(), stride_, tried.data());
    // The larger cosine: <r, y>^2 / |y|^2.
    if (i > 0 && q.dot * q.dot * best.norm2 <= best.dot * best.dot * q.norm2) continue;
    best = q;
    steps.swap(tried);
  }
  // Of equal vectors, and of residuals so short that their squares are zero, nothing is left.
  const bool vanishes = !(r.norm2 > 0 && r.abs_sum > 0 && best.dot > 0);
  if (vanishes) std::fill(steps.begin(), steps.end(), static_cast<uint8_t>(half()));
  const float scale = vanishes ? 0.0F : r.norm2 / best.dot;
  const float height = vanishes ? 0.0F : r.norm2 / r.abs_sum;

  // The code as it will be read, to learn what is lost.
  std::vector<float> again(stride_);
  Reconstruct(steps.data(), scale, half(), centroid, stride_, again.data());
  const float lost = Length(vector, again.data(), stride_);
  float centroid_norm2, steps_dot = DotBytes(centroid, steps.data(), stride_);
  Dot(centroid, {centroid, 1, stride_, stride_}, &centroid_norm2);
  for (size_t i = 0; i < stride_; ++i) steps_dot -= centre() * centroid[i];

  const bool is_product = metric_ == Metric::kInnerProduct;
  const auto dims = static_cast<float>(stride_);
  const float cosine2 = vanishes ? 1.0F : r.abs_sum * r.abs_sum / (dims * r.norm2);
  Factors f;
  f.add = is_product ? 0.0F : r.norm2 + 2 * scale * steps_dot;
  f.rescale = is_product ? -scale : -2 * scale;
  f.step = vanishes ? 0.0F : std::sqrt(r.norm2 / best.norm2);
  // The scale of an estimate is the larger one, and loses more.
  f.error = error + lost + kRounding * (std::sqrt(centroid_norm2) + std::sqrt(r.norm2));
  // <q, signs> = 2 T - sum q_i.
  f.scan_add = is_product ? 0.0F : r.norm2 + 2 * height * r.signs_dot_centroid;
  f.scan_rescale = is_product ? -2 * height : -4 * height;
  f.scan_spread = std::sqrt(std::max(0.0F, 1 - cosine2) * dims / (dims - 1));

  if (bits_ == 8) {
    std::memcpy(record, steps.data(), stride_);
  } else {
    for (size_t i = 0; i < stride_ / 2; ++i) {
      record[i] = static_cast<uint8_t>(steps[i] | steps[stride_ / 2 + i] << 4);
    }
  }
  std::memcpy(record + CodeBytes(stride_, bits_), &f, sizeof(f));
}

float Codec::Decode(const Record& record, const float* centroid, float* vector) const {
  if (!coded()) {
    std::memcpy(vector, record.code, record_bytes());
    return 0;
  }
  const Factors f = FactorsOf(record);
  if (bits_ == 8) {
    Reconstruct(record.code, f.step, half(), centroid, stride_, vector);
    return f.error;
  }
  std::vector<uint8_t> steps(stride_);
  for (size_t i = 0; i < stride_ / 2; ++i) {
    steps[i] = record.code[i] & 15;
    steps[stride_ / 2 + i] = record.code[i] >> 4;
  }
  Reconstruct(steps.data(), f.step, half(), centroid, stride_, vector);
  return f.error;
}

}  // namespace spfresh
