#include "spfresh/chunk.h"

#include <algorithm>

#include "code_kernels.h"
#include "codec.h"
#include "entries.h"
#include "gtest/gtest.h"
#include "query_code.h"
#include "random.h"

namespace spfresh {
namespace {

std::span<const uint8_t> AsBytes(const std::vector<float>& floats) {
  return {reinterpret_cast<const uint8_t*>(floats.data()), floats.size() * sizeof(float)};
}

std::shared_ptr<const Chunk> Some() {
  const std::vector<uint64_t> words = {7, 9 | kSpilled, 1000 | kAlone};
  const std::vector<float> vectors = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  return Chunk::Make({5, 3, kWholeBits}, words, AsBytes(vectors));
}

Codec CodecOf(uint32_t bits) {
  Options options;
  options.dims = 80;
  options.code_bits = bits;
  return Codec(options, options.dims);
}

// Coded entries around a centroid, of which the first three are their centroid.
std::shared_ptr<const Chunk> Coded(uint32_t bits, uint32_t entries, uint64_t seed) {
  Random random(seed);
  const Codec codec = CodecOf(bits);
  std::vector<float> centroid(codec.stride()), vectors(entries * codec.stride());
  for (float& x : centroid) x = random.Unit();
  for (size_t i = 0; i < vectors.size(); ++i) {
    vectors[i] = centroid[i % codec.stride()] + (i < 240 ? 0.0F : random.Unit() - 0.5F);
  }
  std::vector<uint64_t> words(entries);
  for (uint32_t i = 0; i < entries; ++i) words[i] = i * 3;
  return EncodeChunk(codec, 9, centroid.data(), words, vectors.data());
}

// Reads all there is.
void Read(const Chunk& chunk) {
  if (chunk.kind().bits == kWholeBits) {
    float sum = 0;
    for (uint32_t i = 0; i < chunk.size() * chunk.stride(); ++i) sum += chunk.vectors()[i];
    (void)sum;
    return;
  }
  const Codec codec = CodecOf(chunk.kind().bits);
  const std::vector<float> query(codec.stride(), 0.5F);
  std::vector<float> decoded(codec.stride());
  const QueryCode code(codec, Metric::kL2, query.data(), 0.9F);
  const auto beside = code.PlaceBeside(query.data(), 1);
  std::vector<float> out(chunk.scan().blocks * kScanBlock);
  std::vector<uint32_t> within(chunk.scan().blocks);
  code.Scan(beside, chunk.scan(), 1, out.data(), within.data());
  for (uint32_t i = 0; i < chunk.size(); ++i) {
    (void)code.Refine(beside, chunk.record(i));
    codec.Decode(chunk.record(i), query.data(), decoded.data());
  }
}

TEST(Chunk, ComesBackFromItsBytes) {
  const auto chunk = Some();
  std::shared_ptr<const Chunk> back;
  ASSERT_TRUE(Chunk::Parse(chunk->bytes(), 3, &back).ok());
  ASSERT_EQ(back->size(), 3U);
  EXPECT_EQ(RowOf(back->words()[1]), 9U);
  EXPECT_TRUE(IsSpilled(back->words()[1]) && !IsAlone(back->words()[1]));
  EXPECT_TRUE(!IsSpilled(back->words()[2]) && IsAlone(back->words()[2]));
  EXPECT_EQ(RowOf(back->words()[2]), 1000U);
  EXPECT_EQ(back->kind(), (Chunk::Kind{5, 3, kWholeBits}));
  EXPECT_EQ(back->vectors()[8], 9.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(back->vectors()) % 64, 0U);
}

TEST(Chunk, JoinsInOrder) {
  const auto joined = Chunk::Join(*Some(), *Some());
  ASSERT_EQ(joined->size(), 6U);
  EXPECT_EQ(joined->words()[3], 7U);
  EXPECT_EQ(joined->vectors()[15], 7.0F);
}

TEST(Chunk, OfCodesComesBackFromItsBytes) {
  for (const uint32_t bits : {4, 8}) {
    for (const uint32_t entries : {1, 3, 4, 31, 32, 33, 36, 100}) {
      const auto chunk = Coded(bits, entries, entries);
      std::shared_ptr<const Chunk> back;
      ASSERT_TRUE(Chunk::Parse(chunk->bytes(), 80, &back).ok());
      EXPECT_EQ(back->kind(), (Chunk::Kind{9, 80, bits}));
      EXPECT_TRUE(std::ranges::equal(back->bytes(), chunk->bytes()));
      EXPECT_TRUE(std::ranges::equal(back->records(), chunk->records()));
      // All entries but three at most are scanned.
      EXPECT_GE(back->scan().blocks * kScanBlock + 3, entries);
    }
  }
}

// The part that is scanned follows from the records: joined chunks are the chunk of all.
TEST(Chunk, OfCodesJoinsToTheChunkOfAll) {
  const auto first = Coded(8, 45, 1), second = Coded(8, 7, 2);
  const auto joined = Chunk::Join(*first, *second);
  ASSERT_EQ(joined->size(), 52U);
  std::vector<uint64_t> words(first->words().begin(), first->words().end());
  words.insert(words.end(), second->words().begin(), second->words().end());
  std::vector<uint8_t> records(first->records().begin(), first->records().end());
  records.insert(records.end(), second->records().begin(), second->records().end());
  const auto all = Chunk::Make(first->kind(), words, records);
  EXPECT_TRUE(std::ranges::equal(all->bytes(), joined->bytes()));
  EXPECT_EQ(joined->scan().blocks, 2U);
}

// Whatever the bytes are, parsing is safe and what it accepts can be read.
TEST(Chunk, RefusesOrReadsAnyBytes) {
  Random random(3);
  for (const auto& chunk : {Some(), Coded(8, 40, 4), Coded(4, 9, 5)}) {
    const uint32_t stride = chunk->stride();
    for (int turn = 0; turn < 2000; ++turn) {
      std::vector<uint8_t> bytes(chunk->bytes().begin(), chunk->bytes().end());
      bytes[random.Below(turn % 2 == 0 ? 28 : bytes.size())] = static_cast<uint8_t>(random.Next());
      if (turn % 5 == 0) bytes.resize(random.Below(bytes.size()));
      std::shared_ptr<const Chunk> back;
      const Status status = Chunk::Parse(bytes, stride, &back);
      if (!status.ok()) {
        EXPECT_EQ(status.code(), Code::kCorrupt);
        continue;
      }
      Read(*back);
    }
    std::shared_ptr<const Chunk> back;
    EXPECT_EQ(Chunk::Parse(chunk->bytes(), stride + 1, &back).code(), Code::kCorrupt);
    EXPECT_EQ(Chunk::Parse({}, stride, &back).code(), Code::kCorrupt);
    // A format of the past.
    std::vector<uint8_t> old(chunk->bytes().begin(), chunk->bytes().end());
    old[4] = 1;
    const Status status = Chunk::Parse(old, stride, &back);
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_NE(status.message().find("format 1"), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace spfresh
