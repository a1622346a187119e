// Trains the centroids of an index that is built in bulk, on a sample.
//
// Use: Begin; AddSample for the sample, in pieces; Start; Train until it says that it is done; then
// version(), into which every vector is inserted: Version::Insert, on several threads with
// Version::Merge, and at the end Version::Loaded; a Rebuild for each posting that Version::NextWork
// names, and a Calibrator.
//
// Nearly all of the work can be shared among threads of the caller's: the units of a step of the
// training, and inserts of slices of the rows. The index that comes out is the same.
//
// Thread safety: RunTrainUnit for distinct units may run on several threads at once; everything
// else needs the builder alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

class Builder {
 public:
  // "rows" is how many vectors are expected in all, "sample_rows" how many of them the sample has
  // at most: memory for so many is taken at once.
  static Status Begin(const Options& options, uint64_t rows, uint64_t sample_rows,
                      std::unique_ptr<Builder>* out);
  ~Builder();
  // How many vectors, evenly drawn, make a good sample of so many rows: more teach little, and half
  // as many make an index that is somewhat worse. Their copies take no more than "bytes", unless
  // these are too few for any sample.
  static uint64_t SampleRows(const Options& options, uint64_t rows, uint64_t bytes);

  // Takes a copy of vectors of the sample, those beyond sample_rows left out.
  Status AddSample(std::span<const float> vectors);
  // The sample is all there.
  void Start();

  // Does a step of the training. Returns whether there is more. REQUIRES: started, as for what
  // follows.
  bool Train();
  // The units of the step at hand, each of which may be done before Train is called, which does
  // those that are left.
  uint32_t train_units() const;
  void RunTrainUnit(uint32_t unit);
  // Of the training, the share that is done.
  float trained() const;

  // The trained centroids without an entry. Without centroids where the sample had too few vectors:
  // then the first insert makes one. REQUIRES: Train said that it is done.
  std::shared_ptr<const Version> version() const;

 private:
  struct Impl;
  explicit Builder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spfresh
