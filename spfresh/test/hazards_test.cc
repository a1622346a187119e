// What went wrong in other implementations of SPANN and SPFresh, one test each. Those that concern
// input and output, which this library has none of, are tests of the caller's
// (src/index/tests/faults.rs): 6, an I/O error that ends the process.
#include <cmath>
#include <map>
#include <numeric>

#include "check.h"
#include "gtest/gtest.h"
#include "random.h"
#include "spfresh/distance.h"
#include "test_index.h"
#include "version_state.h"

namespace spfresh {
namespace {

using test::Examine;
using test::Fault;
using test::TestIndex;

Options Small(uint32_t dims, Spill spill = Spill::kSoar) {
  Options options;
  options.dims = dims;
  options.posting_target = 16;
  options.posting_max = 32;
  options.posting_min = 4;
  options.spill = spill;
  return options;
}

std::vector<float> Draw(Random* random, size_t count, size_t dims) {
  std::vector<float> vectors(count * dims);
  for (float& x : vectors) x = random->Unit() * 2 - 1;
  return vectors;
}

std::vector<uint64_t> Upto(uint64_t rows) {
  std::vector<uint64_t> all(rows);
  std::iota(all.begin(), all.end(), uint64_t{0});
  return all;
}

// The row is the nearest to its own vector, for an exact search and for one with a target.
void ExpectFound(const TestIndex& index, uint64_t row, const float* vector, uint32_t k = 1) {
  for (const float target : {1.0F, 0.9F}) {
    const std::vector<Hit> hits = index.Search(vector, {k, target, 0, kRowEnd - 1}, nullptr);
    EXPECT_TRUE(std::any_of(hits.begin(), hits.end(), [&](const Hit& h) { return h.row == row; }))
        << "row " << row << " at target " << target;
  }
}

// 1. Splitting a posting of identical vectors kept one of them and dropped the rest.
TEST(Hazard1, IdenticalVectorsAreAllKept) {
  for (const uint32_t dims : {3, 96}) {
    TestIndex index(Small(dims));
    const std::vector<float> one(dims, 0.5F);
    std::vector<float> many;
    for (int i = 0; i < 500; ++i) many.insert(many.end(), one.begin(), one.end());
    index.Insert(0, many.data(), 500);
    index.Idle();
    Random random(1);
    const std::vector<float> others = Draw(&random, 500, dims);
    index.Insert(500, others.data(), 500);
    index.Insert(1000, many.data(), 500);
    index.Idle();
    EXPECT_EQ(Fault(index, Upto(1500)), "");
    EXPECT_GE(index.Search(one.data(), {1000, 1.0F, 0, kRowEnd - 1}, nullptr).size(), 1000U);
  }
}

// 2. Postings were cut to a size, and with them the last copy of a vector.
TEST(Hazard2, NoPostingIsCutHoweverFull) {
  for (const uint32_t dims : {2, 80}) {
    TestIndex index(Small(dims));
    Random random(2);
    // Far more at once than a split makes parts of.
    const std::vector<float> vectors = Draw(&random, 3000, dims);
    index.Insert(0, vectors.data(), 3000);
    EXPECT_EQ(index.version().postings(), 1U);
    EXPECT_EQ(Fault(index, Upto(3000)), "");
    while (index.Upkeep(1) > 0) {
      ASSERT_EQ(Fault(index, Upto(3000)), "");
    }
    for (uint64_t row = 0; row < 3000; row += 100) {
      ExpectFound(index, row, vectors.data() + row * dims);
    }
  }
}

// One row between two heaps of rows, of which now the one and now the other comes nearer to it.
uint64_t MoveToAndFro(TestIndex* index, uint32_t dims, int times) {
  const auto at = [&](float x) {
    std::vector<float> vector(dims, 0.25F);
    vector[0] = x;
    return vector;
  };
  const auto insert = [&](uint64_t row, const std::vector<std::vector<float>>& vectors) {
    std::vector<float> flat;
    for (const auto& vector : vectors) flat.insert(flat.end(), vector.begin(), vector.end());
    index->Insert(row, flat.data(), vectors.size());
    return row + vectors.size();
  };
  uint64_t next = insert(0, {at(0)});
  next = insert(next, std::vector(20, at(-4.1F)));
  next = insert(next, std::vector(20, at(4)));
  index->Upkeep();
  std::vector<uint64_t> heap;
  const uint64_t before = index->moved;
  for (int i = 0; i < times; ++i) {
    // Eight rows beside one of the heaps draw its centroid near, those of the last time go.
    for (const uint64_t row : heap) index->Delete(row);
    heap.clear();
    const float side = i % 2 == 0 ? 1.0F : -1.0F;
    for (int j = 0; j < 8; ++j) heap.push_back(next + static_cast<uint64_t>(j));
    next = insert(next, std::vector(8, at(side * 2.5F)));
    for (uint32_t id = 0; id < index->version().capacity(); ++id) {
      if (index->version().posting(id) != nullptr) index->RebuildOne(id);
    }
  }
  return index->moved - before;
}

// 3. A version of 7 bits for each vector wrapped around when it had moved often enough, and old
// copies came back to life. More than 2^8 moves of one row, of 16 bits too.
TEST(Hazard3, ARowMayMoveMoreThan256Times) {
  Options options = Small(96, Spill::kNone);
  options.posting_target = 20;
  TestIndex index(options);
  EXPECT_GT(MoveToAndFro(&index, 96, 300), 256U);
  EXPECT_EQ(Fault(index, {0}), "");
  std::vector<float> query(96, 0.25F);
  query[0] = 0;
  ExpectFound(index, 0, query.data());
}

TEST(Hazard3, ARowMayMoveMoreThan65536Times) {
  Options options = Small(1, Spill::kNone);
  options.posting_target = 20;
  TestIndex index(options);
  EXPECT_GT(MoveToAndFro(&index, 1, 66'000), 65'536U);
  EXPECT_EQ(Fault(index, {0}), "");
  const float query = 0;
  ExpectFound(index, 0, &query);
}

// 4. A merge counted the live members and then went over as many of all: the tail behind dead ones
// never moved.
TEST(Hazard4, AMergeMovesTheTailBehindDeadRows) {
  Options options = Small(1, Spill::kNone);
  options.posting_target = 20;
  options.posting_min = 8;
  TestIndex index(options);
  std::vector<float> left(20, 0), right(20, 10);
  for (size_t i = 0; i < 20; ++i) left[i] += 0.01F * static_cast<float>(i);
  for (size_t i = 0; i < 20; ++i) right[i] += 0.01F * static_cast<float>(i);
  index.Insert(0, left.data(), 20);
  index.Insert(20, right.data(), 20);
  index.Upkeep();
  ASSERT_EQ(index.version().postings(), 2U);
  // Of the left posting the first ones die, and the live ones are its tail.
  for (uint64_t row = 0; row < 15; ++row) index.Delete(row);
  index.Sweep();
  EXPECT_EQ(index.version().postings(), 1U);
  std::vector<uint64_t> live;
  for (uint64_t row = 15; row < 40; ++row) live.push_back(row);
  EXPECT_EQ(Fault(index, live), "");
  EXPECT_EQ(Examine(index).stale, 0);
  for (uint64_t row = 15; row < 20; ++row) ExpectFound(index, row, &left[row], 6);
}

// 5a. In a wide space every posting is in reach of every other, and the nearest 64 are not all that
// a step should read: rows are left with a centroid that is not their nearest. The scrubber finds
// them.
TEST(Hazard5, TheScrubberFindsWhatANeighbourhoodMissesInAWideSpace) {
  TestIndex index(Small(48));
  Random random(5);
  const std::vector<float> vectors = Draw(&random, 5000, 48);
  for (size_t from = 0; from < 5000; from += 100) {
    index.Insert(from, vectors.data() + from * 48, 100);
    index.Upkeep();
  }
  ASSERT_GT(index.version().postings(), 3 * Rebuild::kNeighboursMax);
  EXPECT_GT(Examine(index).violations, 0.001) << "this space is not wide enough to show anything";
  index.Idle();
  EXPECT_LE(Examine(index).violations, 0.001);
  EXPECT_EQ(Fault(index, Upto(5000)), "");
  uint32_t posting;
  EXPECT_FALSE(index.version().NextScrub(&posting)) << "it does not come to rest";
}

// 5b. A 2-means that is balanced by force leaves members in the farther half, and the conditions
// never look at them again. Members of a split go to the nearest part, whatever the balance.
TEST(Hazard5, MembersOfASplitAreAllWithTheNearestSibling) {
  TestIndex index(Small(1, Spill::kNone));
  std::vector<float> values;
  for (int i = 0; i < 30; ++i) values.push_back(0.001F * static_cast<float>(i));
  for (int i = 0; i < 6; ++i) values.push_back(5 + 0.001F * static_cast<float>(i));
  index.Insert(0, values.data(), values.size());
  index.Upkeep();
  EXPECT_GT(index.version().postings(), 1U);
  EXPECT_EQ(Examine(index).violations, 0);
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      const bool is_right = RowOf(chunk->words()[0]) >= 30;
      for (const uint64_t word : chunk->words()) EXPECT_EQ(RowOf(word) >= 30, is_right);
    }
  }
}

// The mean squared distance of rows to the centroid of their posting, by their true vectors.
double Distortion(const TestIndex& index, const std::vector<float>& vectors, size_t dims) {
  const Version::State& state = index.version().state();
  double sum = 0;
  size_t rows = 0;
  std::vector<float> place(state.space.stride());
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      for (const uint64_t word : chunk->words()) {
        if (IsSpilled(word)) continue;
        state.space.Place(vectors.data() + RowOf(word) * dims, place.data());
        float distance2;
        L2Squared(state.centroids.centroid(id).data(),
                  {place.data(), 1, place.size(), place.size()}, &distance2);
        sum += static_cast<double>(distance2);
        ++rows;
      }
    }
  }
  return sum / static_cast<double>(rows);
}

