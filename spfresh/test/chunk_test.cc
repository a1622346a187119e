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

// A chunk of posting 5 that keeps vectors of 3 coordinates whole.
std::shared_ptr<const Chunk> Whole(const std::vector<uint64_t>& words,
                                   const std::vector<float>& vectors) {
  std::vector<Record> records;
  for (size_t i = 0; i < words.size(); ++i) {
    records.push_back({reinterpret_cast<const uint8_t*>(vectors.data() + i * 3), nullptr});
  }
  return Chunk::Make({5, 3, kWholeBits}, words, records);
}

std::shared_ptr<const Chunk> Some() {
  const std::vector<uint64_t> words = {7, 9 | kSpilled, 1000 | kAlone};
  const std::vector<float> vectors = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  return Whole(words, vectors);
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

// A chunk from the two parts that it was stored as.
Status Back(const Chunk& chunk, uint32_t stride, std::shared_ptr<const Chunk>* out) {
  std::shared_ptr<const Chunk> scan;
  if (Status status = Chunk::Parse(chunk.scan_bytes(), stride, &scan); !status.ok()) return status;
  EXPECT_FALSE(scan->has_records());
  EXPECT_TRUE(scan->record_bytes().empty());
  EXPECT_EQ(scan->record_part_size(), chunk.record_bytes().size());
  return scan->WithRecords(chunk.record_bytes(), out);
}

bool SameBytes(const Chunk& a, const Chunk& b) {
  return std::ranges::equal(a.scan_bytes(), b.scan_bytes()) &&
         std::ranges::equal(a.record_bytes(), b.record_bytes());
}

TEST(Chunk, ComesBackFromItsBytes) {
  const auto chunk = Some();
  std::shared_ptr<const Chunk> back;
  ASSERT_TRUE(Back(*chunk, 3, &back).ok());
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
      ASSERT_TRUE(Back(*chunk, 80, &back).ok());
      EXPECT_EQ(back->kind(), (Chunk::Kind{9, 80, bits}));
      EXPECT_TRUE(SameBytes(*back, *chunk));
      // All entries but three at most are scanned.
      EXPECT_GE(back->scan().blocks * kScanBlock + 3, entries);
      const auto without = back->WithoutRecords();
      EXPECT_TRUE(!without->has_records() && back->has_records());
      EXPECT_EQ(without->scan_bytes().data(), back->scan_bytes().data());
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
  std::vector<Record> records;
  for (const auto& chunk : {first, second}) {
    for (uint32_t i = 0; i < chunk->size(); ++i) records.push_back(chunk->record(i));
  }
  const auto all = Chunk::Make(first->kind(), words, records);
  EXPECT_TRUE(SameBytes(*all, *joined));
  EXPECT_EQ(joined->scan().blocks, 2U);
}

// Rows far from each other take 8 bytes each, marks and all.
TEST(Chunk, KeepsWordsOfAnyRows) {
  const std::vector<float> vectors(9);
  for (const uint64_t last : {uint64_t{5}, uint64_t{1} << 30, kRowEnd - 1}) {
    const std::vector<uint64_t> words = {4 | kSpilled, last | kAlone, 4};
    const auto chunk = Whole(words, vectors);
    std::shared_ptr<const Chunk> back;
    ASSERT_TRUE(Back(*chunk, 3, &back).ok());
    EXPECT_EQ(std::vector<uint64_t>(back->words().begin(), back->words().end()), words);
  }
}

// 16 bits hold the factors of a scan so that they never make an entry look farther than it is.
TEST(Chunk, ScansFactorsFromBelow) {
  for (const uint32_t bits : {4, 8}) {
    const auto chunk = Coded(bits, 100, 6);
    const Chunk::Scan scan = chunk->scan();
    for (uint32_t i = 0; i < 100; ++i) {
      const Factors factors = Codec::FactorsOf(chunk->record(i));
      const float add = scan.add_low + scan.add_step * static_cast<float>(scan.add[i]);
      EXPECT_LE(add, factors.scan_add);
      EXPECT_NEAR(add, factors.scan_add, 1.01F * scan.add_step);
      const float rescale = scan.rescale_step * static_cast<float>(scan.rescale[i]);
      EXPECT_NEAR(rescale, factors.scan_rescale, -0.51F * scan.rescale_step);
    }
  }
}

// Whatever the bytes are, parsing is safe and what it accepts can be read.
TEST(Chunk, RefusesOrReadsAnyBytes) {
  Random random(3);
  for (const auto& chunk : {Some(), Coded(8, 40, 4), Coded(4, 9, 5)}) {
    const uint32_t stride = chunk->stride();
    for (int turn = 0; turn < 2000; ++turn) {
      std::vector<uint8_t> bytes(chunk->scan_bytes().begin(), chunk->scan_bytes().end());
      std::vector<uint8_t> records(chunk->record_bytes().begin(), chunk->record_bytes().end());
      bytes[random.Below(turn % 2 == 0 ? 44 : bytes.size())] = static_cast<uint8_t>(random.Next());
      records[random.Below(records.size())] = static_cast<uint8_t>(random.Next());
      if (turn % 5 == 0) bytes.resize(random.Below(bytes.size()));
      if (turn % 7 == 0) records.resize(random.Below(records.size()));
      std::shared_ptr<const Chunk> scan, back;
      Status status = Chunk::Parse(bytes, stride, &scan);
      if (status.ok()) {
        for (const uint64_t word : scan->words()) EXPECT_LT(RowOf(word), kRowEnd);
        status = scan->WithRecords(records, &back);
      }
      if (!status.ok()) {
        EXPECT_EQ(status.code(), Code::kCorrupt);
        continue;
      }
      Read(*back);
    }
    std::shared_ptr<const Chunk> back;
    EXPECT_EQ(Chunk::Parse(chunk->scan_bytes(), stride + 1, &back).code(), Code::kCorrupt);
    EXPECT_EQ(Chunk::Parse({}, stride, &back).code(), Code::kCorrupt);
    EXPECT_EQ(chunk->WithRecords({}, &back).code(), Code::kCorrupt);
    // A format of the past.
    std::vector<uint8_t> old(chunk->scan_bytes().begin(), chunk->scan_bytes().end());
    old[4] = 3;
    const Status status = Chunk::Parse(old, stride, &back);
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_NE(status.message().find("format 3"), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace spfresh
