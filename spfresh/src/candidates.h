// The rows that may be among the k nearest, by scores that are known within bounds.
//
// A row is let go only when k others are surely nearer: when the least that its score can be is
// above the k-th least of what the others' can be at most.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "least.h"

namespace spfresh {

struct Candidate {
  float score;
  float error;
  uint64_t row;
};

class Candidates {
 public:
  explicit Candidates(uint32_t k) : worst_(k), slots_(256, kFree) {}

  // Whether there are k.
  bool full() const { return worst_.full(); }
  // The score that k rows surely do not exceed; infinite before there are k.
  float bound() const { return worst_.worst(); }

  // Of a row that comes twice, the better known score counts, and the first coming.
  void Offer(float score, float error, uint64_t row, uint64_t found_at);

  // When all but "spare" of the k that are surely nearest had come; 0 where there are no more.
  uint64_t FoundAt(size_t spare) const { return worst_.CameAt(spare); }
  // The mean of the logarithms of when each of them came. REQUIRES: full()
  float MeanLogFoundAt() const { return worst_.MeanLogAt(); }

  // Nearest first, ties by row; each row once; no more than "most".
  std::vector<Candidate> Best(size_t most) const;

 private:
  static constexpr uint32_t kFree = std::numeric_limits<uint32_t>::max();

  uint32_t& SlotOf(uint64_t row);
  void Grow();

  std::vector<Candidate> candidates_;
  // What scores can be at most.
  Least worst_;
  // Places in candidates_ by row: a table of a power of two with open addresses.
  std::vector<uint32_t> slots_;
};

}  // namespace spfresh
