// Sums of products of bytes by the instructions made for them (AVX-512 VNNI), which Highway 1.0
// does not reach: a quarter of what the same sums take in 16 bits. They are the same whole numbers.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "code_kernels.h"
#include "spfresh/chunk.h"

namespace spfresh::byte_products {

// Whether this machine has them.
bool Here();

// Sum of query[i] * codes[i]. REQUIRES: Here(), and that the sum fits
int32_t Dot(const int8_t* query, const uint8_t* codes, size_t dims);

// The estimates of four records (src/code_kernels.h).
void EstimateFour(const int8_t* query, size_t dims, const EstimateLine& line,
                  const Records& records, const uint32_t* entries, float* scores, float* errors);

// The same over codes of 4 bits: the lower half of byte i is coordinate i, its upper half
// coordinate dims / 2 + i.
int32_t DotNibbles(const int8_t* query, const uint8_t* codes, size_t dims);

}  // namespace spfresh::byte_products
