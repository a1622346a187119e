// The bodies of the kernels over codes, compiled once for each instruction set by code_kernels.cc.
// No include guard of the usual kind: Highway includes this file again for every target.
#if defined(SPFRESH_CODE_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPFRESH_CODE_KERNELS_INL_H_
#undef SPFRESH_CODE_KERNELS_INL_H_
#else
#define SPFRESH_CODE_KERNELS_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "code_kernels.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spfresh {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums of 8 bits stay below 2^16 for so many lookups.
constexpr size_t kLookupsMax = 256;

// The sums of one block for lookups [from, to), added to sums. Bytes are summed two by two as
// numbers of 16 bits: one sum takes both of a pair, the other the upper one alone, and the lower
// one's is their difference.
HWY_INLINE void SumLookups(const uint8_t* HWY_RESTRICT table, const uint8_t* HWY_RESTRICT plane,
                           size_t from, size_t to, size_t ahead, uint32_t* HWY_RESTRICT sums) {
#if HWY_TARGET == HWY_SCALAR
  (void)ahead;
  for (size_t lookup = from; lookup < to; ++lookup) {
    const uint8_t* entries = table + lookup * kLookupBytes;
    const uint8_t* codes = plane + lookup * kLookupBytes;
    for (size_t e = 0; e < kScanBlock; ++e) {
      sums[e] += entries[codes[2 * (e % 8) + e / 8 % 2] >> (e / 16 * 4) & 15];
    }
  }
#else
  const hn::CappedTag<uint8_t, 64> d8;
  const hn::Repartition<uint16_t, decltype(d8)> d16;
  const size_t lanes16 = hn::Lanes(d16);
  const auto nibble = hn::Set(d8, 15);
  auto low = hn::Zero(d16), low_odd = hn::Zero(d16);
  auto high = hn::Zero(d16), high_odd = hn::Zero(d16);
  for (size_t at = from * kLookupBytes; at < to * kLookupBytes; at += hn::Lanes(d8)) {
    const auto codes = hn::LoadU(d8, plane + at);
    // The next block's: the machine itself does not look beyond a page.
    hwy::Prefetch(plane + ahead + at);
    const auto entries = hn::LoadU(d8, table + at);
    const auto upper = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, codes)));
    const auto a = hn::BitCast(d16, hn::TableLookupBytes(entries, hn::And(codes, nibble)));
    const auto b = hn::BitCast(d16, hn::TableLookupBytes(entries, hn::And(upper, nibble)));
    low = hn::Add(low, a);
    low_odd = hn::Add(low_odd, hn::ShiftRight<8>(a));
    high = hn::Add(high, b);
    high_odd = hn::Add(high_odd, hn::ShiftRight<8>(b));
  }
  HWY_ALIGN uint16_t parts[4][32];
  hn::StoreU(hn::Sub(low, hn::ShiftLeft<8>(low_odd)), d16, parts[0]);
  hn::StoreU(low_odd, d16, parts[1]);
  hn::StoreU(hn::Sub(high, hn::ShiftLeft<8>(high_odd)), d16, parts[2]);
  hn::StoreU(high_odd, d16, parts[3]);
  // All lookups of an entry together stay below 2^16 too.
  const hn::CappedTag<uint16_t, 8> run;
  const hn::CappedTag<uint32_t, hn::MaxLanes(run)> wide;
  const hn::Rebind<uint16_t, decltype(wide)> narrow;
  for (size_t part = 0; part < 4; ++part) {
    for (size_t j = 0; j < 8; j += hn::Lanes(wide)) {
      auto sum = hn::LoadU(narrow, parts[part] + j);
      for (size_t i = 8; i < lanes16; i += 8) {
        sum = hn::Add(sum, hn::LoadU(narrow, parts[part] + i + j));
      }
      uint32_t* to = sums + 8 * part + j;
      hn::StoreU(hn::Add(hn::LoadU(wide, to), hn::PromoteTo(wide, sum)), wide, to);
    }
  }
#endif
}

