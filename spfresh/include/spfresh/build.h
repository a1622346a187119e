// Builds an index in bulk: centroids from a sample, then every vector to its postings.
//
// Use: Begin; Train until it says that it is done; Add any number of times; Finish, then a Rebuild
// for each posting that Version::NextWork names, and a Calibrator.
//
// Nearly all of the work can be shared among threads of the caller's: the units of a step of the
// training, and the placing of slices of the rows. The index that comes out is the same.
//
// Thread safety: RunTrainUnit for distinct units, and Place, may run on several threads at once;
// everything else needs the builder alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

class Builder {
 public:
  // "rows" is how many vectors are expected in all; "sample" are some of them, evenly drawn: all,
  // or 32 for each of the postings to come, make a good index.
  static Status Begin(const Options& options, uint64_t rows, std::span<const float> sample,
                      std::unique_ptr<Builder>* out);
  ~Builder();

  // Does a step of the training. Returns whether there is more.
  bool Train();
  // The units of the step at hand, each of which may be done before Train is called, which does
  // those that are left.
  uint32_t train_units() const;
  void RunTrainUnit(uint32_t unit);
  // Of the training, the share that is done.
  float trained() const;

  // The trained centroids without an entry, for whoever inserts by itself: any number of threads, by
  // Version::Insert and Version::Merge, and at the end Version::Loaded. Without centroids where the
  // sample had too few vectors. REQUIRES: Train said that it is done, and nothing was added.
  std::shared_ptr<const Version> version() const;

  // REQUIRES: Train said that it is done. Rows ascend within a call and are below 2^60.
  Status Add(std::span<const uint64_t> rows, std::span<const float> vectors);
  // The same in two: where vectors go and what they are there, and taking that. REQUIRES: the
  // sample had vectors; for the same index, slices are taken in the same order.
  Status Place(std::span<const uint64_t> rows, std::span<const float> vectors, Change* out) const;
  Status Take(Change placed);

  // The postings, each once. Postings may be too full or too empty: that is NextWork's.
  Status Finish(Change* out);

 private:
  struct Impl;
  explicit Builder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spfresh
