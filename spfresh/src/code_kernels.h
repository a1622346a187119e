// The kernels over RaBitQ's codes. Each picks the widest instructions of the machine at run time
// (Highway). What they do with integers is the same to the last bit on every target.
//
// A scanned block is kScanBlock entries, transposed: for each four coordinates 16 bytes, which hold
// four sign bits of each entry. The sum of a query's coordinates over the set bits is then one
// lookup in a register of 16 bytes for each four coordinates, for all entries at once (Faiss's fast
// scan).
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "spfresh/chunk.h"

namespace spfresh {

inline constexpr size_t kScanBlock = 32;
// Coordinates of a code are a multiple of this.
inline constexpr size_t kCodeAlign = 16;
// What one lookup answers for, and the bytes of its table.
inline constexpr size_t kLookupDims = 4;
inline constexpr size_t kLookupBytes = 16;

// Bytes of the signs of one block.
inline constexpr size_t PlaneBytes(size_t dims) { return dims / kLookupDims * kLookupBytes; }

// A query's table: for each four coordinates and each of the 16 ways to set four bits, the sum of
// the set ones, in 8 bits.
struct ScanTable {
  const uint8_t* bytes;
  size_t dims;
};

// Of each entry: out = base + add_step * add + rescale * (scale * sum + offset), sum that of its
// set bits.
struct ScanLine {
  float base;
  float add_step;
  float scale;
  float offset;
};

// Also sets bit i of within[b] where entry i of block b is at most "bound".
// REQUIRES: add, rescale and out have blocks * kScanBlock numbers, planes as many blocks.
void FastScan(const ScanTable& table, const ScanLine& line, size_t blocks, const uint8_t* planes,
              const uint16_t* add, const uint16_t* rescale, float bound, float* out,
              uint32_t* within);

// The largest sum of the sizes of the four coordinates of a lookup.
float WidestLookup(const float* query, size_t dims);

// What is summed of a query: of its negative coordinates, and of the sizes of all.
struct TableSums {
  float low;
  float abs;
};
// Fills a query's table: an entry is what its sum lies above the least of its lookup, times
// steps_per_unit, rounded. REQUIRES: steps_per_unit times WidestLookup is at most 255
TableSums FillTable(const float* query, size_t dims, float steps_per_unit, uint8_t* table);

// Appends to *found the places of values within (above, at_most], in order.
// REQUIRES: count is a multiple of kScanBlock
void FindWithin(const float* values, size_t count, float above, float at_most,
                std::vector<uint32_t>* found);

// Puts the sign bits of up to kScanBlock entries into a block. "signs" has a byte for each
// coordinate of each entry: its highest bit is taken, of entries that are null none.
void PackBlock(std::span<const uint8_t* const> signs, size_t dims, uint8_t* plane);

// Sum of query[i] * codes[i]. REQUIRES: dims is a multiple of kCodeAlign
float DotBytes(const float* query, const uint8_t* codes, size_t dims);

// A query in steps of whole numbers, so that products with codes are whole too; sums with any codes
// stay below 2^31. Steps of 16 bits leave next to nothing off, and two products of them are summed
// by one instruction everywhere. Those of 8 bits are off by as much as codes of 8 bits are, and
// four products are where the machine has instructions for bytes.
struct SteppedQuery {
  std::vector<int16_t> steps;
  // The same as bytes, of 8 bits and where that is faster.
  std::vector<int8_t> bytes;
  // A coordinate is this many times its steps, to half a step. No number when one of them is none.
  float step = 0;
  int64_t sum = 0;
};
enum class StepBits : uint8_t { k8, k16 };
SteppedQuery InSteps(const float* query, size_t dims, StepBits bits);

// Sum of query[i] * (codes[i] - twice_centre / 2). REQUIRES: dims is a multiple of kCodeAlign
float DotBytes(const SteppedQuery& query, const uint8_t* codes, size_t dims, int64_t twice_centre);

// Of four records: score = base + factors[0] + half_step * (2 sum - centre) * factors[1], with sum
// that of steps[i] * codes[i]; error = the root of (share * factors[3])^2 + off^2.
struct EstimateLine {
  float base;
  float half_step;
  int32_t centre;
  float share;
  float off;
};
// REQUIRES: steps of 8 bits
void EstimateFour(const SteppedQuery& query, size_t dims, const EstimateLine& line,
                  const Records& records, const uint32_t* entries, float* scores, float* errors);

// The same over codes of 4 bits: the lower half of byte i is coordinate i, its upper half
// coordinate dims / 2 + i.
float DotNibbles(const SteppedQuery& query, const uint8_t* codes, size_t dims,
                 int64_t twice_centre);

// What is summed of a residual r = vector - centroid.
struct ResidualSums {
  float norm2;
  float abs_sum;
  float abs_max;
  // Of the signs of r (+1, -1) with the centroid.
  float signs_dot_centroid;
};
ResidualSums Residual(const float* vector, const float* centroid, size_t dims, float* residual);

// What is summed of y, the middle of the steps into which r falls: y = code - (half - 0.5).
struct QuantizedSums {
  float dot;    // <r, y>
  float norm2;  // |y|^2
};
// codes[i] = the step of r[i], within [0, 2 half).
QuantizedSums Quantize(const float* residual, float steps_per_unit, uint32_t half, size_t dims,
                       uint8_t* codes);

// vector[i] = centroid[i] + step * (codes[i] - (half - 0.5))
void Reconstruct(const uint8_t* codes, float step, uint32_t half, const float* centroid,
                 size_t dims, float* vector);

}  // namespace spfresh
