// The bodies of the kernels, compiled once for each instruction set by distance.cc.
// No include guard of the usual kind: Highway includes this file again for every target.
#if defined(SPFRESH_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPFRESH_KERNELS_INL_H_
#undef SPFRESH_KERNELS_INL_H_
#else
#define SPFRESH_KERNELS_INL_H_
#endif

#include <cmath>
#include <cstddef>

#include "hwy/highway.h"
#include "hwy/targets.h"
#include "spfresh/distance.h"

HWY_BEFORE_NAMESPACE();
namespace spfresh {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four accumulators hide the latency of the multiply-add; the rest of a vector that fills no
// register is summed plainly.
template <class Step, class Last>
HWY_INLINE float Reduce(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t dims,
                        Step step, Last last) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= dims; i += 4 * lanes) {
    s0 = step(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    s1 = step(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes), s1);
    s2 = step(hn::LoadU(d, a + i + 2 * lanes), hn::LoadU(d, b + i + 2 * lanes), s2);
    s3 = step(hn::LoadU(d, a + i + 3 * lanes), hn::LoadU(d, b + i + 3 * lanes), s3);
  }
  for (; i + lanes <= dims; i += lanes) s0 = step(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
  const auto sum = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < dims; ++i) total += last(a[i], b[i]);
  return total;
}

HWY_INLINE float DotOne(const float* a, const float* b, size_t dims) {
  return Reduce(
      a, b, dims, [](auto x, auto y, auto s) HWY_ATTR { return hn::MulAdd(x, y, s); },
      [](float x, float y) { return x * y; });
}

void L2SquaredKernel(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    out[r] = Reduce(
        query, rows.data + r * rows.stride, rows.dims,
        [](auto x, auto y, auto s) HWY_ATTR {
          const auto difference = hn::Sub(x, y);
          return hn::MulAdd(difference, difference, s);
        },
        [](float x, float y) { return (x - y) * (x - y); });
  }
}

void DotKernel(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    out[r] = DotOne(query, rows.data + r * rows.stride, rows.dims);
  }
}

void L1Kernel(const float* query, const Rows& rows, float* out) {
  for (size_t r = 0; r < rows.count; ++r) {
    out[r] = Reduce(
        query, rows.data + r * rows.stride, rows.dims,
        [](auto x, auto y, auto s) HWY_ATTR { return hn::Add(s, hn::Abs(hn::Sub(x, y))); },
        [](float x, float y) { return std::fabs(x - y); });
  }
}

void DotAndNormKernel(const float* query, const Rows& rows, float* dot, float* norm) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t r = 0; r < rows.count; ++r) {
    const float* row = rows.data + r * rows.stride;
    auto d0 = hn::Zero(d), d1 = hn::Zero(d), n0 = hn::Zero(d), n1 = hn::Zero(d);
    size_t i = 0;
    for (; i + 2 * lanes <= rows.dims; i += 2 * lanes) {
      const auto x0 = hn::LoadU(d, row + i), x1 = hn::LoadU(d, row + i + lanes);
      d0 = hn::MulAdd(hn::LoadU(d, query + i), x0, d0);
      d1 = hn::MulAdd(hn::LoadU(d, query + i + lanes), x1, d1);
      n0 = hn::MulAdd(x0, x0, n0);
      n1 = hn::MulAdd(x1, x1, n1);
    }
    float dot_sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(d0, d1)));
    float norm_sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(n0, n1)));
    for (; i < rows.dims; ++i) {
      dot_sum += query[i] * row[i];
      norm_sum += row[i] * row[i];
    }
    dot[r] = dot_sum;
    norm[r] = norm_sum;
  }
}

// Four queries against two rows: six loads feed eight multiply-adds.
HWY_INLINE void DotTile(const float* const* q, const float* a, const float* b, size_t dims,
                        float* out_a, float* out_b, size_t out_stride) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto a0 = hn::Zero(d), a1 = hn::Zero(d), a2 = hn::Zero(d), a3 = hn::Zero(d);
  auto b0 = hn::Zero(d), b1 = hn::Zero(d), b2 = hn::Zero(d), b3 = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= dims; i += lanes) {
    const auto va = hn::LoadU(d, a + i), vb = hn::LoadU(d, b + i);
    const auto q0 = hn::LoadU(d, q[0] + i), q1 = hn::LoadU(d, q[1] + i);
    const auto q2 = hn::LoadU(d, q[2] + i), q3 = hn::LoadU(d, q[3] + i);
    a0 = hn::MulAdd(q0, va, a0);
    b0 = hn::MulAdd(q0, vb, b0);
    a1 = hn::MulAdd(q1, va, a1);
    b1 = hn::MulAdd(q1, vb, b1);
    a2 = hn::MulAdd(q2, va, a2);
    b2 = hn::MulAdd(q2, vb, b2);
    a3 = hn::MulAdd(q3, va, a3);
    b3 = hn::MulAdd(q3, vb, b3);
  }
  float sums_a[4] = {hn::GetLane(hn::SumOfLanes(d, a0)), hn::GetLane(hn::SumOfLanes(d, a1)),
                     hn::GetLane(hn::SumOfLanes(d, a2)), hn::GetLane(hn::SumOfLanes(d, a3))};
  float sums_b[4] = {hn::GetLane(hn::SumOfLanes(d, b0)), hn::GetLane(hn::SumOfLanes(d, b1)),
                     hn::GetLane(hn::SumOfLanes(d, b2)), hn::GetLane(hn::SumOfLanes(d, b3))};
  for (; i < dims; ++i) {
    for (size_t k = 0; k < 4; ++k) {
      sums_a[k] += q[k][i] * a[i];
      sums_b[k] += q[k][i] * b[i];
    }
  }
  for (size_t k = 0; k < 4; ++k) {
    out_a[k * out_stride] = sums_a[k];
    out_b[k * out_stride] = sums_b[k];
  }
}

void DotManyKernel(const Rows& queries, const Rows& rows, float* out) {
  // A block of rows stays in the cache for all queries.
  constexpr size_t kBlock = 64;
  const size_t tiled = queries.count - queries.count % 4;
  for (size_t from = 0; from < rows.count; from += kBlock) {
    const size_t end = from + kBlock < rows.count ? from + kBlock : rows.count;
    for (size_t q = 0; q < tiled; q += 4) {
      const float* four[4];
      for (size_t k = 0; k < 4; ++k) four[k] = queries.data + (q + k) * queries.stride;
      float* line = out + q * rows.count;
      size_t r = from;
      for (; r + 2 <= end; r += 2) {
        const float* row = rows.data + r * rows.stride;
        DotTile(four, row, row + rows.stride, rows.dims, line + r, line + r + 1, rows.count);
      }
      for (; r < end; ++r) {
        for (size_t k = 0; k < 4; ++k) {
          line[k * rows.count + r] = DotOne(four[k], rows.data + r * rows.stride, rows.dims);
        }
      }
    }
    for (size_t q = tiled; q < queries.count; ++q) {
      const float* query = queries.data + q * queries.stride;
      for (size_t r = from; r < end; ++r) {
        out[q * rows.count + r] = DotOne(query, rows.data + r * rows.stride, rows.dims);
      }
    }
  }
}

const char* TargetKernel() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace spfresh
HWY_AFTER_NAMESPACE();

#endif  // SPFRESH_KERNELS_INL_H_
