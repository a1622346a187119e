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
constexpr uint32_t kPasses = 4;

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

// Sums in double would be exact enough for anything; floats are, for the counts of a cluster.
struct Means {
  Means(size_t k, size_t stride_) : stride(stride_), sums(k * stride), counts(k) {}
  void Add(uint32_t cluster, const float* vector) {
    float* sum = sums.data() + cluster * stride;
    for (size_t j = 0; j < stride; ++j) sum[j] += vector[j];
    ++counts[cluster];
  }
  // Writes the means; clusters without members keep what they were.
  void Write(std::vector<float>* centroids) const {
    for (size_t c = 0; c < counts.size(); ++c) {
      if (counts[c] == 0) continue;
      const float scale = 1.0F / static_cast<float>(counts[c]);
      for (size_t j = 0; j < stride; ++j) {
        (*centroids)[c * stride + j] = sums[c * stride + j] * scale;
      }
    }
  }
  size_t stride;
  std::vector<float> sums;
  std::vector<uint32_t> counts;
};

}  // namespace

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

Trainer::Trainer(const Vectors& sample, uint32_t clusters, uint64_t seed)
    : sample_(sample), clusters_(clusters), random_(seed) {}

float Trainer::progress() const {
  return static_cast<float>(step_) / static_cast<float>(1 + kPasses);
}

bool Trainer::Step() {
  if (step_ > kPasses) return false;
  if (step_ == 0) {
    std::vector<uint32_t> all(sample_.count);
    std::iota(all.begin(), all.end(), 0U);
    Divide(std::move(all), clusters_);
  } else {
    // The last two passes leave the number of clusters alone, so that they settle.
    Refine(step_ + 2 <= kPasses);
  }
  ++step_;
  return step_ <= kPasses;
}

// Each part gets leaves in proportion to its members, so that leaves come out of like size.
void Trainer::Divide(std::vector<uint32_t> members, uint32_t clusters) {
  std::vector<uint32_t> part_of;
  const uint32_t parts =
      clusters <= kFanOut
          ? clusters
          : std::min(kFanOut, static_cast<uint32_t>(std::ceil(std::sqrt(clusters))));
  const std::vector<float> centroids = KMeans(sample_, members, parts, kRounds, &random_, &part_of);
  const size_t found = centroids.size() / sample_.stride;
  if (parts == clusters || found == 1) {
    centroids_.insert(centroids_.end(), centroids.begin(), centroids.end());
    return;
  }
  std::vector<std::vector<uint32_t>> divided(found);
  for (size_t i = 0; i < members.size(); ++i) divided[part_of[i]].push_back(members[i]);
  const double share = static_cast<double>(clusters) / static_cast<double>(members.size());
  members = {};
  for (auto& part : divided) {
    if (part.empty()) continue;
    const auto leaves =
        static_cast<uint32_t>(std::max(1.0, std::round(share * static_cast<double>(part.size()))));
    Divide(std::move(part), leaves);
  }
}

// One pass of Lloyd's over all leaves. Rebalancing gives the place of a leaf with far too few
// members to half of one with far too many.
void Trainer::Refine(bool rebalance) {
  const size_t stride = sample_.stride;
  const size_t k = centroids_.size() / stride;
  Means means(k, stride);
  std::vector<uint32_t> cluster_of(sample_.count);
  Nearest(centroids_, stride).Each(sample_, {}, {}, [&](size_t i, uint32_t cluster) {
    means.Add(cluster, sample_[i]);
    cluster_of[i] = cluster;
  });
  means.Write(&centroids_);
  if (!rebalance) return;

  const size_t share = sample_.count / k;
  std::vector<std::vector<uint32_t>> crowded(k);
  for (size_t i = 0; i < sample_.count; ++i) {
    if (means.counts[cluster_of[i]] > 2 * share + 1) {
      crowded[cluster_of[i]].push_back(static_cast<uint32_t>(i));
    }
  }
  std::vector<float> next;
  next.reserve(centroids_.size());
  std::vector<uint32_t> ignored;
  for (size_t c = 0; c < k; ++c) {
    if (means.counts[c] * 5 < share || means.counts[c] == 0) continue;
    if (crowded[c].empty()) {
      next.insert(next.end(), centroids_.begin() + static_cast<ptrdiff_t>(c * stride),
                  centroids_.begin() + static_cast<ptrdiff_t>((c + 1) * stride));
      continue;
    }
    const auto parts = static_cast<uint32_t>(
        std::min<size_t>(kFanOut, (crowded[c].size() + share / 2) / std::max<size_t>(1, share)));
    const std::vector<float> halves =
        KMeans(sample_, crowded[c], std::max(2U, parts), kRounds, &random_, &ignored);
    next.insert(next.end(), halves.begin(), halves.end());
  }
  if (!next.empty()) centroids_ = std::move(next);
}

}  // namespace spfresh
