// Searches that have the scan parts of chunks first, and the records of those that they want.
#include <algorithm>
#include <set>

#include "gtest/gtest.h"
#include "random.h"
#include "test_index.h"

namespace spfresh {
namespace {

constexpr size_t kRows = 4000;

std::vector<float> Draw(Random* random, size_t count, uint32_t dims) {
  std::vector<float> centres(40 * dims), vectors;
  Random fixed(1);
  for (float& x : centres) x = fixed.Unit();
  for (size_t i = 0; i < count; ++i) {
    const size_t centre = random->Below(40) * dims;
    for (uint32_t j = 0; j < dims; ++j) vectors.push_back(centres[centre + j] + random->Unit());
  }
  return vectors;
}

test::TestIndex Some(Metric metric, uint32_t dims) {
  Options options;
  options.metric = metric;
  options.dims = dims;
  Random random(2);
  const std::vector<float> vectors = Draw(&random, kRows, dims);
  test::TestIndex index(options);
  index.Build(vectors.data(), kRows);
  return index;
}

struct Answer {
  std::vector<Hit> hits;
  uint64_t scanned = 0;
  uint64_t refined = 0;
};

// As a caller does to whom nothing is in memory: rounds of scan parts, and in each what records
// are wanted.
Answer Cold(const test::TestIndex& index, const float* query, const Request& request,
            const Allowed* allowed) {
  std::unique_ptr<Search> search;
  test::Must(
      Search::Begin(index.shared(), {query, index.version().options().dims}, request, &search));
  Answer answer;
  std::vector<std::shared_ptr<const Chunk>> chunks;
  while (true) {
    std::vector<uint32_t> postings, wanted;
    search->Next(8, &postings);
    search->Wanted(&wanted);
    if (postings.empty() && wanted.empty()) break;
    for (const uint32_t number : wanted) {
      test::Must(search->ScoreRecords(*chunks[number], number));
    }
    for (const uint32_t posting : postings) {
      for (const auto& chunk : index.chunks().at(posting)) {
        test::Must(search->ScoreScan(*chunk->WithoutRecords(), static_cast<uint32_t>(chunks.size()),
                                     allowed));
        chunks.push_back(chunk);
      }
    }
  }
  answer.scanned = search->scanned();
  answer.refined = search->refined();
  answer.hits = search->Hits();
  return answer;
}

double Shared(const std::vector<Hit>& a, const std::vector<Hit>& b, size_t k) {
  std::set<uint64_t> rows;
  for (size_t i = 0; i < std::min(k, a.size()); ++i) rows.insert(a[i].row);
  double shared = 0;
  for (size_t i = 0; i < std::min(k, b.size()); ++i) shared += rows.contains(b[i].row) ? 1 : 0;
  return shared / static_cast<double>(k);
}

TEST(TwoParts, AnExactSearchFindsTheSame) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    for (const uint32_t dims : {8, 96}) {
      const test::TestIndex index = Some(metric, dims);
      Random random(3);
      const std::vector<float> queries = Draw(&random, 10, dims);
      for (size_t q = 0; q < 10; ++q) {
        const Request request{10, 1.0F, 0, kRowEnd};
        const float* query = queries.data() + q * dims;
        const Answer cold = Cold(index, query, request, nullptr);
        EXPECT_EQ(Shared(index.Search(query, request, nullptr), cold.hits, 10), 1.0);
      }
    }
  }
}

TEST(TwoParts, ASearchWithATargetFindsAsMuchByFewRecords) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine}) {
    const test::TestIndex index = Some(metric, 96);
    Random random(4);
    const std::vector<float> queries = Draw(&random, 60, 96);
    double shared = 0, warm = 0;
    uint64_t scanned = 0, refined = 0;
    for (size_t q = 0; q < 60; ++q) {
      const float* query = queries.data() + q * 96;
      const Request request{10, 0.95F, 0, kRowEnd};
      const Answer cold = Cold(index, query, request, nullptr);
      const std::vector<Hit> exact = index.Search(query, {10, 1.0F, 0, kRowEnd}, nullptr);
      shared += Shared(exact, cold.hits, 10) / 60;
      warm += Shared(exact, index.Search(query, request, nullptr), 10) / 60;
      scanned += cold.scanned;
      refined += cold.refined;
    }
    EXPECT_GE(shared, 0.95);
    EXPECT_GE(shared, warm - 0.01);
    EXPECT_LT(3 * refined, scanned);
  }
}

TEST(TwoParts, NoRowIsFoundThatIsNotAllowedAndNoneIsMissing) {
  for (const uint32_t dims : {8, 96}) {
    const test::TestIndex index = Some(Metric::kL2, dims);
    std::vector<uint64_t> words((kRows + 63) / 64);
    for (size_t row = 0; row < kRows; row += 400) words[row / 64] |= uint64_t{1} << (row % 64);
    const Allowed allowed{0, words};
    Random random(5);
    const std::vector<float> query = Draw(&random, 1, dims);
    for (const float target : {0.9F, 1.0F}) {
      const Answer cold = Cold(index, query.data(), {20, target, 0, kRowEnd}, &allowed);
      EXPECT_EQ(cold.hits.size(), 10U);
      for (const Hit& hit : cold.hits) EXPECT_EQ(hit.row % 400, 0U);
    }
  }
}

TEST(TwoParts, WhatCannotBeScoredIsTold) {
  const test::TestIndex index = Some(Metric::kL2, 96), other = Some(Metric::kL2, 80);
  const std::vector<float> query(96, 0.1F);
  std::unique_ptr<Search> search;
  test::Must(Search::Begin(index.shared(), query, {10, 0.9F, 0, kRowEnd}, &search));
  const auto& [posting, chunks] = *index.chunks().begin();
  const Chunk& chunk = *chunks[0];
  const std::vector<uint64_t> words(chunk.words().begin(), chunk.words().end());
  std::vector<Record> records(chunk.size());
  for (uint32_t i = 0; i < chunk.size(); ++i) records[i] = chunk.record(i);
  const auto of = [&](Chunk::Kind kind) { return Chunk::Make(kind, words, records); };
  const auto astray = of({index.version().capacity(), chunk.stride(), chunk.kind().bits});
  const Chunk& foreign = *other.chunks().begin()->second[0];
  for (const Chunk* wrong : {astray.get(), &foreign}) {
    EXPECT_EQ(search->Score(*wrong, nullptr).code(), Code::kCorrupt);
    EXPECT_EQ(search->ScoreScan(*wrong, 0, nullptr).code(), Code::kCorrupt);
    EXPECT_EQ(search->ScoreRecords(*wrong, 0).code(), Code::kCorrupt);
  }
  const auto scan = chunk.WithoutRecords();
  EXPECT_EQ(search->Score(*scan, nullptr).code(), Code::kInternal);
  ASSERT_TRUE(search->ScoreScan(*scan, 1, nullptr).ok());
  std::vector<uint32_t> wanted;
  search->Wanted(&wanted);
  ASSERT_EQ(wanted, std::vector<uint32_t>{1});
  EXPECT_EQ(search->ScoreRecords(*scan, 1).code(), Code::kInternal);
  const Chunk& another = *index.chunks().rbegin()->second[0];
  EXPECT_EQ(search->ScoreRecords(another, 1).code(), Code::kCorrupt);
  EXPECT_TRUE(search->ScoreRecords(chunk, 1).ok());
  EXPECT_FALSE(search->Hits().empty());
}

}  // namespace
}  // namespace spfresh
