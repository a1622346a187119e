// Finds the stop rule's constants for an index: for a sample of queries everything is scanned, each
// search is replayed against that truth (src/replay.h), and the thresholds are those at which the
// wanted share of the truth had been found.
//
// Queries are not like rows: they lie beside them, farther from the nearest. So the sample is made
// of four kinds: rows pushed off by the difference of two others, little, more or far, which are
// not in their own truth; and places where rows might be that belong to no cluster of them. The
// thresholds leave a part of the allowed miss unused.
//
// An index that is of the size for which it was calibrated, and half of which at least is as it was
// then, is followed: a quarter of the queries,
// the biases kept, and each threshold moved a quarter of the way to what they say, so that it costs
// little enough to be done whenever a twentieth of the entries changed, and four steps together
// know as much as one from the ground up.
//
// Use: Begin; AddSample until wanted() is 0 or nothing is left to give; AddPosting for all chunks
// of all postings, in any order; Finish. The caller reads the chunks in between.
//
// Memory, beside the version: 1,024 queries, each with at most 32 KB of its nearest rows and, when
// these are gone, 40 to 60 KB of steps of its search, which grow with the logarithm of the
// postings; three vectors of the sample and two of its own. Below 100 MB for 384 dimensions, at any
// size.
//
// Thread safety: none; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

class Calibrator {
 public:
  static std::unique_ptr<Calibrator> Begin(std::shared_ptr<const Version> version);
  ~Calibrator();

  // The postings from which to sample, in this order.
  std::vector<uint32_t> SamplePostings() const;
  // How many more vectors are wanted. Takes a few of the chunk.
  size_t wanted() const;
  void AddSample(const Chunk& chunk);

  // "live" has a byte for each entry: 0 for one whose row is dead.
  Status AddPosting(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);

  // The version with its stop rule calibrated, or with the one that it had when there was nothing
  // to learn from.
  std::shared_ptr<const Version> Finish();

  // The most bytes that it held at a time, known after Finish.
  uint64_t held_most() const { return held_most_; }

 private:
  struct Query;
  explicit Calibrator(std::shared_ptr<const Version> version);
  // Whether thresholds that there are follow the index instead of being found anew.
  bool follows() const;
  size_t most_queries() const;
  std::shared_ptr<const Version> Unchanged() const;
  void MakeQueries();
  void OfferCodes(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);
  void OfferVectors(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live);

  const std::shared_ptr<const Version> version_;
  std::vector<float> sample_;
  std::vector<uint64_t> sample_rows_;
  std::vector<Query> queries_;
  std::vector<float> places_;
  uint64_t held_most_ = 0;
};

}  // namespace spfresh
