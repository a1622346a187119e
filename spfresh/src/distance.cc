#include "spfresh/distance.h"

#include <algorithm>
#include <cmath>
#include <vector>

// Compiles kernels-inl.h once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels-inl.h"

#if HWY_ONCE

namespace spfresh {

HWY_EXPORT(L2SquaredKernel);
HWY_EXPORT(DotKernel);
HWY_EXPORT(L1Kernel);
HWY_EXPORT(DotAndNormKernel);
HWY_EXPORT(DotManyKernel);
HWY_EXPORT(TargetKernel);

void L2Squared(const float* query, const Rows& rows, float* out) {
  HWY_DYNAMIC_DISPATCH(L2SquaredKernel)(query, rows, out);
}
void Dot(const float* query, const Rows& rows, float* out) {
  HWY_DYNAMIC_DISPATCH(DotKernel)(query, rows, out);
}
void L1(const float* query, const Rows& rows, float* out) {
  HWY_DYNAMIC_DISPATCH(L1Kernel)(query, rows, out);
}
void DotAndNorm(const float* query, const Rows& rows, float* dot, float* norm) {
  HWY_DYNAMIC_DISPATCH(DotAndNormKernel)(query, rows, dot, norm);
}
void DotMany(const Rows& queries, const Rows& rows, float* out) {
  HWY_DYNAMIC_DISPATCH(DotManyKernel)(queries, rows, out);
}

namespace scalar {

void L2Squared(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    float sum = 0;
    for (size_t i = 0; i < rows.dims; ++i) {
      const float difference = query[i] - rows.data[r * rows.stride + i];
      sum += difference * difference;
    }
    out[r] = sum;
  }
}

void Dot(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    float sum = 0;
    for (size_t i = 0; i < rows.dims; ++i) sum += query[i] * rows.data[r * rows.stride + i];
    out[r] = sum;
  }
}

void L1(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    float sum = 0;
    for (size_t i = 0; i < rows.dims; ++i) {
      sum += std::fabs(query[i] - rows.data[r * rows.stride + i]);
    }
    out[r] = sum;
  }
}

void DotAndNorm(const float* query, const Rows& rows, float* dot, float* norm) {
  scalar::Dot(query, rows, dot);
  for (size_t r = 0; r < rows.count; ++r) {
    const float* row = rows.data + r * rows.stride;
    scalar::Dot(row, {row, 1, rows.dims, rows.stride}, norm + r);
  }
}

void DotMany(const Rows& queries, const Rows& rows, float* out) {
  for (size_t q = 0; q < queries.count; ++q) {
    scalar::Dot(queries.data + q * queries.stride, rows, out + q * rows.count);
  }
}

}  // namespace scalar

const char* KernelTarget() { return HWY_DYNAMIC_DISPATCH(TargetKernel)(); }

namespace {

constexpr size_t kBlock = 256;
constexpr size_t kCacheLine = 64;
// Rows that are on their way from memory while one is measured.
constexpr size_t kAhead = 4;

// What a distance is made of for the rows of a block: one sum, or two.
struct Sums {
  float first[kBlock];
  float second[kBlock];
};

void Sum(SqlDistance distance, const float* query, const Rows& rows, size_t from, Sums* sums) {
  switch (distance) {
    case SqlDistance::kL2:
      return L2Squared(query, rows, sums->first + from);
    case SqlDistance::kInnerProduct:
      return Dot(query, rows, sums->first + from);
    case SqlDistance::kCosine:
      return DotAndNorm(query, rows, sums->first + from, sums->second + from);
    case SqlDistance::kL1:
      return L1(query, rows, sums->first + from);
  }
}

void Show(SqlDistance distance, float query_norm, const Sums& sums, std::span<double> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const auto first = static_cast<double>(sums.first[i]);
    switch (distance) {
      case SqlDistance::kL2:
        out[i] = std::sqrt(first);
        break;
      case SqlDistance::kInnerProduct:
        out[i] = -first;
        break;
      case SqlDistance::kCosine: {
        const double norms = static_cast<double>(query_norm) * static_cast<double>(sums.second[i]);
        const double similarity = first / std::sqrt(norms);
        // Written so that NaN stays NaN.
        out[i] = similarity > 1.0 ? 0.0 : similarity < -1.0 ? 2.0 : 1.0 - similarity;
        break;
      }
      case SqlDistance::kL1:
        out[i] = first;
        break;
    }
  }
}

float QueryNorm(SqlDistance distance, const float* query, size_t dims) {
  float norm = 0;
  if (distance == SqlDistance::kCosine) Dot(query, {query, 1, dims, dims}, &norm);
  return norm;
}

}  // namespace

void Distances(SqlDistance distance, const float* query, const Rows& rows, std::span<double> out) {
  const float query_norm = QueryNorm(distance, query, rows.dims);
  Sums sums;
  for (size_t from = 0; from < rows.count; from += kBlock) {
    const Rows block{rows.data + from * rows.stride, std::min(kBlock, rows.count - from), rows.dims,
                     rows.stride};
    Sum(distance, query, block, 0, &sums);
    Show(distance, query_norm, sums, out.subspan(from, block.count));
  }
}

void DistancesAt(SqlDistance distance, const float* query, const Rows& rows,
                 std::span<const uint32_t> at, std::span<double> out) {
  const float query_norm = QueryNorm(distance, query, rows.dims);
  const auto row = [&](size_t i) { return rows.data + at[i] * rows.stride; };
  const auto fetch = [&](size_t i) {
    const auto* bytes = reinterpret_cast<const char*>(row(i));
    const size_t length = rows.dims * sizeof(float);
    for (size_t byte = 0; byte < length; byte += kCacheLine) __builtin_prefetch(bytes + byte);
  };
  for (size_t i = 0; i < std::min(kAhead, at.size()); ++i) fetch(i);
  Sums sums;
  for (size_t from = 0; from < at.size(); from += kBlock) {
    const size_t count = std::min(kBlock, at.size() - from);
    for (size_t i = 0; i < count; ++i) {
      if (from + i + kAhead < at.size()) fetch(from + i + kAhead);
      Sum(distance, query, {row(from + i), 1, rows.dims, rows.stride}, i, &sums);
    }
    Show(distance, query_norm, sums, out.subspan(from, count));
  }
}

}  // namespace spfresh
#endif  // HWY_ONCE
