// The steps of upkeep: each makes one posting, or a few neighbours, anew from their live entries,
// and finds who must follow.
//
// Rebuild::Begin is garbage collection, re-centring, split and merge, by what it finds:
//
//   live entries     becomes
//   none, or fewer than posting_min    no posting: its entries go to their nearest others (merge)
//   at most posting_max                one posting, its centroid the mean of its primaries
//   more                               as many as bring each to posting_target (split)
//
// Rebuild::Refine runs k-means over a posting and its nearest neighbours, which LIRE does not know:
// splits and mergers are made one at a time, and leave centroids that together are worse than those
// of a build. Rebuild::Scrub moves no centroid; it looks for those primaries of one posting whose
// nearest centroid is another, where a step before it did not read far enough.
//
// Whenever centroids move, LIRE (SPFresh, section 4) finds who must follow: a vector of these
// postings only where the old centroid was nearer than its new one (condition 1); a vector of a
// neighbour only where a new centroid is nearer than the old ones and than its own (condition 2).
// Neighbours are those in reach by the triangle inequality, for which the posting radius stands.
//
// A split of equal vectors finds nothing to split: the posting stays whole, above posting_max. A
// merge that would push a neighbour above posting_max is not made. Both mark the posting stuck, so
// that it is left alone until its size changes. Nothing is ever dropped but dead rows and second
// copies within one posting.
//
// Use: Begin, Refine or Scrub; AddOwn for each chunk of each posting of own(); Plan; AddNeighbour
// for each chunk of each posting that Plan named; Finish. The caller reads the chunks in between.
//
// Thread safety: none; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

struct Layout;
struct Source;

class Rebuild {
 public:
  // Postings read beyond those made anew are at most this many.
  static constexpr uint32_t kNeighboursMax = 64;
  // Postings that a refinement makes anew together.
  static constexpr uint32_t kRefined = 12;

  // REQUIRES of all three: the posting is in use.
  static Status Begin(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out);
  static Status Refine(std::shared_ptr<const Version> version, uint32_t posting,
                       std::unique_ptr<Rebuild>* out);
  static Status Scrub(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out);
  ~Rebuild();

  // The postings that are made anew.
  std::vector<uint32_t> own() const;

  // "live" has a byte for each entry: 0 for one whose row is dead.
  Status AddOwn(const Chunk& chunk, std::span<const uint8_t> live);

  // Decides, and names the postings whose chunks are wanted, nearest first.
  Status Plan(std::vector<uint32_t>* neighbours);

  Status AddNeighbour(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);

  // REQUIRES: every chunk of every neighbour was added. A scrub that found nothing to move changes
  // no posting.
  Status Finish(Change* out);

  // The entries read, checked against LIRE's conditions, and moved to another posting.
  struct Counts {
    uint64_t checked = 0;
    uint64_t moved = 0;
    uint64_t dropped = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Task : uint8_t { kRebuild, kRefine, kScrub };

  Rebuild(std::shared_ptr<const Version> version, std::span<const uint32_t> own, Task task);
  static Status Make(std::shared_ptr<const Version> version, uint32_t posting, Task task,
                     std::unique_ptr<Rebuild>* out);
  Status Take(size_t from, size_t to, const Chunk& chunk, std::span<const uint8_t> live);
  Status AllAdded(size_t from, size_t to) const;
  // Decide on the new centroids.
  void PlanOne();
  void PlanRefinement();
  bool Mergeable() const;

  const std::shared_ptr<const Version> version_;
  const Task task_;
  // Those made anew, then their neighbours.
  std::vector<Source> sources_;
  std::unique_ptr<Layout> layout_;
  Counts counts_;
};

}  // namespace spfresh
