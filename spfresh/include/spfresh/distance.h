// The kernels: one query against many vectors. Each picks the widest instructions of the machine at
// run time (Highway) and has a plain twin in `scalar`, which is its oracle in the tests. Sums are
// kept in float, as pgvector does, in several accumulators; NaN and infinity come through.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spfresh {

// The vectors of one call: "count" rows of "dims" floats, "stride" floats apart.
struct Rows {
  const float* data = nullptr;
  size_t count = 0;
  size_t dims = 0;
  size_t stride = 0;
};

// out[i] = sum of squared differences of query and row i.
// REQUIRES: query has rows.dims floats, out has rows.count.
void L2Squared(const float* query, const Rows& rows, float* out);

// out[i] = inner product of query and row i.
void Dot(const float* query, const Rows& rows, float* out);

// out[i] = sum of absolute differences of query and row i.
void L1(const float* query, const Rows& rows, float* out);

// dot[i] = inner product of query and row i; norm[i] = squared norm of row i. One pass.
void DotAndNorm(const float* query, const Rows& rows, float* dot, float* norm);

// out[q * rows.count + i] = inner product of row q of "queries" and row i of "rows". Each row is
// loaded once for four queries, which makes it several times cheaper than Dot for many queries.
// REQUIRES: queries.dims == rows.dims
void DotMany(const Rows& queries, const Rows& rows, float* out);

namespace scalar {
void L2Squared(const float* query, const Rows& rows, float* out);
void Dot(const float* query, const Rows& rows, float* out);
void L1(const float* query, const Rows& rows, float* out);
void DotAndNorm(const float* query, const Rows& rows, float* dot, float* norm);
void DotMany(const Rows& queries, const Rows& rows, float* out);
}  // namespace scalar

// Which instructions were picked, e.g. "AVX3_DL". For benches and logs.
const char* KernelTarget();

// What SQL's operators show: l2 with its root, the negative inner product, one minus the cosine
// (clamped, NaN where a vector is zero), l1. Doubles, as pgvector returns them.
enum class SqlDistance : uint8_t { kL2 = 0, kInnerProduct = 1, kCosine = 2, kL1 = 3 };

// REQUIRES: query has rows.dims floats, out.size() == rows.count
void Distances(SqlDistance distance, const float* query, const Rows& rows, std::span<double> out);

// The same for some of the rows, wherever they lie: the next are fetched while one is measured.
// REQUIRES: every one of "at" is below rows.count, out.size() == at.size()
void DistancesAt(SqlDistance distance, const float* query, const Rows& rows,
                 std::span<const uint32_t> at, std::span<double> out);

}  // namespace spfresh