// 7. Splits that clustered reconstructions of one bit gave poor centroids. Ours see all bits.
TEST(Hazard7, SplitsOfCodesAreAsGoodAsThoseOfVectors) {
  Random random(7);
  const std::vector<float> centres = Draw(&random, 40, 96), noise = Draw(&random, 2000, 96);
  std::vector<float> vectors(noise.size());
  for (size_t i = 0; i < vectors.size(); ++i) {
    vectors[i] = centres[i / 96 * 7 % 40 * 96 + i % 96] + 0.5F * noise[i];
  }
  std::map<uint32_t, double> distortion;
  for (const uint32_t bits : {4U, 8U, kWholeBits}) {
    Options options = Small(96);
    options.code_bits = bits;
    TestIndex index(options);
    for (size_t from = 0; from < 2000; from += 100) {
      index.Insert(from, vectors.data() + from * 96, 100);
      index.Upkeep();
    }
    distortion[bits] = Distortion(index, vectors, 96);
  }
  EXPECT_LT(distortion[8], 1.03 * distortion[kWholeBits]);
  EXPECT_LT(distortion[4], 1.06 * distortion[kWholeBits]);
}

// 8. A split passed over vectors that were not at hand, and lost them. Here it is refused.
TEST(Hazard8, WhatIsNotAtHandIsAnErrorAndNotALoss) {
  TestIndex index(Small(80));
  Random random(8);
  const std::vector<float> vectors = Draw(&random, 400, 80);
  index.Insert(0, vectors.data(), 400);
  index.Upkeep();
  const auto& [id, chunks] = *index.chunks().begin();
  std::unique_ptr<Rebuild> rebuild;
  ASSERT_TRUE(Rebuild::Begin(index.shared(), id, &rebuild).ok());
  EXPECT_FALSE(rebuild->AddOwn(*chunks[0]->WithoutRecords(), index.Live(*chunks[0])).ok());
  // A neighbour that was named and never handed in.
  ASSERT_TRUE(Rebuild::Refine(index.shared(), id, &rebuild).ok());
  for (const uint32_t own : rebuild->own()) {
    for (const auto& chunk : index.chunks().at(own)) {
      ASSERT_TRUE(rebuild->AddOwn(*chunk, index.Live(*chunk)).ok());
    }
  }
  std::vector<uint32_t> neighbours;
  ASSERT_TRUE(rebuild->Plan(&neighbours).ok());
  ASSERT_FALSE(neighbours.empty());
  Change change;
  EXPECT_EQ(rebuild->Finish(&change).code(), Code::kInternal);
  // So is one of those that are made anew themselves.
  ASSERT_TRUE(Rebuild::Refine(index.shared(), id, &rebuild).ok());
  EXPECT_EQ(rebuild->Plan(&neighbours).code(), Code::kInternal);
}

