#include "cluster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "spfresh/distance.h"

namespace spfresh {
namespace {

constexpr size_t kTile = 64;
constexpr uint32_t kFanOut = 32;
// Vectors a cluster that k-means learns from: more change the centroids little.
constexpr size_t kLearnPerCluster = 128;
constexpr uint32_t kRounds = 8;

// The nearest of "centroids" to each of the members, with what "extra" adds to a squared distance.
class Nearest {
 public:
  Nearest(const std::vector<float>& centroids, size_t stride)
      : centroids_{centroids.data(), centroids.size() / stride, stride}, norm2_(centroids_.count) {
    for (size_t c = 0; c < centroids_.count; ++c) {
      Dot(centroids_[c], {centroids_[c], 1, stride, stride}, &norm2_[c]);
    }
    dots_.resize(kTile * centroids_.count);
  }

  // Calls found(i, nearest) for each i. "extra" may be empty.
  template <class Found>
  void Each(const Vectors& vectors, const std::vector<uint32_t>& members,
            const std::vector<float>& extra, Found found) {
    const size_t stride = vectors.stride;
    const size_t n = members.empty() ? vectors.count : members.size();
    if (!members.empty()) gathered_.resize(kTile * stride);
    for (size_t from = 0; from < n; from += kTile) {
      const size_t count = std::min(kTile, n - from);
      const float* tile = vectors[from];
      if (!members.empty()) {
        for (size_t i = 0; i < count; ++i) {
          std::copy_n(vectors[members[from + i]], stride, gathered_.data() + i * stride);
        }
        tile = gathered_.data();
      }
      // Blocks of centroids that stay in the cache for the whole tile.
      DotMany({tile, count, stride, stride}, {centroids_.data, centroids_.count, stride, stride},
              dots_.data());
      for (size_t i = 0; i < count; ++i) {
        const float* dots = dots_.data() + i * centroids_.count;
        uint32_t best = 0;
        float best_distance = std::numeric_limits<float>::infinity();
        for (uint32_t c = 0; c < centroids_.count; ++c) {
          float distance = norm2_[c] - 2 * dots[c];
          if (!extra.empty()) distance += extra[c];
          if (distance < best_distance) {
            best_distance = distance;
            best = c;
          }
        }
        found(from + i, best);
      }
    }
  }

 private:
  const Vectors centroids_;
  std::vector<float> norm2_;
  std::vector<float> dots_;
  std::vector<float> gathered_;
};

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

}  // namespace

void Means::Add(uint32_t cluster, const float* vector) {
  float* sum = sums.data() + cluster * stride;
  for (size_t j = 0; j < stride; ++j) sum[j] += vector[j];
  ++counts[cluster];
}

void Means::Write(std::vector<float>* centroids) const {
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] == 0) continue;
    const float scale = 1.0F / static_cast<float>(counts[c]);
    for (size_t j = 0; j < stride; ++j) {
      (*centroids)[c * stride + j] = sums[c * stride + j] * scale;
    }
  }
}

std::vector<float> MeanOf(const std::vector<float>& rows, size_t stride) {
  std::vector<double> sum(stride);
  for (size_t i = 0; i < rows.size(); ++i) sum[i % stride] += static_cast<double>(rows[i]);
  std::vector<float> mean;
  for (const double x : sum) {
    mean.push_back(static_cast<float>(x / static_cast<double>(rows.size() / stride)));
  }
  return mean;
}

std::vector<uint32_t> NearestOf(const std::vector<float>& centroids, const Vectors& vectors) {
  std::vector<uint32_t> nearest(vectors.count);
  Nearest(centroids, vectors.stride).Each(vectors, {}, {}, [&](size_t i, uint32_t cluster) {
    nearest[i] = cluster;
  });
  return nearest;
}

