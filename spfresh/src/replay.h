// Searches of sampled queries replayed against what they should have found, and the stop rule that
// these ask for.
//
// Thread safety: none.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "stop.h"

namespace spfresh {

// How one search for k rows would have gone, had it read all postings in their order. Kept of it
// are the steps before which a search that stops has found less, and of the others one for each
// thirty-second part more of what was read: by so much its reading may be overstated. A replay is
// thus as long as its depth and a logarithm, not as there are postings.
class Replay {
 public:
  static constexpr std::array<float, 5> kBiases = {0, 0.2F, 0.4F, 0.6F, 0.8F};

  // A posting, as far away as its centroid.
  struct Visit {
    float distance2;
    uint32_t entries;
  };
  struct Step {
    // The greatest progress so far, by the place of the bias.
    std::array<float, kBiases.size()> progress;
    // The squared distance of the next posting.
    float next2;
    // Of the true k.
    float share;
    // Entries.
    float read;
  };

  // "order" are all postings, nearest first; "truth2" the squared distances of more than k nearest
  // rows, ascending; "found" has for each posting of the order those of the truth that it has and
  // none before. REQUIRES: !order.empty() and truth2.size() >= k > 0
  Replay(size_t k, std::span<const Visit> order, std::span<const float> truth2,
         std::span<const std::vector<uint32_t>> found);

  float nearest2() const { return nearest2_; }
  // Of all postings.
  float farthest2() const { return farthest2_; }
  uint64_t bytes() const { return steps_.capacity() * sizeof(Step); }
  // Where a search stops that has to reach this.
  const Step& StopAt(size_t bias, float threshold) const;

 private:
  float nearest2_;
  float farthest2_;
  std::vector<Step> steps_;
};

// Of one depth, apart by the kind of their queries, the last of which are by no cluster of the
// rows.
using Replays = std::array<std::vector<Replay>, Stop::kKinds>;

// The rules by which each kind of queries finds what it is asked for, and something more: the
// biases are those of "follow", or where that is null those that read least. Depths of which there
// are too few replays have the rule of "follow", or else of the depth before. REQUIRES:
// EnoughReplays(replays[0])
Stop::Rules FindRules(std::array<Replays, Stop::kDepths.size()> replays, const Stop::Rules* follow);
bool EnoughReplays(const Replays& replays);

}  // namespace spfresh
