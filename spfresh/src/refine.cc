#include "refine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "assign.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

constexpr int kRounds = 10;
// In the first rounds, clusters are moved from where they are too many to where they are too few:
// from one with less than this part of what it should hold to one with more than so many times as
// much, which would have to be split.
constexpr int kRebalanced = 6;
constexpr double kSmall = 0.6;
constexpr double kLarge = 1.5;
// As long as clusters hold this part of what they should, and up to so many times as much, their
// number is left alone: splits and mergers mend the rest.
constexpr double kFillMin = 0.8;
constexpr double kFillMax = 1.4;

// Which cluster each vector is nearest to, and how far.
struct Clusters {
  Clusters(const Vectors& vectors, const std::vector<float>& centroids)
      : of(vectors.count), distance2(vectors.count), sizes(centroids.size() / vectors.stride) {
    const size_t stride = vectors.stride;
    std::vector<float> to(sizes.size());
    for (size_t i = 0; i < vectors.count; ++i) {
      L2Squared(vectors[i], {centroids.data(), sizes.size(), stride, stride}, to.data());
      of[i] = static_cast<size_t>(std::min_element(to.begin(), to.end()) - to.begin());
      distance2[i] = to[of[i]];
      ++sizes[of[i]];
    }
  }
  std::vector<size_t> of;
  std::vector<float> distance2;
  std::vector<size_t> sizes;
};

void Remove(size_t cluster, size_t stride, std::vector<float>* centroids) {
  // The last takes its place, so that the others keep theirs.
  std::copy_n(centroids->end() - static_cast<ptrdiff_t>(stride), stride,
              centroids->begin() + static_cast<ptrdiff_t>(cluster * stride));
  centroids->resize(centroids->size() - stride);
}

// A member of the cluster that is neither at its centre nor an outlier; none where all are equal.
const float* Between(const Vectors& vectors, const Clusters& clusters, size_t cluster) {
  std::vector<size_t> members;
  for (size_t i = 0; i < vectors.count; ++i) {
    if (clusters.of[i] == cluster && clusters.distance2[i] > 0) members.push_back(i);
  }
  if (members.empty()) return nullptr;
  const auto middle = members.begin() + static_cast<ptrdiff_t>(members.size() / 2);
  std::nth_element(members.begin(), middle, members.end(), [&](size_t a, size_t b) {
    return clusters.distance2[a] < clusters.distance2[b] ||
           (clusters.distance2[a] == clusters.distance2[b] && a < b);
  });
  return vectors[*middle];
}

void MakeAsMany(const Vectors& vectors, size_t wanted, std::vector<float>* centroids) {
  while (centroids->size() / vectors.stride != wanted) {
    const Clusters clusters(vectors, *centroids);
    const auto [small, large] = std::minmax_element(clusters.sizes.begin(), clusters.sizes.end());
    if (clusters.sizes.size() > wanted) {
      Remove(static_cast<size_t>(small - clusters.sizes.begin()), vectors.stride, centroids);
      continue;
    }
    const float* seed =
        Between(vectors, clusters, static_cast<size_t>(large - clusters.sizes.begin()));
    if (seed == nullptr) return;
    centroids->insert(centroids->end(), seed, seed + vectors.stride);
  }
}

// Lays the smallest cluster into the largest, where both are out of proportion.
void Rebalance(const Vectors& vectors, const Clusters& clusters, size_t per_cluster,
               std::vector<float>* centroids) {
  const auto [small, large] = std::minmax_element(clusters.sizes.begin(), clusters.sizes.end());
  const auto share = static_cast<double>(per_cluster);
  if (static_cast<double>(*small) > kSmall * share ||
      static_cast<double>(*large) < kLarge * share) {
    return;
  }
  const float* seed =
      Between(vectors, clusters, static_cast<size_t>(large - clusters.sizes.begin()));
  // Equal vectors stay together.
  if (seed == nullptr) return;
  std::copy_n(seed, vectors.stride,
              centroids->begin() +
                  (small - clusters.sizes.begin()) * static_cast<ptrdiff_t>(vectors.stride));
}

// The smallest cluster, if it is smaller than "least" and not the only one.
bool RemoveSmallest(const Clusters& clusters, size_t stride, size_t least,
                    std::vector<float>* centroids) {
  const auto small = std::min_element(clusters.sizes.begin(), clusters.sizes.end());
  if (*small >= least || clusters.sizes.size() == 1) return false;
  Remove(static_cast<size_t>(small - clusters.sizes.begin()), stride, centroids);
  return true;
}

void Recentre(const Vectors& vectors, const Clusters& clusters, std::vector<float>* centroids) {
  const size_t stride = vectors.stride;
  std::vector<double> sums(centroids->size());
  for (size_t i = 0; i < vectors.count; ++i) {
    double* sum = sums.data() + clusters.of[i] * stride;
    for (size_t j = 0; j < stride; ++j) sum[j] += static_cast<double>(vectors[i][j]);
  }
  for (size_t c = 0; c < clusters.sizes.size(); ++c) {
    if (clusters.sizes[c] == 0) continue;
    const auto n = static_cast<double>(clusters.sizes[c]);
    for (size_t j = 0; j < stride; ++j) {
      (*centroids)[c * stride + j] = static_cast<float>(sums[c * stride + j] / n);
    }
  }
}

}  // namespace

std::vector<uint32_t> Neighbourhood(const Centroids& centroids, uint32_t posting, size_t most) {
  std::vector<uint32_t> ids = {posting};
  if (most == 1) return ids;
  for (const auto& [id, distance2] :
       NearestPostings(centroids, centroids.centroid(posting).data(), most + 1)) {
    if (id != posting && ids.size() < most) ids.push_back(id);
  }
  return ids;
}

void Refine(const Vectors& vectors, size_t per_cluster, size_t least,
            std::vector<float>* centroids) {
  if (vectors.count == 0) return;
  const auto ideal = static_cast<double>(vectors.count) / static_cast<double>(per_cluster);
  const double fill = ideal / static_cast<double>(centroids->size() / vectors.stride);
  if (fill < kFillMin || fill > kFillMax) {
    MakeAsMany(vectors, std::max<size_t>(1, static_cast<size_t>(std::lround(ideal))), centroids);
  }
  for (int round = 0; round < kRounds; ++round) {
    const Clusters clusters(vectors, *centroids);
    Recentre(vectors, clusters, centroids);
    if (round < kRebalanced) Rebalance(vectors, clusters, per_cluster, centroids);
  }
  for (bool removed = true; removed;) {
    const Clusters clusters(vectors, *centroids);
    removed = RemoveSmallest(clusters, vectors.stride, least, centroids);
    if (!removed) Recentre(vectors, clusters, centroids);
  }
}

}  // namespace spfresh
