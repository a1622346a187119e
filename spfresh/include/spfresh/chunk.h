// A run of entries of one posting, as bytes: what is kept in memory and in the store alike.
//
// Layout, little-endian (docs/format/posting.md): a header of 64 bytes, the entries' words
// (u64: the row, and two marks above it), padding to 64, then the vectors as
// they lie in the index (f32, "stride" a vector). Codes get a kind of their own in the header.
//
// Thread safety: immutable after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/status.h"

namespace spfresh {

// The bits of an entry's word that mark the spilled copy of a row, and a first copy that has no
// spilled one although it should. Row ids are below 2^60.
inline constexpr uint64_t kSpilled = uint64_t{1} << 63;
inline constexpr uint64_t kAlone = uint64_t{1} << 62;
inline constexpr uint64_t kRowEnd = uint64_t{1} << 60;
inline constexpr uint64_t RowOf(uint64_t word) { return word & (kRowEnd - 1); }
inline constexpr bool IsSpilled(uint64_t word) { return (word & kSpilled) != 0; }
inline constexpr bool IsAlone(uint64_t word) { return (word & kAlone) != 0; }

class Chunk {
 public:
  // Copies and checks "bytes". Corrupt when they are no chunk of vectors of "stride" floats. The
  // caller has compared their checksum; every bit pattern is safe all the same.
  static Status Parse(std::span<const uint8_t> bytes, uint32_t stride,
                      std::shared_ptr<const Chunk>* out);

  // A chunk of these entries. REQUIRES: vectors.size() == words.size() * stride
  static std::shared_ptr<const Chunk> Make(std::span<const uint64_t> words,
                                           std::span<const float> vectors, uint32_t stride);

  // The entries of both, "first" first. REQUIRES: one stride.
  static std::shared_ptr<const Chunk> Join(const Chunk& first, const Chunk& second);

  uint32_t size() const { return size_; }
  uint32_t stride() const { return stride_; }
  std::span<const uint64_t> words() const;
  // size() rows of stride() floats, aligned to 64 bytes.
  const float* vectors() const;
  const float* vector(uint32_t entry) const { return vectors() + size_t{entry} * stride_; }
  std::span<const uint8_t> bytes() const;

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };

  Chunk(uint32_t size, uint32_t stride);
  uint8_t* data() { return lines_.data()->bytes; }

  uint32_t size_;
  uint32_t stride_;
  std::vector<Line> lines_;
};

}  // namespace spfresh
