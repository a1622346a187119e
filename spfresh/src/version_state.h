// What a version is made of; seen by the library alone.
#pragma once

#include "centroids.h"
#include "codec.h"
#include "space.h"
#include "spfresh/version.h"
#include "stop.h"

namespace spfresh {

struct Version::State {
  explicit State(const Options& o) : State(o, Space(o, 0)) {}
  State(const Options& o, const Space& s)
      : options(o), space(s), codec(o, s.stride()), centroids(codec) {}

  Chunk::Kind KindOf(uint32_t posting) const { return {posting, codec.stride(), codec.bits()}; }
  // Whether this is a chunk of a posting of this version.
  bool Fits(const Chunk& chunk) const {
    const uint32_t posting = chunk.kind().posting;
    return centroids.in_use(posting) && chunk.kind() == KindOf(posting);
  }

  Options options;
  Space space;
  Codec codec;
  Centroids centroids;
  Stop stop;
  uint64_t entries = 0;
  // What pays for merges: rows inserted and entries dropped. Split, merge and reassign could
  // otherwise feed each other for ever; so each merge is paid by changes from outside, and upkeep
  // ends. Begins at nothing when a version is opened.
  uint64_t merge_credit = 0;
  // Entries that came, moved or were dropped since the stop rule was last calibrated. Kept with the
  // version: what is restarted more often than a twentieth changes must be calibrated too.
  uint64_t changed = 0;
  // The same since it was calibrated from the ground up, as of the last calibration.
  uint64_t reshaped = 0;
  // The scrubber's way round: the posting at which it goes on, beyond all postings when it has been
  // everywhere; and whether a centroid was moved or added since it set out.
  uint32_t scrub_from = 0;
  bool scrub_again = false;
  // The same with this posting scrubbed.
  std::shared_ptr<const Version> Scrubbed(uint32_t posting) const;
  uint64_t merge_price() const { return options.posting_min / 2 + 1; }
};

inline std::shared_ptr<const Version> Seal(Version::State state) {
  state.centroids.Encode();
  return std::make_shared<Version>(std::make_unique<const Version::State>(std::move(state)));
}

}  // namespace spfresh
