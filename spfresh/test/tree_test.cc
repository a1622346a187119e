// The tree over centroids: whatever is done to it, it holds every posting once, and a search
// names all of them, nearest first but for a few.
#include <algorithm>
#include <set>

#include "assign.h"
#include "centroid_order.h"
#include "gtest/gtest.h"
#include "random.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

constexpr uint32_t kDims = 64;

Options CodedOptions() {
  Options options;
  options.dims = kDims;
  return options;
}

// Vectors in some groups.
std::vector<float> Draw(Random* random) {
  std::vector<float> vector(kDims);
  const uint64_t group = random->Below(20);
  for (uint32_t i = 0; i < kDims; ++i) {
    vector[i] = random->Unit() + ((i * 7 + group * 13) % 20 < 3 ? 1.5F : 0.0F);
  }
  return vector;
}

// The share of the nearest postings that a search does not name among as many.
double Missed(const Centroids& centroids, size_t wanted, Random* random) {
  const Space space(CodedOptions(), 0);
  size_t missed = 0;
  constexpr int kQueries = 50;
  for (int q = 0; q < kQueries; ++q) {
    const std::vector<float> place = Draw(random);
    const QueryCode code(centroids.tree().codec(), Metric::kL2, place.data(), 0.95F);
    CentroidOrder order(centroids, space, place.data(), &code);
    CentroidOrder exact(centroids, space, place.data(), nullptr);
    std::set<uint32_t> found, right, all;
    for (size_t n = 0; const CentroidOrder::Near* near = order.Nearest(); ++n) {
      EXPECT_FLOAT_EQ(near->distance2,
                      CentroidQuery(centroids, place.data()).Distance2(near->posting));
      if (n < wanted) found.insert(near->posting);
      EXPECT_TRUE(all.insert(near->posting).second);
      order.Pop();
    }
    EXPECT_EQ(all.size(), centroids.count()) << "some are never named";
    for (size_t n = 0; n < wanted; ++n) {
      right.insert(exact.Nearest()->posting);
      exact.Pop();
    }
    for (const uint32_t id : right) missed += found.contains(id) ? 0 : 1;
  }
  return static_cast<double>(missed) / static_cast<double>(kQueries * wanted);
}

TEST(CentroidTree, HoldsEveryPostingOnceThroughAllChanges) {
  Random random(1);
  const Codec codec(CodedOptions(), kDims);
  Centroids centroids(codec);
  std::vector<uint32_t> ids;
  uint32_t most_levels = 0;
  for (int round = 0; round < 60; ++round) {
    Centroids next = centroids;
    const bool grows = round < 30;
    for (int i = 0; i < 100; ++i) {
      const uint64_t what = random.Below(10);
      if (what < (grows ? 8U : 1U)) {
        ids.push_back(next.Add(Draw(&random).data()));
      } else if (what < 9 && ids.size() > 1) {
        const size_t at = random.Below(ids.size());
        next.Remove(ids[at]);
        ids[at] = ids.back();
        ids.pop_back();
      } else if (!ids.empty()) {
        next.Move(ids[random.Below(ids.size())], Draw(&random).data());
      }
    }
    next.Encode();
    EXPECT_EQ(next.TreeFault(), "");
    // What is older sees nothing of it.
    EXPECT_EQ(centroids.TreeFault(), "");
    most_levels = std::max(most_levels, next.tree().levels());
    centroids = std::move(next);
  }
  EXPECT_GE(most_levels, 2U);
  EXPECT_LE(centroids.tree().levels(), 2U);
}

TEST(CentroidTree, ToldWhatIsWrongWithIt) {
  Random random(5);
  const Codec codec(CodedOptions(), kDims);
  Centroids centroids(codec);
  for (uint32_t id = 0; id < 600; ++id) centroids.Place(id, Draw(&random).data());
  // Its postings are not in the tree.
  EXPECT_NE(centroids.TreeFault(), "");
  centroids.Group(7);
  // Its nodes have no codes.
  EXPECT_NE(centroids.TreeFault(), "");
  centroids.Encode();
  ASSERT_EQ(centroids.TreeFault(), "");
  Centroids more = centroids;
  more.Place(600, Draw(&random).data());
  EXPECT_NE(more.TreeFault().find("reaches 600 postings"), std::string::npos);
  // Another place under the old code.
  Centroids moved = centroids;
  moved.Move(3, Draw(&random).data());
  EXPECT_NE(moved.TreeFault().find("codes"), std::string::npos);
  moved.Encode();
  EXPECT_EQ(moved.TreeFault(), "");
}

TEST(CentroidTree, NamesTheNearestFirst) {
  Random random(2);
  const Codec codec(CodedOptions(), kDims);
  Centroids centroids(codec);
  for (uint32_t id = 0; id < 3000; ++id) centroids.Place(id, Draw(&random).data());
  centroids.Group(7);
  centroids.Encode();
  EXPECT_EQ(centroids.TreeFault(), "");
  EXPECT_EQ(centroids.tree().levels(), 2U);
  EXPECT_LE(Missed(centroids, 20, &random), 0.02);
}

