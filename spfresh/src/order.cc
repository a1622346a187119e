// The order in which postings are stored. Centroids are halved along the line between two of them
// that are far apart, and the halves again: what is near is mostly in one half, at every size.
#include <algorithm>
#include <limits>

#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Fewer are not worth an order.
constexpr size_t kLeaf = 4;

struct Place {
  float along;
  uint32_t posting;
};

class Halver {
 public:
  explicit Halver(const Centroids& centroids) : centroids_(centroids) {}

  void Halve(std::span<Place> places) {
    if (places.size() <= kLeaf) return;
    const std::vector<float> left = Farthest(places, centroids_.centroid(places[0].posting));
    const std::vector<float> right = Farthest(places, left);
    for (Place& place : places) {
      const std::vector<float> centroid = centroids_.centroid(place.posting);
      place.along = Distance2(centroid, left) - Distance2(centroid, right);
    }
    const size_t half = places.size() / 2;
    std::nth_element(places.begin(), places.begin() + static_cast<ptrdiff_t>(half), places.end(),
                     [](const Place& a, const Place& b) {
                       return a.along < b.along || (a.along == b.along && a.posting < b.posting);
                     });
    Halve(places.first(half));
    Halve(places.subspan(half));
  }

 private:
  float Distance2(const std::vector<float>& a, const std::vector<float>& b) const {
    float distance2;
    L2Squared(a.data(), {b.data(), 1, centroids_.stride(), centroids_.stride()}, &distance2);
    return distance2;
  }

  std::vector<float> Farthest(std::span<const Place> places, const std::vector<float>& from) const {
    std::vector<float> farthest = from;
    float most = -1;
    for (const Place& place : places) {
      std::vector<float> centroid = centroids_.centroid(place.posting);
      if (const float distance2 = Distance2(centroid, from); distance2 > most) {
        most = distance2;
        farthest = std::move(centroid);
      }
    }
    return farthest;
  }

  const Centroids& centroids_;
};

}  // namespace

std::vector<uint32_t> Version::Order() const {
  const Centroids& centroids = state_->centroids;
  std::vector<Place> places;
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    if (centroids.in_use(id)) places.push_back({0, id});
  }
  Halver(centroids).Halve(places);
  std::vector<uint32_t> postings;
  for (const Place& place : places) postings.push_back(place.posting);
  return postings;
}

}  // namespace spfresh
