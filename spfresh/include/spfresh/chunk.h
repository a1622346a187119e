// A run of entries of one posting, as bytes: what is kept in memory and in the store alike.
//
// It has two parts, which are stored, loaded and let go apart. Layout, little-endian
// (docs/format/posting.md):
//   scan      a header of 64 bytes; the entries' words (the row, and two marks above it); where
//             entries are coded, what a scan reads of them, in blocks of 32. Some 60 bytes an entry
//             at 384 dimensions.
//   records   the entries' records (src/codec.h): all codes one behind the other, each at a line of
//             64 bytes where there are as many coordinates, then their factors. Some 400 bytes an
//             entry.
// A chunk always has its scan part. A code is relative to its posting's centroid, so a chunk knows
// its posting, and is good for the versions in which it belongs to it.
//
// Thread safety: immutable after construction.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>
#include <utility>
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

// The words of a chunk, as they lie there: 4 bytes each where rows are near to each other.
class Words {
 public:
  class Iterator;

  // Of 8 bytes each, or of 4: the two marks, and 30 bits that count from row "base".
  Words(const uint8_t* data, size_t size, bool wide, uint64_t base)
      : data_(data), size_(size), wide_(wide), base_(base) {}

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  uint64_t operator[](size_t i) const {
    if (wide_) {
      uint64_t word;
      std::memcpy(&word, data_ + i * sizeof(word), sizeof(word));
      return word;
    }
    uint32_t word;
    std::memcpy(&word, data_ + i * sizeof(word), sizeof(word));
    return uint64_t{word >> 30} << 62 | RowOf(base_ + (word & kOffsetMax));
  }
  inline Iterator begin() const;
  inline Iterator end() const;

  static constexpr uint32_t kOffsetMax = (uint32_t{1} << 30) - 1;

 private:
  const uint8_t* data_;
  size_t size_;
  bool wide_;
  uint64_t base_;
};

class Words::Iterator {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = uint64_t;
  using difference_type = ptrdiff_t;
  using pointer = void;
  using reference = uint64_t;

  Iterator(const Words& words, size_t at) : words_(words), at_(static_cast<ptrdiff_t>(at)) {}
  uint64_t operator*() const { return words_[static_cast<size_t>(at_)]; }
  uint64_t operator[](ptrdiff_t n) const { return words_[static_cast<size_t>(at_ + n)]; }
  Iterator& operator++() { return *this += 1; }
  Iterator operator++(int) { return std::exchange(*this, *this + 1); }
  Iterator& operator--() { return *this -= 1; }
  Iterator operator--(int) { return std::exchange(*this, *this - 1); }
  Iterator& operator+=(ptrdiff_t n) {
    at_ += n;
    return *this;
  }
  Iterator& operator-=(ptrdiff_t n) { return *this += -n; }
  friend Iterator operator+(Iterator a, ptrdiff_t n) { return a += n; }
  friend Iterator operator-(Iterator a, ptrdiff_t n) { return a -= n; }
  friend ptrdiff_t operator-(const Iterator& a, const Iterator& b) { return a.at_ - b.at_; }
  friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }
  friend auto operator<=>(const Iterator& a, const Iterator& b) { return a.at_ <=> b.at_; }

 private:
  Words words_;
  ptrdiff_t at_;
};

Words::Iterator Words::begin() const { return {*this, 0}; }
Words::Iterator Words::end() const { return {*this, size_}; }

// A record, wherever its two parts lie.
struct Record {
  // The code, or the vector where vectors are kept whole; those have no factors.
  const uint8_t* code;
  const uint8_t* factors;
};

// Records of which the codes lie one behind the other, and the factors too.
struct Records {
  Record operator[](size_t i) const { return {codes + i * code_bytes, factors + i * factor_bytes}; }
  const uint8_t* codes;
  size_t code_bytes;
  const uint8_t* factors;
  size_t factor_bytes;
};

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

  // The part of coded entries that FastScan reads (src/code_kernels.h), all entries of a chunk but
  // for three at most: "blocks" times 32, of which the last may be filled up.
  struct Scan {
    uint32_t blocks;
    const uint8_t* planes;
    // An entry's scan_add is no less than add_low + add_step * add, and more by less than a step;
    // its scan_rescale is rescale_step * rescale, to half a step.
    const uint16_t* add;
    const uint16_t* rescale;
    float add_low;
    float add_step;
    float rescale_step;
    // The largest scan_spread of all entries.
    float spread;
  };

  // Copies and checks the scan part of a chunk, and makes one without records. Corrupt when "bytes"
  // are none of vectors of "stride" floats. The caller has compared their checksum; every bit
  // pattern is safe all the same.
  static Status Parse(std::span<const uint8_t> bytes, uint32_t stride,
                      std::shared_ptr<const Chunk>* out);

  // The same chunk with its records, a copy of "bytes". Corrupt when these are not as many as its
  // entries want.
  Status WithRecords(std::span<const uint8_t> bytes, std::shared_ptr<const Chunk>* out) const;
  // The same chunk without them. Both share what they have in common.
  std::shared_ptr<const Chunk> WithoutRecords() const;

  // A chunk of entries with these words and records. REQUIRES: as many of both, and some
  static std::shared_ptr<const Chunk> Make(const Kind& kind, std::span<const uint64_t> words,
                                           std::span<const Record> records);

  // The entries of both, "first" first. REQUIRES: one kind, and the records of both.
  static std::shared_ptr<const Chunk> Join(const Chunk& first, const Chunk& second);

  uint32_t size() const { return size_; }
  const Kind& kind() const { return kind_; }
  uint32_t stride() const { return kind_.stride; }
  // Valid as long as the chunk.
  Words words() const { return words_; }
  bool has_records() const { return records_ != nullptr; }
  // The records of all entries, and one of them. REQUIRES: has_records()
  const Records& records() const { return records_view_; }
  Record record(uint32_t entry) const { return records_view_[entry]; }
  // REQUIRES: the entries are coded.
  const Scan& scan() const { return view_; }
  // REQUIRES: has_records(), and the entries are not coded. size() rows of stride() floats, aligned
  // to 64 bytes.
  const float* vectors() const { return reinterpret_cast<const float*>(records_view_.codes); }

  // The two parts as they are stored. Without records the second is empty.
  std::span<const uint8_t> scan_bytes() const;
  std::span<const uint8_t> record_bytes() const;
  // What the second part has, or would have.
  size_t record_part_size() const;

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  using Lines = std::vector<Line>;

  Chunk(uint32_t size, const Kind& kind, std::shared_ptr<const Lines> scan,
        std::shared_ptr<const Lines> records);

  uint32_t size_;
  Kind kind_;
  // Where all of it is, so that a search waits for the chunk and then for its bytes, not for what
  // lies between.
  Words words_;
  Scan view_;
  Records records_view_;
  std::shared_ptr<const Lines> scan_;
  // Null without records.
  std::shared_ptr<const Lines> records_;
};

}  // namespace spfresh
