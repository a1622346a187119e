// Which postings a refinement makes anew, and their centroids.
#pragma once

#include <cstdint>
#include <vector>

#include "centroids.h"
#include "cluster.h"

namespace spfresh {

// The posting and those whose centroids are nearest to its own, nearest first, at most "most".
std::vector<uint32_t> Neighbourhood(const Centroids& centroids, uint32_t posting, size_t most);

// Lloyd's k-means over "vectors" that begins with "centroids", row after row. It has as many
// clusters in the end, but one for each "per_cluster" vectors where these are far more or fewer,
// and none with fewer than "least", which would have to be merged at once. A cluster keeps its
// place, so that most vectors stay where they are.
void Refine(const Vectors& vectors, size_t per_cluster, size_t least,
            std::vector<float>* centroids);

}  // namespace spfresh
