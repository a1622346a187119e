// Random operations against brute force, seeded: nothing is lost, nothing dead or doubled is
// found, and with recall 1 the answer is exact, whatever the metric and the order of events.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "entries.h"
#include "gtest/gtest.h"
#include "random.h"
#include "spfresh/distance.h"
#include "test_index.h"
#include "version_state.h"

namespace spfresh {
namespace {

struct Case {
  Metric metric;
  uint64_t seed;
  bool spill;
  // 32: of few dimensions, kept whole.
  uint32_t bits;
};

class Model : public testing::TestWithParam<Case> {};

// Sizes, first copies and rows, counted anew from the chunks.
void CheckStructure(const test::TestIndex& index,
                    const std::map<uint64_t, std::vector<float>>& all) {
  std::map<uint64_t, int> primaries;
  uint64_t entries = 0;
  for (const auto& [id, chunks] : index.chunks()) {
    const Posting* posting = index.version().posting(id);
    ASSERT_NE(posting, nullptr) << "posting " << id;
    uint32_t count = 0, first = 0;
    for (const auto& chunk : chunks) {
      const std::vector<float> row = index.version().centroid(id);
      const float* centroid = row.data();
      const uint32_t stride = chunk->stride();
      std::vector<float> buffer;
      const float* vectors = VectorsOf(index.version().state().codec, *chunk, centroid, &buffer);
      ASSERT_EQ(chunk->kind(), index.version().state().KindOf(id));
      for (uint32_t i = 0; i < chunk->size(); ++i) {
        const uint64_t word = chunk->words()[i];
        ++count;
        primaries[RowOf(word)] += IsSpilled(word) ? 0 : 1;
        first += IsSpilled(word) ? 0 : 1;
        float distance2;
        L2Squared(centroid, {vectors + size_t{i} * stride, 1, stride, stride}, &distance2);
        ASSERT_LE(std::sqrt(distance2), posting->radius * 1.001F + 1e-4F);
      }
    }
    ASSERT_EQ(count, posting->entries) << "posting " << id;
    ASSERT_EQ(first, posting->primaries) << "posting " << id;
    entries += count;
  }
  ASSERT_EQ(entries, index.version().entries());
  for (const auto& [row, vector] : all) ASSERT_EQ(primaries[row], 1) << "row " << row;
}

// The hits by their exact distances, as the database takes them from its table.
std::vector<Hit> Decide(std::vector<Hit> hits, Metric metric, const std::vector<float>& query,
                        const std::map<uint64_t, std::vector<float>>& live) {
  for (Hit& hit : hits) {
    const auto found = live.find(hit.row);
    if (found == live.end()) continue;
    const size_t dims = query.size();
    double distance;
    Distances(static_cast<SqlDistance>(metric), query.data(), {found->second.data(), 1, dims, dims},
              {&distance, 1});
    const auto size = static_cast<double>(dims);
    EXPECT_NEAR(hit.distance, distance,
                metric == Metric::kInnerProduct ? 0.12 * size : 0.15 * std::sqrt(size));
    hit.distance = static_cast<float>(distance);
  }
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return a.distance < b.distance; });
  return hits;
}

