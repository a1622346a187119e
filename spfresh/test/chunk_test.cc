#include "spfresh/chunk.h"

#include "gtest/gtest.h"
#include "random.h"

namespace spfresh {
namespace {

std::shared_ptr<const Chunk> Some() {
  const std::vector<uint64_t> words = {7, 9 | kSpilled, 1000 | kAlone};
  const std::vector<float> vectors = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  return Chunk::Make(words, vectors, 3);
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
  EXPECT_EQ(back->vector(2)[2], 9.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(back->vectors()) % 64, 0U);
}

TEST(Chunk, JoinsInOrder) {
  const auto joined = Chunk::Join(*Some(), *Some());
  ASSERT_EQ(joined->size(), 6U);
  EXPECT_EQ(joined->words()[3], 7U);
  EXPECT_EQ(joined->vector(5)[0], 7.0F);
}

// Whatever the bytes are, parsing is safe and what it accepts can be read.
TEST(Chunk, RefusesOrReadsAnyBytes) {
  Random random(3);
  const auto chunk = Some();
  for (int turn = 0; turn < 2000; ++turn) {
    std::vector<uint8_t> bytes(chunk->bytes().begin(), chunk->bytes().end());
    bytes[random.Below(turn % 2 == 0 ? 20 : bytes.size())] = static_cast<uint8_t>(random.Next());
    if (turn % 5 == 0) bytes.resize(random.Below(bytes.size()));
    std::shared_ptr<const Chunk> back;
    const Status status = Chunk::Parse(bytes, 3, &back);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), Code::kCorrupt);
      continue;
    }
    float sum = 0;
    for (uint32_t i = 0; i < back->size(); ++i) sum += back->vector(i)[0];
    (void)sum;
  }
  std::shared_ptr<const Chunk> back;
  EXPECT_EQ(Chunk::Parse(chunk->bytes(), 4, &back).code(), Code::kCorrupt);
  EXPECT_EQ(Chunk::Parse({}, 3, &back).code(), Code::kCorrupt);
}

}  // namespace
}  // namespace spfresh
