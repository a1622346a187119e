// One immutable picture of the index: its centroids, what is known of each posting, and how to
// search it. The postings' entries are the caller's to keep, as chunks: this library does no I/O.
//
// A change makes a new version that shares all but the changed pages with the old one, and tells
// the caller what becomes of which posting's chunks. Versions and chunks together are the index.
//
// Thread safety: const methods may run concurrently; nothing else touches a version.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/chunk.h"
#include "spfresh/options.h"
#include "spfresh/status.h"

namespace spfresh {

// What a version knows of a posting.
struct Posting {
  // In its chunks, dead rows and spilled copies included.
  uint32_t entries = 0;
  // Of these, not spilled.
  uint32_t primaries = 0;
  // Primaries appended since the centroid was last computed.
  uint32_t added = 0;
  // Its entries when a split or a merge was last found to be of no use; 0 = never.
  uint32_t stuck = 0;
  // Primaries that came since a refinement last settled the centroids around here.
  uint32_t unrefined = 0;
  // No entry lies farther from the centroid.
  float radius = 0;
  // Of the primaries, the sum of the squared distances to the centroid.
  float spread = 0;
  // Of the primaries, a sketch of the sum of their differences from the centroid (src/drift.h):
  // what tells that the mean has left the centroid, without a second vector for each posting.
  std::array<float, 16> shift{};
  bool in_use = false;
};

// What becomes of one posting's chunks.
struct PostingChange {
  enum class Kind : uint8_t {
    kAppend = 0,   // the chunk joins those that are there
    kReplace = 1,  // the chunk takes the place of those that are there; none = now empty
    kRemove = 2,   // the posting is gone
  };
  uint32_t posting;
  Kind kind;
  std::shared_ptr<const Chunk> chunk;
};

class Version;

struct Change {
  std::shared_ptr<const Version> version;
  std::vector<PostingChange> postings;
  // Rows of an insert that have no place in the index (see Space): never found by a search.
  std::vector<uint64_t> left_out;
};

// Why a posting wants a Rebuild.
enum class Work : uint8_t {
  kNone = 0,
  kSplit = 1,     // more than posting_max entries
  kMerge = 2,     // fewer than posting_min entries
  kRecentre = 3,  // its mean has drifted off its centroid, or it grew by half since it was computed
};

class Version : public std::enable_shared_from_this<Version> {
 public:
  static Status Empty(const Options& options, std::shared_ptr<const Version>* out);

  // What Serialize wrote. Corrupt when it cannot be; the caller has compared the checksum.
  static Status Open(std::span<const uint8_t> bytes, std::shared_ptr<const Version>* out);
  std::vector<uint8_t> Serialize() const;

  // Adds vectors: each to its nearest posting, and a copy where SOAR's rule says. Splits nothing.
  // Of a large index each looks at some of the centroids by their codes. REQUIRES: rows ascending
  // and below 2^60.
  Status Insert(std::span<const uint64_t> rows, std::span<const float> vectors, Change* out) const;

  // What "sibling" has beyond "base" joins this version; both were made of "base" by Insert alone,
  // so that inserts may be computed side by side. Their chunks join in any order. Internal for
  // versions of other centroids. O(capacity()).
  Status Merge(const Version& base, const Version& sibling,
               std::shared_ptr<const Version>* out) const;

  // The same when all was inserted that its centroids were trained for: these count as just
  // computed, and postings without entries are gone. O(capacity()).
  std::shared_ptr<const Version> Loaded() const;

  // A posting that wants work by its size or its drift, the largest need first, or kNone.
  // O(postings()).
  Work NextWork(uint32_t* posting) const;
  // The posting in whose neighbourhood the centroids are worst: a Rebuild::Refine there helps most.
  // False when none is bad enough. O(postings()).
  bool NextRefine(uint32_t* posting) const;
  // The posting that a Rebuild::Scrub should look at next. False when, since the last time round,
  // no centroid moved. O(postings()).
  bool NextScrub(uint32_t* posting) const;

  // All postings in an order in which those that are near to each other are mostly near too: in
  // which to store them. A function of the centroids alone. O(postings() * log(postings()) * dims).
  std::vector<uint32_t> Order() const;

  const Options& options() const;
  // Floats of a vector as chunks hold it.
  uint32_t stride() const;
  // How many postings there are, and a bound of their ids.
  uint32_t postings() const;
  uint32_t capacity() const;
  // All entries, spilled copies and dead rows included.
  uint64_t entries() const;
  // nullptr when the id is not in use.
  const Posting* posting(uint32_t id) const;
  // REQUIRES: the id is in use.
  std::vector<float> centroid(uint32_t id) const;
  // Whether a search for this vector can find anything: false for one without a place.
  bool HasPlace(std::span<const float> vector) const;
  // The entries when the stop rule was last calibrated from the ground up; 0 = never, and searches
  // are then exact.
  uint64_t calibrated_entries() const;
  // Whether enough changed since then that it should be done again.
  bool WantsCalibration() const;

  ~Version();
  struct State;
  explicit Version(std::unique_ptr<const State> state);
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<const State> state_;
};

}  // namespace spfresh
