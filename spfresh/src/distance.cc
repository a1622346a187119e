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

void Distances(SqlDistance distance, const float* query, const Rows& rows, std::span<double> out) {
  constexpr size_t kBlock = 256;
  float first[kBlock], second[kBlock];
  float query_norm = 0;
  if (distance == SqlDistance::kCosine) {
    Dot(query, {query, 1, rows.dims, rows.dims}, &query_norm);
  }
  for (size_t from = 0; from < rows.count; from += kBlock) {
    const Rows block{rows.data + from * rows.stride, std::min(kBlock, rows.count - from), rows.dims,
                     rows.stride};
    double* to = out.data() + from;
    switch (distance) {
      case SqlDistance::kL2:
        L2Squared(query, block, first);
        for (size_t i = 0; i < block.count; ++i) to[i] = std::sqrt(static_cast<double>(first[i]));
        break;
      case SqlDistance::kInnerProduct:
        Dot(query, block, first);
        for (size_t i = 0; i < block.count; ++i) to[i] = -static_cast<double>(first[i]);
        break;
      case SqlDistance::kCosine:
        DotAndNorm(query, block, first, second);
        for (size_t i = 0; i < block.count; ++i) {
          const double norms = static_cast<double>(query_norm) * static_cast<double>(second[i]);
          const double similarity = static_cast<double>(first[i]) / std::sqrt(norms);
          // Written so that NaN stays NaN.
          to[i] = similarity > 1.0 ? 0.0 : similarity < -1.0 ? 2.0 : 1.0 - similarity;
        }
        break;
      case SqlDistance::kL1:
        L1(query, block, first);
        for (size_t i = 0; i < block.count; ++i) to[i] = static_cast<double>(first[i]);
        break;
    }
  }
}

}  // namespace spfresh
#endif  // HWY_ONCE