void FastScanKernel(const ScanTable& table, const ScanLine& line, size_t blocks,
                    const uint8_t* HWY_RESTRICT planes, const uint16_t* HWY_RESTRICT add,
                    const uint16_t* HWY_RESTRICT rescale, float bound, float* HWY_RESTRICT out,
                    uint32_t* HWY_RESTRICT within) {
  const size_t lookups = table.dims / kLookupDims;
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const auto widen = [&](const uint16_t* from) HWY_ATTR {
    return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d16, from)));
  };
  const auto base = hn::Set(d, line.base), scale = hn::Set(d, line.scale);
  const auto add_step = hn::Set(d, line.add_step);
  const auto offset = hn::Set(d, line.offset), most = hn::Set(d, bound);
  for (size_t block = 0; block < blocks; ++block) {
    HWY_ALIGN uint32_t sums[kScanBlock] = {};
    for (size_t from = 0; from < lookups; from += kLookupsMax) {
      const size_t to = from + kLookupsMax < lookups ? from + kLookupsMax : lookups;
      SumLookups(table.bytes, planes, from, to, PlaneBytes(table.dims), sums);
    }
    uint32_t mask = 0;
    for (size_t i = 0; i < kScanBlock; i += hn::Lanes(d)) {
      const auto sum = hn::ConvertTo(d, hn::LoadU(di, reinterpret_cast<const int32_t*>(sums) + i));
      const auto inner = hn::MulAdd(sum, scale, offset);
      const auto start = hn::MulAdd(widen(add + i), add_step, base);
      const auto value = hn::MulAdd(widen(rescale + i), inner, start);
      hn::StoreU(value, d, out + i);
      uint8_t bits[8] = {};
      hn::StoreMaskBits(d, hn::Le(value, most), bits);
      mask |= (uint32_t{bits[0]} | uint32_t{bits[1]} << 8) << i;
    }
    within[block] = mask;
    planes += PlaneBytes(table.dims);
    add += kScanBlock;
    rescale += kScanBlock;
    out += kScanBlock;
  }
}

float WidestLookupKernel(const float* HWY_RESTRICT query, size_t dims) {
  float widest = 0;
  for (size_t i = 0; i < dims; i += kLookupDims) {
    const float sum = (std::fabs(query[i]) + std::fabs(query[i + 1])) +
                      (std::fabs(query[i + 2]) + std::fabs(query[i + 3]));
    widest = sum > widest ? sum : widest;
  }
  return widest;
}

