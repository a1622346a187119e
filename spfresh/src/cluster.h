// k-means, in the two forms that the index needs: a few centroids for the members of one posting,
// and a hierarchy of many.
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

// The mean of rows that lie one behind the other.
std::vector<float> MeanOf(const std::vector<float>& rows, size_t stride);

// The number of the nearest centroid for each vector.
std::vector<uint32_t> NearestOf(const std::vector<float>& centroids, const Vectors& vectors);

// k-means divided by size: parts that get leaves in proportion to their members, until a part has
// few leaves. About "clusters" centroids, in the order of the hierarchy: what is near is mostly
// numbered near.
std::vector<float> Hierarchy(const Vectors& vectors, uint32_t clusters, Random* random);

// The same in two steps, of which the second may run in parallel: the parts of the top, and the
// centroids of one part.
struct Part {
  std::vector<uint32_t> members;
  uint32_t clusters;
  uint64_t seed;
};
std::vector<Part> Divide(const Vectors& vectors, uint32_t clusters, Random* random);
std::vector<float> Conquer(const Vectors& vectors, Part part);

// The means of what is added.
struct Means {
  Means(size_t k, size_t stride_) : stride(stride_), sums(k * stride), counts(k) {}
  void Add(uint32_t cluster, const float* vector);
  // Clusters without members keep what they were.
  void Write(std::vector<float>* centroids) const;

  size_t stride;
  // Doubles would be exact enough for anything; floats are, for the counts of a cluster.
  std::vector<float> sums;
  std::vector<uint32_t> counts;
};

}  // namespace spfresh
