// Whether an index is what it should be (the invariants of docs/spfresh.md), counted anew from its
// chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "assign.h"
#include "drift.h"
#include "entries.h"
#include "spfresh/distance.h"
#include "test_index.h"
#include "version_state.h"

namespace spfresh::test {

struct Health {
  // The share of entries whose rows are dead, of live rows whose first copy is not with the nearest
  // centroid, and of what postings should hold what they do.
  double stale = 0;
  double violations = 0;
  double fill = 0;
};

inline Health Examine(const TestIndex& index) {
  const Version::State& state = index.version().state();
  uint64_t entries = 0, dead = 0, primaries = 0, elsewhere = 0;
  std::vector<float> buffer;
  std::vector<Assignment> to;
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      const float* vectors =
          VectorsOf(state.codec, *chunk, state.centroids.centroid(id).data(), &buffer);
      Assign(state.centroids, vectors, chunk->size(), Spill::kNo, 0, &to);
      for (uint32_t i = 0; i < chunk->size(); ++i) {
        ++entries;
        if (!index.IsLive(RowOf(chunk->words()[i]))) {
          ++dead;
        } else if (!IsSpilled(chunk->words()[i])) {
          ++primaries;
          elsewhere += to[i].primary == id ? 0 : 1;
        }
      }
    }
  }
  const auto share = [](uint64_t part, uint64_t all) {
    return static_cast<double>(part) / static_cast<double>(std::max<uint64_t>(1, all));
  };
  const uint64_t room = uint64_t{index.version().postings()} * state.options.posting_target;
  return {share(dead, entries), share(elsewhere, primaries), share(entries, room)};
}

// What is wrong with the index, in a sentence, or nothing: sizes, first copies, radii and drift as
// the version has them, and each row that the index should have with one first copy.
inline std::string Fault(const TestIndex& index, const std::vector<uint64_t>& live_rows) {
  const Version& version = index.version();
  const Codec& codec = version.state().codec;
  std::map<uint64_t, int> primaries;
  uint64_t entries = 0;
  uint32_t in_use = 0;
  for (uint32_t id = 0; id < version.capacity(); ++id) {
    const Posting* posting = version.posting(id);
    if (posting == nullptr) continue;
    ++in_use;
    if (posting->entries > 0 && !index.chunks().contains(id)) {
      return "posting " + std::to_string(id) + " is lost";
    }
  }
  if (in_use != version.postings()) return "postings are miscounted";
  for (const auto& [id, chunks] : index.chunks()) {
    const std::string name = "posting " + std::to_string(id);
    const Posting* posting = version.posting(id);
    if (posting == nullptr) return name + " has chunks and no centroid";
    const std::vector<float> row = version.centroid(id);
    const float* centroid = row.data();
    Posting counted;
    std::vector<float> buffer;
    for (const auto& chunk : chunks) {
      if (chunk->kind() != version.state().KindOf(id)) return name + " has a foreign chunk";
      const float* vectors = VectorsOf(codec, *chunk, centroid, &buffer);
      const size_t stride = chunk->stride();
      for (uint32_t i = 0; i < chunk->size(); ++i) {
        const uint64_t word = chunk->words()[i];
        ++counted.entries;
        float distance2;
        const float* vector = vectors + size_t{i} * stride;
        L2Squared(centroid, {vector, 1, stride, stride}, &distance2);
        counted.radius = std::max(counted.radius, std::sqrt(distance2));
        if (IsSpilled(word)) continue;
        ++counted.primaries;
        ++primaries[RowOf(word)];
        CountIn(vector, centroid, stride, distance2, &counted);
      }
    }
    if (counted.entries != posting->entries) return name + " miscounts its entries";
    if (counted.primaries != posting->primaries) return name + " miscounts its first copies";
    if (posting->unrefined > posting->primaries) return name + " has more new than there are";
    if (counted.radius > posting->radius * 1.001F + 1e-4F) return name + " has too small a radius";
    // What was inserted was measured before it was coded.
    const float loose = codec.coded() ? 0.1F : 0.01F;
    if (std::fabs(counted.spread - posting->spread) > loose * (counted.spread + 1)) {
      return name + " has a spread of " + std::to_string(posting->spread) + ", counted " +
             std::to_string(counted.spread);
    }
    entries += counted.entries;
  }
  if (entries != version.entries()) return "entries are miscounted";
  for (const uint64_t row : live_rows) {
    if (primaries[row] != 1) {
      return "row " + std::to_string(row) + " has " + std::to_string(primaries[row]) +
             " first copies";
    }
  }
  return "";
}

}  // namespace spfresh::test