TableSums FillTableKernel(const float* HWY_RESTRICT query, size_t dims, float steps_per_unit,
                          uint8_t* HWY_RESTRICT table) {
  // Which coordinates each entry sums.
  HWY_ALIGN static constexpr float kSet[kLookupDims][kLookupBytes] = {
      {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
      {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
      {0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1},
      {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto steps = hn::Set(d, steps_per_unit);
  TableSums sums{0, 0};
  for (size_t at = 0; at < dims; at += kLookupDims, table += kLookupBytes) {
    const float* q = query + at;
    float low = 0, abs = 0;
    for (size_t j = 0; j < kLookupDims; ++j) {
      low += q[j] < 0 ? q[j] : 0.0F;
      abs += std::fabs(q[j]);
    }
    sums.low += low;
    sums.abs += abs;
    // The half rounds; of the widest lookup the last entry stays below 256.
    const auto start = hn::Set(d, 0.499F - low * steps_per_unit);
    const auto q0 = hn::Set(d, q[0]), q1 = hn::Set(d, q[1]);
    const auto q2 = hn::Set(d, q[2]), q3 = hn::Set(d, q[3]);
    for (size_t i = 0; i < kLookupBytes; i += hn::Lanes(d)) {
      auto sum = hn::Mul(q0, hn::Load(d, kSet[0] + i));
      sum = hn::MulAdd(q1, hn::Load(d, kSet[1] + i), sum);
      sum = hn::MulAdd(q2, hn::Load(d, kSet[2] + i), sum);
      sum = hn::MulAdd(q3, hn::Load(d, kSet[3] + i), sum);
      const auto entry = hn::ConvertTo(di, hn::MulAdd(sum, steps, start));
      hn::StoreU(hn::DemoteTo(d8, entry), d8, table + i);
    }
  }
  return sums;
}

void FindWithinKernel(const float* HWY_RESTRICT values, size_t count, float above, float at_most,
                      std::vector<uint32_t>* found) {
  const hn::CappedTag<float, 16> d;
  const auto low = hn::Set(d, above), high = hn::Set(d, at_most);
  for (size_t i = 0; i < count; i += hn::Lanes(d)) {
    const auto x = hn::LoadU(d, values + i);
    const auto within = hn::And(hn::Gt(x, low), hn::Le(x, high));
    if (HWY_LIKELY(hn::AllFalse(d, within))) continue;
    uint8_t bits[8] = {};
    hn::StoreMaskBits(d, within, bits);
    for (uint32_t rest = uint32_t{bits[0]} | uint32_t{bits[1]} << 8; rest != 0; rest &= rest - 1) {
      found->push_back(static_cast<uint32_t>(i + hwy::Num0BitsBelowLS1Bit_Nonzero32(rest)));
    }
  }
}

float DotBytesKernel(const float* HWY_RESTRICT query, const uint8_t* HWY_RESTRICT codes,
                     size_t dims) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const auto widen = [&](size_t i) HWY_ATTR {
    return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, codes + i)));
  };
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= dims; i += 4 * lanes) {
    s0 = hn::MulAdd(hn::LoadU(d, query + i), widen(i), s0);
    s1 = hn::MulAdd(hn::LoadU(d, query + i + lanes), widen(i + lanes), s1);
    s2 = hn::MulAdd(hn::LoadU(d, query + i + 2 * lanes), widen(i + 2 * lanes), s2);
    s3 = hn::MulAdd(hn::LoadU(d, query + i + 3 * lanes), widen(i + 3 * lanes), s3);
  }
  for (; i < dims; i += lanes) s0 = hn::MulAdd(hn::LoadU(d, query + i), widen(i), s0);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// Whether kernels are to use AVX-512.
bool UsesAvx512() { return (HWY_TARGET & (HWY_AVX3 | HWY_AVX3_DL)) != 0; }

// Steps by the largest coordinate, which gets "steps_most", and not so many that a sum with codes
// could overflow.
float StepsPerUnitKernel(const float* HWY_RESTRICT query, float steps_most, size_t dims) {
  const hn::CappedTag<float, 16> d;
  auto most = hn::Zero(d), sum = hn::Zero(d);
  for (size_t i = 0; i < dims; i += hn::Lanes(d)) {
    const auto size = hn::Abs(hn::LoadU(d, query + i));
    most = hn::Max(most, size);
    sum = hn::Add(sum, size);
  }
  const float widest = hn::GetLane(hn::MaxOfLanes(d, most));
  const float all = hn::GetLane(hn::SumOfLanes(d, sum));
  const float by_width = steps_most / widest, by_sum = 8388607 / all;
  return by_width < by_sum ? by_width : by_sum;
}

void RoundKernel(const float* HWY_RESTRICT query, float steps_per_unit, size_t dims,
                 int16_t* HWY_RESTRICT steps) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int16_t, decltype(d)> d16;
  const auto scale = hn::Set(d, steps_per_unit);
  for (size_t i = 0; i < dims; i += hn::Lanes(d)) {
    const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(d, query + i), scale));
    hn::StoreU(hn::DemoteTo(d16, whole), d16, steps + i);
  }
}

#if HWY_TARGET == HWY_SCALAR

int32_t DotStepsKernel(const int16_t* HWY_RESTRICT steps, const uint8_t* HWY_RESTRICT codes,
                       size_t dims) {
  int32_t sum = 0;
  for (size_t i = 0; i < dims; ++i) sum += steps[i] * codes[i];
  return sum;
}

void SumFourKernel(const int16_t* HWY_RESTRICT steps, size_t dims, const Records& records,
                   const uint32_t* entries, int32_t* HWY_RESTRICT sums) {
  for (size_t i = 0; i < 4; ++i) sums[i] = DotStepsKernel(steps, records[entries[i]].code, dims);
}

