#include "candidates.h"

#include <algorithm>

namespace spfresh {

uint32_t& Candidates::SlotOf(uint64_t row) {
  size_t at = (row * 0x9E37'79B9'7F4A'7C15) >> 20;
  while (true) {
    uint32_t& slot = slots_[at++ & (slots_.size() - 1)];
    if (slot == kFree || candidates_[slot].row == row) return slot;
  }
}

void Candidates::Grow() {
  slots_.assign(slots_.size() * 4, kFree);
  for (uint32_t i = 0; i < candidates_.size(); ++i) SlotOf(candidates_[i].row) = i;
}

void Candidates::Offer(float score, float error, uint64_t row, uint64_t found_at) {
  // NaN is no distance.
  if (!(score <= std::numeric_limits<float>::max()) || !(score - error <= bound())) return;
  uint32_t& slot = SlotOf(row);
  if (slot != kFree) {
    // Either bound holds; what the heap has of this row stays true.
    Candidate& known = candidates_[slot];
    if (error < known.error) known = {score, error, row};
    return;
  }
  slot = static_cast<uint32_t>(candidates_.size());
  candidates_.push_back({score, error, row});
  if (2 * candidates_.size() > slots_.size()) Grow();
  worst_.Offer(score + error, found_at);
}

std::vector<Candidate> Candidates::Best(size_t most) const {
  std::vector<Candidate> best;
  for (const Candidate& candidate : candidates_) {
    if (candidate.score - candidate.error <= bound()) best.push_back(candidate);
  }
  const auto nearer = [](const Candidate& a, const Candidate& b) {
    return a.score < b.score || (a.score == b.score && a.row < b.row);
  };
  if (best.size() > most) {
    const auto end = best.begin() + static_cast<ptrdiff_t>(most);
    std::nth_element(best.begin(), end, best.end(), nearer);
    best.erase(end, best.end());
  }
  std::sort(best.begin(), best.end(), nearer);
  return best;
}

}  // namespace spfresh
