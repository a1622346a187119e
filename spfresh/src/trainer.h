// The centroids of a whole index, from a sample: a hierarchy, then passes over its leaves.
//
// Work comes in steps, and a step in units that depend on nothing but the steps before: they may
// run on any threads at once. Results depend on neither threads nor order.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cluster.h"

namespace spfresh {

class Codec;
class Centroids;

class Trainer {
 public:
  // REQUIRES: sample and codec outlive this; 1 <= clusters <= sample.count
  Trainer(const Vectors& sample, uint32_t clusters, const Codec& codec, uint64_t seed);
  ~Trainer();

  // The units of the step at hand, and one of them. Thread safety: distinct units may run at once.
  uint32_t units() const { return static_cast<uint32_t>(done_.size()); }
  void RunUnit(uint32_t unit);
  // Ends the step, doing what is left of it. False when it was the last.
  bool Step();
  // Of all steps, those done.
  float progress() const;

  // Row after row. In the order of the hierarchy: what is near is mostly numbered near.
  const std::vector<float>& centroids() const { return centroids_; }

 private:
  void Prepare();
  void Refine(bool rebalance);

  const Vectors sample_;
  const Codec& codec_;
  Random random_;
  uint32_t step_ = 0;
  // A byte for each unit of the step.
  std::vector<uint8_t> done_;
  std::vector<Part> parts_;
  // By part, what came of it.
  std::vector<std::vector<float>> leaves_;
  std::vector<float> centroids_;
  // The same, to be searched.
  std::unique_ptr<const Centroids> tree_;
  std::vector<uint32_t> cluster_of_;
};

}  // namespace spfresh