int32_t DotHalfStepsKernel(const int16_t* HWY_RESTRICT steps, const uint8_t* HWY_RESTRICT codes,
                           size_t dims) {
  int32_t sum = 0;
  for (size_t i = 0; i < dims / 2; ++i) {
    sum += steps[i] * (codes[i] & 15) + steps[dims / 2 + i] * (codes[i] >> 4);
  }
  return sum;
}

#else

// Products of as many steps and codes as a register of 16 bits holds, two by two added to one sum,
// or on some targets to two.
template <class D16>
struct StepSums {
  using D32 = hn::Repartition<int32_t, D16>;
  using V16 = hn::Vec<D16>;

  // Written out, so that it is compiled for the target.
  HWY_INLINE StepSums() : first(hn::Zero(D32())), second(hn::Zero(D32())) {}
  HWY_INLINE void Add(V16 steps, V16 codes) {
    first = hn::ReorderWidenMulAccumulate(D32(), steps, codes, first, second);
  }
  HWY_INLINE void AddBytes(V16 steps, const uint8_t* HWY_RESTRICT codes) {
    Add(steps, hn::PromoteTo(D16(), hn::LoadU(hn::Rebind<uint8_t, D16>(), codes)));
  }
  HWY_INLINE int32_t Total() const {
    return hn::GetLane(hn::SumOfLanes(D32(), hn::Add(first, second)));
  }

  hn::Vec<D32> first, second;
};

using Steps = hn::CappedTag<int16_t, 32>;
// What is left of a multiple of kCodeAlign, and of half of one.
using RestOfSteps = hn::CappedTag<int16_t, 16>;
using RestOfHalfSteps = hn::CappedTag<int16_t, 8>;

int32_t DotStepsKernel(const int16_t* HWY_RESTRICT steps, const uint8_t* HWY_RESTRICT codes,
                       size_t dims) {
  const Steps d;
  StepSums<Steps> even, odd;
  size_t i = 0;
  for (; i + 2 * hn::Lanes(d) <= dims; i += 2 * hn::Lanes(d)) {
    even.AddBytes(hn::LoadU(d, steps + i), codes + i);
    odd.AddBytes(hn::LoadU(d, steps + i + hn::Lanes(d)), codes + i + hn::Lanes(d));
  }
  int32_t sum = even.Total() + odd.Total();
  if (i == dims) return sum;
  const RestOfSteps rest;
  StepSums<RestOfSteps> last;
  for (; i < dims; i += hn::Lanes(rest)) last.AddBytes(hn::LoadU(rest, steps + i), codes + i);
  return sum + last.Total();
}

// Four at once: the query is loaded once for all, and what a call costs is shared.
void SumFourKernel(const int16_t* HWY_RESTRICT steps, size_t dims, const Records& records,
                   const uint32_t* entries, int32_t* HWY_RESTRICT sums) {
  const uint8_t* const codes[] = {records[entries[0]].code, records[entries[1]].code,
                                  records[entries[2]].code, records[entries[3]].code};
  const Steps d;
  StepSums<Steps> a, b, c, e;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= dims; i += hn::Lanes(d)) {
    const auto query = hn::LoadU(d, steps + i);
    a.AddBytes(query, codes[0] + i);
    b.AddBytes(query, codes[1] + i);
    c.AddBytes(query, codes[2] + i);
    e.AddBytes(query, codes[3] + i);
  }
  sums[0] = a.Total();
  sums[1] = b.Total();
  sums[2] = c.Total();
  sums[3] = e.Total();
  const RestOfSteps rest;
  for (size_t record = 0; record < 4 && i < dims; ++record) {
    StepSums<RestOfSteps> last;
    for (size_t at = i; at < dims; at += hn::Lanes(rest)) {
      last.AddBytes(hn::LoadU(rest, steps + at), codes[record] + at);
    }
    sums[record] += last.Total();
  }
}

template <class D16>
HWY_INLINE void AddNibbles(D16 d, const int16_t* HWY_RESTRICT steps, size_t half,
                           const uint8_t* HWY_RESTRICT codes, StepSums<D16>& low,
                           StepSums<D16>& high) {
  const auto both = hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, D16>(), codes));
  low.Add(hn::LoadU(d, steps), hn::And(both, hn::Set(d, 15)));
  high.Add(hn::LoadU(d, steps + half), hn::ShiftRight<4>(both));
}