// 9. Builds raced with themselves in a parallel shuffle. Ours is a function of its input.
TEST(Hazard9, TheSameInputMakesTheSameIndex) {
  Random random(9);
  const std::vector<float> vectors = Draw(&random, 3000, 70);
  std::vector<std::vector<uint8_t>> built;
  for (int i = 0; i < 2; ++i) {
    TestIndex index(Small(70));
    index.Build(vectors.data(), 3000);
    for (uint64_t row = 0; row < 3000; row += 3) index.Delete(row);
    index.Sweep();
    index.Idle();
    built.push_back(index.version().Serialize());
  }
  EXPECT_EQ(built[0], built[1]);
}

// 10. Shipped binaries needed the machine they were built on. What is stored here is the same on
// every instruction set: tests of rotation_test.cc and code_kernels_test.cc compare each with plain
// code; this one, that a stored index does not depend on how it is scored.
TEST(Hazard10, AnIndexIsReadByAnotherMachineAsItWas) {
  Random random(10);
  const std::vector<float> vectors = Draw(&random, 1000, 64);
  TestIndex index(Small(64));
  index.Build(vectors.data(), 1000);
  TestIndex other(Small(64));
  other.Open(index.Checkpoint());
  EXPECT_EQ(Fault(other, Upto(1000)), "");
  EXPECT_EQ(other.version().Serialize(), index.version().Serialize());
}

}  // namespace
}  // namespace spfresh