TEST(CentroidTree, OpensNodesInTurnWhereTheyAreMany) {
  Random random(3);
  const Codec codec(CodedOptions(), kDims);
  Centroids centroids(codec);
  for (uint32_t id = 0; id < 40'000; ++id) centroids.Place(id, Draw(&random).data());
  centroids.Group(7);
  centroids.Encode();
  EXPECT_EQ(centroids.TreeFault(), "");
  EXPECT_EQ(centroids.tree().levels(), 3U);
  const std::vector<float> place = Draw(&random);
  const Space space(CodedOptions(), 0);
  const QueryCode code(codec, Metric::kL2, place.data(), 0.95F);
  CentroidOrder order(centroids, space, place.data(), &code);
  order.Nearest();
  EXPECT_LT(order.opened(), 400U);
}

TEST(Assign, FindsTheNearestAsSurelyAsItIsAsked) {
  Random random(4);
  const Codec codec(CodedOptions(), kDims);
  Centroids centroids(codec);
  for (uint32_t id = 0; id < 3000; ++id) centroids.Place(id, Draw(&random).data());
  centroids.Group(7);
  centroids.Encode();
  constexpr size_t kCount = 500;
  std::vector<float> vectors;
  for (size_t i = 0; i < kCount; ++i) {
    const std::vector<float> vector = Draw(&random);
    vectors.insert(vectors.end(), vector.begin(), vector.end());
  }
  const auto wrong = [&](Spill spill, Care care) {
    std::vector<Assignment> places;
    Assign(centroids, vectors.data(), kCount, {spill, 1, 0}, &places, care);
    size_t count = 0;
    for (size_t i = 0; i < kCount; ++i) {
      const CentroidQuery query(centroids, vectors.data() + i * kDims);
      EXPECT_NE(places[i].primary, places[i].spill);
      for (uint32_t id = 0; id < centroids.capacity(); ++id) {
        if (centroids.in_use(id) && query.Distance2(id) < query.Distance2(places[i].primary)) {
          ++count;
          break;
        }
      }
    }
    return count;
  };
  EXPECT_EQ(wrong(Spill::kNone, Care::kSure), 0U);
  EXPECT_EQ(wrong(Spill::kSoar, Care::kSure), 0U);
  EXPECT_LE(wrong(Spill::kSoar, Care::kUsual), kCount / 50);
  EXPECT_LE(wrong(Spill::kNone, Care::kQuick), kCount / 5);
}

// The nearest posting within the closure that the first one does not shadow.
TEST(Assign, PlacesClosureCopiesByTheRuleOfRelativeNeighbourhoods) {
  Random random(5);
  Options options;
  options.dims = 4;
  const Codec whole(options, 4);
  Centroids centroids(whole);
  const auto draw = [&] {
    return std::vector<float>{random.Unit(), random.Unit(), random.Unit(), random.Unit()};
  };
  for (uint32_t id = 0; id < 300; ++id) centroids.Place(id, draw().data());
  centroids.Group(7);
  centroids.Encode();
  constexpr size_t kCount = 400;
  std::vector<float> vectors;
  for (size_t i = 0; i < kCount; ++i) {
    const std::vector<float> vector = draw();
    vectors.insert(vectors.end(), vector.begin(), vector.end());
  }
  const SpillRule rule{Spill::kClosure, 0, 0.5F};
  std::vector<Assignment> places;
  Assign(centroids, vectors.data(), kCount, rule, &places, Care::kSure);
  size_t copies = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const float* vector = vectors.data() + i * 4;
    const std::vector<float> first = centroids.centroid(places[i].primary);
    uint32_t best = kNowhere;
    float best2 = 0;
    for (uint32_t id = 0; id < 300; ++id) {
      const std::vector<float> other = centroids.centroid(id);
      float to_first2, to_other2, apart2;
      L2Squared(vector, {first.data(), 1, 4, 4}, &to_first2);
      L2Squared(vector, {other.data(), 1, 4, 4}, &to_other2);
      L2Squared(first.data(), {other.data(), 1, 4, 4}, &apart2);
      if (id == places[i].primary || to_other2 > 2.25F * to_first2 || apart2 <= to_other2) continue;
      EXPECT_EQ(SpillLoss(vector, first.data(), other.data(), 4, rule), to_other2);
      if (best != kNowhere && to_other2 >= best2) continue;
      best = id;
      best2 = to_other2;
    }
    EXPECT_EQ(places[i].spill, best);
    copies += best == kNowhere ? 0 : 1;
  }
  // Both happen.
  EXPECT_GT(copies, kCount / 10);
  EXPECT_LT(copies, kCount - kCount / 10);
}

}  // namespace
}  // namespace spfresh