int32_t DotHalfStepsKernel(const int16_t* HWY_RESTRICT steps, const uint8_t* HWY_RESTRICT codes,
                           size_t dims) {
  const Steps d;
  const size_t half = dims / 2;
  StepSums<Steps> low, high;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= half; i += hn::Lanes(d)) {
    AddNibbles(d, steps + i, half, codes + i, low, high);
  }
  int32_t sum = low.Total() + high.Total();
  if (i == half) return sum;
  const RestOfHalfSteps rest;
  StepSums<RestOfHalfSteps> last_low, last_high;
  for (; i < half; i += hn::Lanes(rest)) {
    AddNibbles(rest, steps + i, half, codes + i, last_low, last_high);
  }
  return sum + last_low.Total() + last_high.Total();
}

#endif

ResidualSums ResidualKernel(const float* HWY_RESTRICT vector, const float* HWY_RESTRICT centroid,
                            size_t dims, float* HWY_RESTRICT residual) {
  const hn::CappedTag<float, 16> d;
  auto norm2 = hn::Zero(d), abs_sum = hn::Zero(d), abs_max = hn::Zero(d), signs = hn::Zero(d);
  for (size_t i = 0; i < dims; i += hn::Lanes(d)) {
    const auto c = hn::LoadU(d, centroid + i);
    const auto r = hn::Sub(hn::LoadU(d, vector + i), c);
    const auto size = hn::Abs(r);
    hn::StoreU(r, d, residual + i);
    norm2 = hn::MulAdd(r, r, norm2);
    abs_sum = hn::Add(abs_sum, size);
    abs_max = hn::Max(abs_max, size);
    signs = hn::Add(signs, hn::IfThenElse(hn::Ge(r, hn::Zero(d)), c, hn::Neg(c)));
  }
  return {hn::GetLane(hn::SumOfLanes(d, norm2)), hn::GetLane(hn::SumOfLanes(d, abs_sum)),
          hn::GetLane(hn::MaxOfLanes(d, abs_max)), hn::GetLane(hn::SumOfLanes(d, signs))};
}

QuantizedSums QuantizeKernel(const float* HWY_RESTRICT residual, float steps_per_unit,
                             uint32_t half, size_t dims, uint8_t* HWY_RESTRICT codes) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto steps = hn::Set(d, steps_per_unit);
  const auto middle = hn::Set(d, static_cast<float>(half));
  const auto last = hn::Set(d, static_cast<float>(2 * half - 1));
  const auto centre = hn::Set(d, static_cast<float>(half) - 0.5F);
  auto dot = hn::Zero(d), norm2 = hn::Zero(d);
  for (size_t i = 0; i < dims; i += hn::Lanes(d)) {
    const auto r = hn::LoadU(d, residual + i);
    const auto place = hn::Floor(hn::MulAdd(r, steps, middle));
    const auto step = hn::Min(hn::Max(place, hn::Zero(d)), last);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, step)), d8, codes + i);
    const auto y = hn::Sub(step, centre);
    dot = hn::MulAdd(r, y, dot);
    norm2 = hn::MulAdd(y, y, norm2);
  }
  return {hn::GetLane(hn::SumOfLanes(d, dot)), hn::GetLane(hn::SumOfLanes(d, norm2))};
}

void ReconstructKernel(const uint8_t* HWY_RESTRICT codes, float step, uint32_t half,
                       const float* HWY_RESTRICT centroid, size_t dims,
                       float* HWY_RESTRICT vector) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto size = hn::Set(d, step), centre = hn::Set(d, static_cast<float>(half) - 0.5F);
  for (size_t i = 0; i < dims; i += hn::Lanes(d)) {
    const auto y = hn::Sub(hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, codes + i))), centre);
    hn::StoreU(hn::MulAdd(y, size, hn::LoadU(d, centroid + i)), d, vector + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace spfresh
HWY_AFTER_NAMESPACE();

#endif  // SPFRESH_CODE_KERNELS_INL_H_
