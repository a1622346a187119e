#include "code_kernels.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "byte_products.h"

// Compiles code_kernels-inl.h once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "code_kernels.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "code_kernels-inl.h"
#include "hwy/highway.h"

#if HWY_ONCE

namespace spfresh {
namespace {

// Of steps in a unit: beyond, a query is nothing.
constexpr float kMostSteps = 1e30F;

}  // namespace

HWY_EXPORT(FastScanKernel);
HWY_EXPORT(FindWithinKernel);
HWY_EXPORT(WidestLookupKernel);
HWY_EXPORT(FillTableKernel);
HWY_EXPORT(DotBytesKernel);
HWY_EXPORT(StepsPerUnitKernel);
HWY_EXPORT(UsesAvx512);
HWY_EXPORT(RoundKernel);
HWY_EXPORT(DotStepsKernel);
HWY_EXPORT(DotHalfStepsKernel);
HWY_EXPORT(SumFourKernel);
HWY_EXPORT(ResidualKernel);
HWY_EXPORT(QuantizeKernel);
HWY_EXPORT(ReconstructKernel);

void FastScan(const ScanTable& table, const ScanLine& line, size_t blocks, const uint8_t* planes,
              const uint16_t* add, const uint16_t* rescale, float bound, float* out,
              uint32_t* within) {
  HWY_DYNAMIC_DISPATCH(FastScanKernel)
  (table, line, blocks, planes, add, rescale, bound, out, within);
}

float WidestLookup(const float* query, size_t dims) {
  return HWY_DYNAMIC_DISPATCH(WidestLookupKernel)(query, dims);
}

TableSums FillTable(const float* query, size_t dims, float steps_per_unit, uint8_t* table) {
  return HWY_DYNAMIC_DISPATCH(FillTableKernel)(query, dims, steps_per_unit, table);
}

void FindWithin(const float* values, size_t count, float above, float at_most,
                std::vector<uint32_t>* found) {
  HWY_DYNAMIC_DISPATCH(FindWithinKernel)(values, count, above, at_most, found);
}

float DotBytes(const float* query, const uint8_t* codes, size_t dims) {
  return HWY_DYNAMIC_DISPATCH(DotBytesKernel)(query, codes, dims);
}

SteppedQuery InSteps(const float* query, size_t dims, StepBits bits) {
  const float most = bits == StepBits::k8 ? 127 : 32767;
  const float per_unit = HWY_DYNAMIC_DISPATCH(StepsPerUnitKernel)(query, most, dims);
  SteppedQuery to;
  to.steps.resize(dims);
  // Nothing but zeros, or so little that its inverse is none.
  if (per_unit > kMostSteps) return to;
  if (!(per_unit > 0)) {
    to.step = std::numeric_limits<float>::quiet_NaN();
    return to;
  }
  HWY_DYNAMIC_DISPATCH(RoundKernel)(query, per_unit, dims, to.steps.data());
  for (const int16_t steps : to.steps) to.sum += steps;
  to.step = 1 / per_unit;
  if (bits == StepBits::k8 && HWY_DYNAMIC_DISPATCH(UsesAvx512)() && byte_products::Here()) {
    to.bytes.assign(to.steps.begin(), to.steps.end());
  }
  return to;
}

namespace {

float Centred(const SteppedQuery& query, int64_t sum, int64_t twice_centre) {
  return query.step / 2 * static_cast<float>(2 * sum - twice_centre * query.sum);
}

}  // namespace

float DotBytes(const SteppedQuery& query, const uint8_t* codes, size_t dims, int64_t twice_centre) {
  const int32_t sum = query.bytes.empty()
                          ? HWY_DYNAMIC_DISPATCH(DotStepsKernel)(query.steps.data(), codes, dims)
                          : byte_products::Dot(query.bytes.data(), codes, dims);
  return Centred(query, sum, twice_centre);
}

void EstimateFour(const SteppedQuery& query, size_t dims, const EstimateLine& line,
                  const Records& records, const uint32_t* entries, float* scores, float* errors) {
  if (!query.bytes.empty()) {
    byte_products::EstimateFour(query.bytes.data(), dims, line, records, entries, scores, errors);
    return;
  }
  int32_t sums[4];
  HWY_DYNAMIC_DISPATCH(SumFourKernel)(query.steps.data(), dims, records, entries, sums);
  for (size_t i = 0; i < 4; ++i) {
    float factors[4];
    std::memcpy(factors, records[entries[i]].factors, sizeof(factors));
    const float dot = line.half_step * static_cast<float>(2 * sums[i] - line.centre);
    scores[i] = line.base + factors[0] + dot * factors[1];
    errors[i] = std::hypot(line.share * factors[3], line.off);
  }
}

float DotNibbles(const SteppedQuery& query, const uint8_t* codes, size_t dims,
                 int64_t twice_centre) {
  const int32_t sum =
      query.bytes.empty()
          ? HWY_DYNAMIC_DISPATCH(DotHalfStepsKernel)(query.steps.data(), codes, dims)
          : byte_products::DotNibbles(query.bytes.data(), codes, dims);
  return Centred(query, sum, twice_centre);
}

ResidualSums Residual(const float* vector, const float* centroid, size_t dims, float* residual) {
  return HWY_DYNAMIC_DISPATCH(ResidualKernel)(vector, centroid, dims, residual);
}

QuantizedSums Quantize(const float* residual, float steps_per_unit, uint32_t half, size_t dims,
                       uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(QuantizeKernel)(residual, steps_per_unit, half, dims, codes);
}

void Reconstruct(const uint8_t* codes, float step, uint32_t half, const float* centroid,
                 size_t dims, float* vector) {
  HWY_DYNAMIC_DISPATCH(ReconstructKernel)(codes, step, half, centroid, dims, vector);
}

// The sums of FastScan come out as four runs of eight: the even bytes' lower halves, the odd bytes'
// lower ones, then the upper ones in the same way. So entry e goes to half e / 16 of byte
// 2 (e % 8) + e / 8 % 2, and the sums are in the order of the entries.
void PackBlock(std::span<const uint8_t* const> signs, size_t dims, uint8_t* plane) {
  std::memset(plane, 0, PlaneBytes(dims));
  for (size_t e = 0; e < signs.size(); ++e) {
    if (signs[e] == nullptr) continue;
    const size_t byte = 2 * (e % 8) + e / 8 % 2, shift = e / 16 * 4;
    for (size_t from = 0; from < dims; from += kLookupDims) {
      unsigned bits = 0;
      for (size_t j = 0; j < kLookupDims; ++j) {
        bits |= static_cast<unsigned>(signs[e][from + j] >> 7) << j;
      }
      plane[from / kLookupDims * kLookupBytes + byte] |= static_cast<uint8_t>(bits << shift);
    }
  }
}

}  // namespace spfresh
#endif  // HWY_ONCE
