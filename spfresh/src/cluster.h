// k-means, in the two forms that the index needs: a few centroids for the members of one posting,
// and the many of a whole index from a sample.
//
// Everything here is a function of its arguments; ties go to the lower number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "random.h"

namespace spfresh {

// A view of placed vectors, "stride" floats each.
struct Vectors {
  const float* data;
  size_t count;
  size_t stride;
  const float* operator[](size_t i) const { return data + i * stride; }
};

// Lloyd's k-means from k-means++ seeds, over the vectors named by "members" (all when empty). Fewer
// than "k" centroids come back where the members have fewer distinct vectors; one where they are
// all equal. *cluster_of has a number for each member. A cluster that would hold more than its
// share pushes vectors away a little, so that the centroids come out balanced; *cluster_of is then
// the nearest all the same.
std::vector<float> KMeans(const Vectors& vectors, const std::vector<uint32_t>& members, uint32_t k,
                          uint32_t rounds, Random* random, std::vector<uint32_t>* cluster_of);

// Centroids for a whole index, trained in steps so that a caller may stop in between.
class Trainer {
 public:
  // REQUIRES: sample outlives this; 1 <= clusters <= sample.count
  Trainer(const Vectors& sample, uint32_t clusters, uint64_t seed);

  // Does the next step: first the hierarchy, then passes over its leaves. False when done.
  bool Step();
  // Of all steps, those done.
  float progress() const;

  // Row after row. In the order of the hierarchy: what is near is mostly numbered near.
  const std::vector<float>& centroids() const { return centroids_; }

 private:
  void Divide(std::vector<uint32_t> members, uint32_t clusters);
  void Refine(bool rebalance);

  const Vectors sample_;
  const uint32_t clusters_;
  Random random_;
  uint32_t step_ = 0;
  std::vector<float> centroids_;
};

}  // namespace spfresh
