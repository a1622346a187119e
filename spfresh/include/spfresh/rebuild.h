// Makes one posting anew from its live entries: the one step of upkeep, which is garbage
// collection, re-centring, split and merge, by what it finds.
//
//   live entries     becomes
//   none, or fewer than posting_min    no posting: its entries go to their nearest others (merge)
//   at most posting_max                one posting, its centroid the mean of its primaries
//   more                               as many as bring each to posting_target (split)
//
// Whenever centroids move, LIRE (SPFresh, section 4) finds who must follow: a vector of this
// posting only where the old centroid was nearer than its new one (condition 1); a vector of a
// neighbour only where a new centroid is nearer than the old one and than its own (condition 2).
// Neighbours are those in reach by the triangle inequality, for which the posting radius stands.
//
// A split of equal vectors finds nothing to split: the posting stays whole, above posting_max. A
// merge that would push a neighbour above posting_max is not made. Both mark the posting stuck, so
// that it is left alone until its size changes. Nothing is ever dropped but dead rows and second
// copies within one posting.
//
// Use: Begin; AddOwn for each chunk of the posting; Plan; AddNeighbour for each chunk of each
// posting that Plan named; Finish. The caller reads the chunks in between.
//
// Thread safety: none; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

class Entries;

class Rebuild {
 public:
  // Postings read beyond the one made anew are at most this many.
  static constexpr uint32_t kNeighboursMax = 64;

  // REQUIRES: the posting is in use.
  static Status Begin(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out);
  ~Rebuild();

  // "live" has a byte for each entry: 0 for one whose row is dead.
  Status AddOwn(const Chunk& chunk, std::span<const uint8_t> live);

  // Decides, and names the postings whose chunks are wanted, nearest first.
  Status Plan(std::vector<uint32_t>* neighbours);

  Status AddNeighbour(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);

  // REQUIRES: every chunk of every neighbour was added.
  Status Finish(Change* out);

  // The entries read, checked against LIRE's conditions, and moved to another posting.
  struct Counts {
    uint64_t checked = 0;
    uint64_t moved = 0;
    uint64_t dropped = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Neighbour;

  Rebuild(std::shared_ptr<const Version> version, uint32_t posting);
  bool Mergeable() const;

  const std::shared_ptr<const Version> version_;
  const uint32_t posting_;
  std::unique_ptr<Entries> own_;
  std::vector<Neighbour> neighbours_;
  // Row after row; empty for a merge.
  std::vector<float> centroids_;
  bool moved_ = false;
  bool stuck_ = false;
  Counts counts_;
};

}  // namespace spfresh
