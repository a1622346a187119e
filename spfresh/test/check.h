// Whether an index is what it should be (docs/spfresh.md, the invariants), as the verifier counts
// it anew from its chunks, and what a test knows besides: which rows should be in it.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "spfresh/verify.h"
#include "test_index.h"

namespace spfresh::test {

inline std::unique_ptr<Verifier> Counted(const TestIndex& index) {
  auto verifier = Verifier::Begin(index.shared());
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) Must(verifier->AddChunk(id, *chunk, index.Live(*chunk)));
  }
  return verifier;
}

struct Health {
  // The share of entries whose rows are dead, of live rows whose first copy is not with the nearest
  // centroid, and of what postings should hold what they do.
  double stale = 0;
  double violations = 0;
  double fill = 0;
};

inline Health Examine(const TestIndex& index) {
  const Verifier::Found found = Counted(index)->found();
  const auto share = [](uint64_t part, uint64_t all) {
    return static_cast<double>(part) / static_cast<double>(std::max<uint64_t>(1, all));
  };
  const Version& version = index.version();
  const uint64_t room = uint64_t{version.postings()} * version.options().posting_target;
  return {share(found.dead, found.entries), share(found.misplaced, found.placed),
          share(found.entries, room)};
}

// What is wrong with the index, in a sentence, or nothing; each row that it should have has one
// first copy.
inline std::string Fault(const TestIndex& index, const std::vector<uint64_t>& live_rows) {
  const auto verifier = Counted(index);
  if (const auto faults = verifier->Faults(); !faults.empty()) return faults[0];
  if (verifier->found().outside > 0) return "a posting has too small a radius";
  if (verifier->Misspread() > 0) return "a posting has another spread than it says";
  std::map<uint64_t, int> primaries;
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      for (const uint64_t word : chunk->words()) primaries[RowOf(word)] += IsSpilled(word) ? 0 : 1;
    }
  }
  for (const uint64_t row : live_rows) {
    if (primaries[row] != 1) {
      return "row " + std::to_string(row) + " has " + std::to_string(primaries[row]) +
             " first copies";
    }
  }
  return "";
}

}  // namespace spfresh::test