TEST_P(Model, AgreesWithBruteForce) {
  Random random(GetParam().seed);
  Options options;
  options.metric = GetParam().metric;
  const bool whole = GetParam().bits == kWholeBits;
  options.dims = static_cast<uint32_t>(whole ? 1 + random.Below(9) : kCodedDims + random.Below(40));
  if (!whole) options.code_bits = GetParam().bits;
  options.posting_target = 16;
  options.posting_max = 32;
  options.posting_min = 4;
  options.spill = GetParam().spill;
  options.seed = GetParam().seed;
  const uint32_t dims = options.dims;
  test::TestIndex index(options);
  std::map<uint64_t, std::vector<float>> live;
  uint64_t next_row = 0;

  const auto draw = [&] {
    std::vector<float> vector(dims);
    for (float& x : vector) x = std::round((random.Unit() * 2 - 1) * 8) / 4 + 0.1F;
    return vector;
  };
  for (int step = 0; step < 400; ++step) {
    const uint64_t what = random.Below(20);
    if (what < 10) {
      std::vector<float> batch;
      const uint64_t count = 1 + random.Below(what == 0 ? 90 : 6);
      const std::vector<float> same = draw();
      const bool all_same = random.Below(8) == 0;
      for (uint64_t i = 0; i < count; ++i) {
        const std::vector<float> vector = all_same ? same : draw();
        batch.insert(batch.end(), vector.begin(), vector.end());
        live[next_row + i] = vector;
      }
      index.Insert(next_row, batch.data(), count);
      next_row += count;
    } else if (what < 14 && !live.empty()) {
      const uint64_t deletes = random.Below(what == 13 ? live.size() + 1 : 4);
      for (uint64_t i = 0; i < deletes && !live.empty(); ++i) {
        auto victim = live.begin();
        std::advance(victim, random.Below(live.size()));
        index.Delete(victim->first);
        live.erase(victim);
      }
    } else if (what < 16) {
      index.Upkeep(random.Below(4));
    } else if (what == 16) {
      index.Sweep();
    } else if (what == 17) {
      index.Calibrate();
    } else {
      const std::vector<float> query = draw();
      const auto k = static_cast<uint32_t>(random.Below(what == 18 ? 12 : 500));
      std::vector<uint64_t> words(next_row / 64 + 1);
      const uint64_t keep = 1 + random.Below(4);
      const uint64_t below = random.Below(4) == 0 ? random.Below(next_row + 1) : next_row;
      std::vector<std::pair<double, uint64_t>> truth;
      for (const auto& [row, vector] : live) {
        if (row % keep != 0) continue;
        words[row / 64] |= uint64_t{1} << (row % 64);
        if (row >= below) continue;
        double distance;
        Distances(static_cast<SqlDistance>(options.metric), query.data(),
                  {vector.data(), 1, dims, dims}, {&distance, 1});
        truth.push_back({distance, row});
      }
      std::sort(truth.begin(), truth.end());
      const Allowed allowed{0, words};
      const Request exact{k, 1.0F, 0, below};
      const auto ask = [&](const Request& request) {
        return Decide(index.Search(query.data(), request, &allowed), options.metric, query, live);
      };
      std::vector<Hit> hits = ask(exact);
      const size_t wanted = std::min<size_t>(k, truth.size());
      if (whole) {
        ASSERT_EQ(hits.size(), wanted) << "step " << step;
      }
      ASSERT_GE(hits.size(), wanted) << "step " << step;
      std::map<uint64_t, int> once;
      for (const Hit& hit : hits) {
        ASSERT_TRUE(live.contains(hit.row));
        ASSERT_EQ(++once[hit.row], 1);
      }
      for (size_t i = 0; i < wanted; ++i) {
        ASSERT_NEAR(hits[i].distance, truth[i].first, 1e-4) << "step " << step << " hit " << i;
      }
      const std::vector<Hit> some = ask({k, 0.7F, 0, below});
      ASSERT_GE(some.size(), wanted) << "fewer than k although k match";
    }
  }
  CheckStructure(index, live);
  index.Sweep();
  CheckStructure(index, live);
  // Settled: nothing is too full but what cannot be told apart.
  for (uint32_t id = 0; id < index.version().capacity(); ++id) {
    const Posting* posting = index.version().posting(id);
    if (posting != nullptr && posting->entries > options.posting_max) {
      EXPECT_GT(posting->stuck, 0U) << "posting " << id;
    }
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
      cases.push_back({metric, seed, seed % 3 != 0, kWholeBits});
      if (seed <= 4) cases.push_back({metric, seed, seed % 3 != 0, seed % 2 == 0 ? 4U : 8U});
    }
  }
  return cases;
}

std::string Name(const testing::TestParamInfo<Case>& info) {
  constexpr const char* kMetrics[] = {"L2", "InnerProduct", "Cosine"};
  return std::string(kMetrics[static_cast<int>(info.param.metric)]) +
         std::to_string(info.param.seed) + (info.param.spill ? "Spill" : "") +
         (info.param.bits == kWholeBits ? "" : "Bits" + std::to_string(info.param.bits));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Model, testing::ValuesIn(Cases()), Name);

}  // namespace
}  // namespace spfresh
