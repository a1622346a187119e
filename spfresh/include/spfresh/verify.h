// Counts anew what an index is made of, chunk by chunk, and what of it is otherwise than promised.
//
// Use: Begin; AddChunk for all chunks of all postings, in any order; found(). With AddChunk's
// records at hand, Compare for vectors that the table has for some of the rows. Counts say how much
// is odd; what cannot be at all is a sentence of faults().
//
// Thread safety: none; one thread at a time. Complexity: O(entries * postings() * dims) for the
// nearest centroids, all else less.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

class Verifier {
 public:
  struct Found {
    uint64_t entries = 0;
    // Of these, those whose rows are dead.
    uint64_t dead = 0;
    // First copies of live rows, and of these those whose nearest centroid is another than their
    // posting's.
    uint64_t placed = 0;
    uint64_t misplaced = 0;
    // Entries that lie farther from their centroid than their posting says that any does.
    uint64_t outside = 0;
    // Entries compared with their vector, and those that are farther from it than their code says.
    uint64_t compared = 0;
    uint64_t untrue = 0;
    // Estimates of a distance to another vector that were compared with it, and those outside their
    // bounds. These hold but for chance: some in a thousand are outside.
    uint64_t estimates = 0;
    uint64_t unbounded = 0;
    // Entries of the largest posting.
    uint32_t largest = 0;
  };

  static std::unique_ptr<Verifier> Begin(std::shared_ptr<const Version> version);
  ~Verifier();

  // "live" has a byte for each entry: 0 for one whose row is dead. REQUIRES: chunk.has_records()
  Status AddChunk(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);

  // The entry's code against the vector that it is of, and against one query more: another vector
  // of the table. A vector without a place is passed over. REQUIRES: chunk.has_records()
  Status Compare(const Chunk& chunk, uint32_t entry, std::span<const float> vector,
                 std::span<const float> query);

  // After all chunks. What was counted against what the version says: a sentence each, at most
  // kFaultsMax.
  static constexpr size_t kFaultsMax = 100;
  std::vector<std::string> Faults() const;
  const Found& found() const { return found_; }
  // Postings with more than twice posting_max entries that no split has found to be of equal
  // vectors.
  uint32_t Overfull() const;
  // Postings whose first copies are spread otherwise than the version says, by more than what
  // coding them explains: re-centring goes by that.
  uint32_t Misspread() const;

 private:
  explicit Verifier(std::shared_ptr<const Version> version);

  const std::shared_ptr<const Version> version_;
  // What each posting is by its chunks: entries, primaries and spread.
  std::map<uint32_t, Posting> counted_;
  std::vector<float> decoded_;
  Found found_;
};

}  // namespace spfresh
