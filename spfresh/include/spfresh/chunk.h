// A run of entries of one posting, as bytes: what is kept in memory and in the store alike.
//
// Layout, little-endian (docs/format/posting.md): a header of 64 bytes; the entries' words (u64:
// the row, and two marks above it); where entries are coded, what a scan reads of them, in blocks
// of 32; then the entries' records (src/codec.h). A code is relative to its posting's centroid, so
// a chunk knows its posting, and is good for the versions in which it belongs to it.
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
  // What the chunks of one posting have in common.
  struct Kind {
    uint32_t posting;
    // Coordinates of an entry, and the bits kept of each: 4, 8 or 32.
    uint32_t stride;
    uint32_t bits;
    friend bool operator==(const Kind&, const Kind&) = default;
  };

  // The part of coded entries that FastScan reads (src/code_kernels.h), all entries but the last
  // few of a chunk: "blocks" times 32, of which the last may be filled up.
  struct Scan {
    uint32_t blocks;
    const uint8_t* planes;
    const float* add;
    const float* rescale;
    // The largest scan_spread of all entries.
    float spread;
  };

  // Copies and checks "bytes". Corrupt when they are no chunk of vectors of "stride" floats. The
  // caller has compared their checksum; every bit pattern is safe all the same.
  static Status Parse(std::span<const uint8_t> bytes, uint32_t stride,
                      std::shared_ptr<const Chunk>* out);

  // A chunk of entries with these words and records, one behind the other.
  static std::shared_ptr<const Chunk> Make(const Kind& kind, std::span<const uint64_t> words,
                                           std::span<const uint8_t> records);

  // The entries of both, "first" first. REQUIRES: one kind.
  static std::shared_ptr<const Chunk> Join(const Chunk& first, const Chunk& second);

  uint32_t size() const { return size_; }
  const Kind& kind() const { return kind_; }
  uint32_t stride() const { return kind_.stride; }
  std::span<const uint64_t> words() const;
  // The records of all entries, and of one.
  std::span<const uint8_t> records() const;
  const uint8_t* record(uint32_t entry) const;
  // REQUIRES: the entries are coded.
  Scan scan() const;
  // REQUIRES: the entries are not coded. size() rows of stride() floats, aligned to 64 bytes.
  const float* vectors() const { return reinterpret_cast<const float*>(records().data()); }
  std::span<const uint8_t> bytes() const;

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };

  Chunk(uint32_t size, const Kind& kind);
  uint8_t* data() { return lines_.data()->bytes; }
  const uint8_t* data() const { return lines_.data()->bytes; }
  // Writes the part that is scanned.
  void Transpose();

  uint32_t size_;
  Kind kind_;
  std::vector<Line> lines_;
};

}  // namespace spfresh