std::vector<float> KMeans(const Vectors& vectors, const std::vector<uint32_t>& members, uint32_t k,
                          uint32_t rounds, Random* random, std::vector<uint32_t>* cluster_of) {
  const size_t stride = vectors.stride;
  const size_t n = members.empty() ? vectors.count : members.size();
  const auto at = [&](size_t i) { return vectors[members.empty() ? i : members[i]]; };

  // Enough to learn from, evenly drawn.
  std::vector<uint32_t> learn;
  const size_t enough = kLearnPerCluster * k;
  if (n > enough) {
    learn.reserve(enough);
    for (size_t i = 0; i < enough; ++i) {
      const size_t from = i * n / enough, to = (i + 1) * n / enough;
      const auto pick = static_cast<uint32_t>(from + random->Below(to - from));
      learn.push_back(members.empty() ? pick : members[pick]);
    }
  } else {
    learn.resize(n);
    for (uint32_t i = 0; i < n; ++i) learn[i] = members.empty() ? i : members[i];
  }

  // k-means++: each seed far from those before it, by chance in proportion to its squared distance.
  std::vector<float> centroids;
  std::vector<float> away(learn.size(), std::numeric_limits<float>::max());
  size_t pick = random->Below(learn.size());
  while (true) {
    const float* seed = vectors[learn[pick]];
    centroids.insert(centroids.end(), seed, seed + stride);
    if (centroids.size() == k * stride) break;
    double total = 0;
    for (size_t i = 0; i < learn.size(); ++i) {
      away[i] = std::min(away[i], Distance2(seed, vectors[learn[i]], stride));
      total += static_cast<double>(away[i]);
    }
    // What is left equals a seed. A sample may miss the only vectors that differ: look at all.
    if (!(total > 0)) {
      if (learn.size() == n || centroids.size() > stride) break;
      size_t other = 0;
      while (other < n && Distance2(seed, at(other), stride) == 0) ++other;
      if (other == n) break;
      centroids.insert(centroids.end(), at(other), at(other) + stride);
      break;
    }
    double dart = static_cast<double>(random->Unit()) * total;
    pick = 0;
    while (pick + 1 < learn.size() && (dart -= static_cast<double>(away[pick])) >= 0) ++pick;
    while (away[pick] == 0) pick = (pick + 1) % learn.size();
  }

  // "extra" is how much farther a cluster looks for being too full; it follows the counts.
  const size_t found = centroids.size() / stride;
  std::vector<float> extra(found);
  for (uint32_t round = 0; round < rounds && found > 1; ++round) {
    Means means(found, stride);
    double spread = 0;
    Nearest(centroids, stride).Each(vectors, learn, extra, [&](size_t i, uint32_t cluster) {
      means.Add(cluster, vectors[learn[i]]);
      if (i % 8 == 0) {
        spread += static_cast<double>(
            Distance2(vectors[learn[i]], centroids.data() + cluster * stride, stride));
      }
    });
    means.Write(&centroids);
    const float mean_distance2 =
        static_cast<float>(spread / static_cast<double>((learn.size() + 7) / 8));
    const float share = static_cast<float>(learn.size()) / static_cast<float>(found);
    for (size_t c = 0; c < found; ++c) {
      const float fill = static_cast<float>(means.counts[c]) / share;
      extra[c] = 0.5F * extra[c] + 0.05F * mean_distance2 * std::clamp(fill - 1, -1.0F, 2.0F);
    }
  }
  cluster_of->resize(n);
  Nearest(centroids, stride).Each(vectors, members, {}, [&](size_t i, uint32_t cluster) {
    (*cluster_of)[i] = cluster;
  });
  return centroids;
}

namespace {

// Each part gets leaves in proportion to its members, so that leaves come out of like size.
std::vector<Part> DivideOnce(const Vectors& vectors, Part whole) {
  Random random(whole.seed);
  std::vector<uint32_t> part_of;
  const uint32_t count =
      whole.clusters <= kFanOut
          ? whole.clusters
          : std::min(kFanOut, static_cast<uint32_t>(std::ceil(std::sqrt(whole.clusters))));
  const std::vector<float> centroids =
      KMeans(vectors, whole.members, count, kRounds, &random, &part_of);
  std::vector<Part> parts(centroids.size() / vectors.stride);
  for (size_t i = 0; i < whole.members.size(); ++i) {
    parts[part_of[i]].members.push_back(whole.members[i]);
  }
  const double share =
      static_cast<double>(whole.clusters) / static_cast<double>(whole.members.size());
  whole.members = {};
  std::erase_if(parts, [](const Part& part) { return part.members.empty(); });
  for (Part& part : parts) {
    const double leaves = std::round(share * static_cast<double>(part.members.size()));
    part.clusters = static_cast<uint32_t>(std::max(1.0, leaves));
    part.seed = random.Next();
  }
  return parts;
}

}  // namespace

std::vector<Part> Divide(const Vectors& vectors, uint32_t clusters, Random* random) {
  std::vector<uint32_t> all(vectors.count);
  std::iota(all.begin(), all.end(), 0U);
  return DivideOnce(vectors, {std::move(all), clusters, random->Next()});
}

std::vector<float> Conquer(const Vectors& vectors, Part part) {
  if (part.clusters <= kFanOut) {
    Random random(part.seed);
    std::vector<uint32_t> ignored;
    return KMeans(vectors, part.members, part.clusters, kRounds, &random, &ignored);
  }
  std::vector<Part> parts = DivideOnce(vectors, std::move(part));
  std::vector<float> centroids;
  // Equal vectors cannot be divided.
  if (parts.size() == 1) parts[0].clusters = 1;
  for (Part& each : parts) {
    const std::vector<float> leaves = Conquer(vectors, std::move(each));
    centroids.insert(centroids.end(), leaves.begin(), leaves.end());
  }
  return centroids;
}

std::vector<float> Hierarchy(const Vectors& vectors, uint32_t clusters, Random* random) {
  std::vector<uint32_t> all(vectors.count);
  std::iota(all.begin(), all.end(), 0U);
  return Conquer(vectors, {std::move(all), clusters, random->Next()});
}

}  // namespace spfresh
