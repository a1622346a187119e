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

namespace spfresh {

struct Candidate {
  float score;
  float error;
  uint64_t row;
  // How much had been seen when it came; whoever offers it counts.
  uint64_t found_at;
};

class Candidates {
 public:
  explicit Candidates(uint32_t k) : k_(k), slots_(256, kFree) {}

  // Whether there are k.
  bool full() const { return worst_.size() >= k_; }
  // The score that k rows surely do not exceed; infinite before there are k.
  float bound() const {
    return full() && k_ > 0 ? worst_.front() : std::numeric_limits<float>::infinity();
  }

  // Of a row that comes twice, the better known score counts, and the first coming.
  void Offer(float score, float error, uint64_t row, uint64_t found_at);

  // When all but "spare" of the k that look nearest had come; 0 where there are no more.
  uint64_t FoundAt(size_t spare) const;

  // Nearest first, ties by row; each row once; no more than "most".
  std::vector<Candidate> Best(size_t most) const;

 private:
  static constexpr uint32_t kFree = std::numeric_limits<uint32_t>::max();

  uint32_t& SlotOf(uint64_t row);
  void Grow();

  uint32_t k_;
  std::vector<Candidate> candidates_;
  // A heap, largest on top: the k least of what scores can be at most.
  std::vector<float> worst_;
  // Places in candidates_ by row: a table of a power of two with open addresses.
  std::vector<uint32_t> slots_;
};

}  // namespace spfresh
