// Entries out of chunks, with their vectors: to be moved, merged and written anew.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "codec.h"
#include "spfresh/version.h"

namespace spfresh {

// The vectors of a chunk as they are known from it, row after row: the chunk's own, or decoded to
// *buffer. The chunk and the buffer must outlive the pointer.
const float* VectorsOf(const Codec& codec, const Chunk& chunk, const float* centroid,
                       std::vector<float>* buffer);

// The chunk of these vectors, which are as they were given, in one posting.
std::shared_ptr<const Chunk> EncodeChunk(const Codec& codec, uint32_t posting,
                                         const float* centroid, std::span<const uint64_t> words,
                                         const float* vectors);

class Entries {
 public:
  explicit Entries(const Codec& codec) : codec_(&codec) {}

  size_t size() const { return words_.size(); }
  uint64_t word(size_t i) const { return words_[i]; }
  void set_word(size_t i, uint64_t word) { words_[i] = word; }
  const float* vectors() const { return vectors_.data(); }
  const float* vector(size_t i) const { return vectors_.data() + i * codec_->stride(); }

  // Adds the live entries of a chunk. Returns how many are dead.
  uint64_t AddLive(const Chunk& chunk, const float* centroid, std::span<const uint8_t> live);
  // Adds one entry of a chunk.
  void AddOne(const Chunk& chunk, uint32_t i, const float* centroid);
  // Adds entry i of "from" with this word.
  void Add(const Entries& from, size_t i, uint64_t word);

  // Of several copies of a row one stays, the primary if it is among them.
  void DropSecondCopies();

  // What a posting of these entries around this centroid is: its sizes, its radius, its
  // spread and its drift.
  void Describe(const float* centroid, Posting* posting) const;

  // The entries as a chunk of "posting", null when there are none. Entries that have their code
  // from that very posting keep it when its centroid has not "moved"; all others are coded anew,
  // and what both codes lose adds up.
  std::shared_ptr<const Chunk> ToChunk(uint32_t posting, const float* centroid, bool moved) const;

 private:
  const uint8_t* record_bytes(size_t i) const {
    return records_.data() + i * codec_->record_bytes();
  }
  void Move(size_t from, size_t to);
  void Shrink(size_t size);

  const Codec* codec_;
  std::vector<uint64_t> words_;
  std::vector<float> vectors_;
  // Empty for vectors that are kept whole: how far they may be off, their records one behind the
  // other, and the postings in which these are right.
  std::vector<float> errors_;
  std::vector<uint8_t> records_;
  std::vector<uint32_t> homes_;
};

}  // namespace spfresh
