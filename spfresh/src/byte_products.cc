#include "byte_products.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <immintrin.h>

// GCC 12 warns of what its own header leaves open on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"

#define SPFRESH_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,fma")))

namespace spfresh::byte_products {
namespace {

constexpr size_t kBytes = 64;

// The first "count" of as many bytes as a register holds.
SPFRESH_VNNI __mmask64 First(size_t count) { return ~__mmask64{0} >> (kBytes - count); }

SPFRESH_VNNI __m512i Load(const void* from) { return _mm512_loadu_si512(from); }

// sums += the products of codes and query, four by four. Written out, since GCC 12 copies the sums
// twice at each turn of a loop.
SPFRESH_VNNI void Accumulate(__m512i& sums, __m512i codes, __m512i query) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(codes), "v"(query));
}

SPFRESH_VNNI __m512i LoadFirst(size_t count, const void* from) {
  return _mm512_maskz_loadu_epi8(First(count), from);
}

// The upper half is added to the lower.
SPFRESH_VNNI __m256i Halved(__m512i sums) {
  return _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1));
}

SPFRESH_VNNI __m128i Halved(__m256i sums) {
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

SPFRESH_VNNI __m128 LoadFactors(const Record& record) {
  return _mm_loadu_ps(reinterpret_cast<const float*>(record.factors));
}

SPFRESH_VNNI int32_t Total(__m512i sums) {
  __m128i four = Halved(Halved(sums));
  four = _mm_hadd_epi32(four, four);
  return _mm_cvtsi128_si32(_mm_hadd_epi32(four, four));
}

}  // namespace

bool Here() { return __builtin_cpu_supports("avx512vnni") != 0; }

SPFRESH_VNNI int32_t Dot(const int8_t* query, const uint8_t* codes, size_t dims) {
  __m512i even = _mm512_setzero_si512(), odd = even;
  size_t i = 0;
  for (; i + 2 * kBytes <= dims; i += 2 * kBytes) {
    Accumulate(even, Load(codes + i), Load(query + i));
    Accumulate(odd, Load(codes + i + kBytes), Load(query + i + kBytes));
  }
  for (; i < dims; i += kBytes) {
    const size_t count = dims - i < kBytes ? dims - i : kBytes;
    Accumulate(even, LoadFirst(count, codes + i), LoadFirst(count, query + i));
  }
  return Total(_mm512_add_epi32(even, odd));
}

SPFRESH_VNNI void EstimateFour(const int8_t* query, size_t dims, const EstimateLine& line,
                               const Records& records, const uint32_t* entries, float* scores,
                               float* errors) {
  const Record a_record = records[entries[0]], b_record = records[entries[1]];
  const Record c_record = records[entries[2]], d_record = records[entries[3]];
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + kBytes <= dims; i += kBytes) {
    const __m512i q = Load(query + i);
    Accumulate(a, Load(a_record.code + i), q);
    Accumulate(b, Load(b_record.code + i), q);
    Accumulate(c, Load(c_record.code + i), q);
    Accumulate(d, Load(d_record.code + i), q);
  }
  if (const size_t rest = dims - i; rest > 0) {
    const __m512i q = LoadFirst(rest, query + i);
    Accumulate(a, LoadFirst(rest, a_record.code + i), q);
    Accumulate(b, LoadFirst(rest, b_record.code + i), q);
    Accumulate(c, LoadFirst(rest, c_record.code + i), q);
    Accumulate(d, LoadFirst(rest, d_record.code + i), q);
  }
  // Each lane of 128 bits gets one number of each, and then the lanes are summed.
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m128i sum = Halved(
      Halved(_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))));
  const __m128i halves = _mm_sub_epi32(_mm_add_epi32(sum, sum), _mm_set1_epi32(line.centre));
  const __m128 dot = _mm_mul_ps(_mm_set1_ps(line.half_step), _mm_cvtepi32_ps(halves));
  // Rows of four factors become columns: add, rescale, step, error.
  __m128 add = LoadFactors(a_record), rescale = LoadFactors(b_record);
  __m128 step = LoadFactors(c_record), error = LoadFactors(d_record);
  _MM_TRANSPOSE4_PS(add, rescale, step, error);
  const __m128 start = _mm_add_ps(_mm_set1_ps(line.base), add);
  _mm_storeu_ps(scores, _mm_fmadd_ps(dot, rescale, start));
  const __m128 own = _mm_mul_ps(_mm_set1_ps(line.share), error);
  _mm_storeu_ps(errors, _mm_sqrt_ps(_mm_fmadd_ps(own, own, _mm_set1_ps(line.off * line.off))));
}

SPFRESH_VNNI int32_t DotNibbles(const int8_t* query, const uint8_t* codes, size_t dims) {
  const size_t half = dims / 2;
  const __m512i nibble = _mm512_set1_epi8(15);
  __m512i low = _mm512_setzero_si512(), high = low;
  for (size_t i = 0; i < half; i += kBytes) {
    const size_t count = half - i < kBytes ? half - i : kBytes;
    const __m512i both = LoadFirst(count, codes + i);
    const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    Accumulate(low, _mm512_and_si512(both, nibble), LoadFirst(count, query + i));
    Accumulate(high, upper, LoadFirst(count, query + half + i));
  }
  return Total(_mm512_add_epi32(low, high));
}

}  // namespace spfresh::byte_products

#else

namespace spfresh::byte_products {

bool Here() { return false; }

int32_t Dot(const int8_t*, const uint8_t*, size_t) { std::abort(); }
void EstimateFour(const int8_t*, size_t, const EstimateLine&, const Records&, const uint32_t*,
                  float*, float*) {
  std::abort();
}
int32_t DotNibbles(const int8_t*, const uint8_t*, size_t) { std::abort(); }

}  // namespace spfresh::byte_products

#endif
