// Searches on versions that one writer makes: each sees the index as it was, whatever is done
// meanwhile. For the thread sanitizer above all.
#include <atomic>
#include <mutex>
#include <thread>

#include "check.h"
#include "gtest/gtest.h"
#include "random.h"
#include "test_index.h"

namespace spfresh {
namespace {

// The writer's index as readers get it: a copy shares the version and the chunks.
class Published {
 public:
  explicit Published(const test::TestIndex& index)
      : index_(std::make_shared<const test::TestIndex>(index)) {}
  void Put(const test::TestIndex& index) {
    auto next = std::make_shared<const test::TestIndex>(index);
    const std::lock_guard lock(mutex_);
    index_ = std::move(next);
  }
  std::shared_ptr<const test::TestIndex> Get() const {
    const std::lock_guard lock(mutex_);
    return index_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const test::TestIndex> index_;
};

void SearchWhileWriting(uint32_t dims, int rounds) {
  Options options;
  options.dims = dims;
  options.posting_target = 16;
  options.posting_max = 32;
  options.posting_min = 4;
  constexpr size_t kRows = 600;
  Random random(dims);
  const auto draw = [&random, dims](size_t count) {
    std::vector<float> vectors(count * dims);
    for (float& x : vectors) x = random.Unit() * 2 - 1;
    return vectors;
  };
  test::TestIndex index(options);
  const std::vector<float> first = draw(kRows);
  index.Build(first.data(), kRows);
  Published published(index);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> searches = 0;
  std::vector<std::thread> readers;
  for (uint64_t reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      Random own(reader);
      std::vector<float> query(dims);
      while (!stop) {
        const auto seen = published.Get();
        for (float& x : query) x = own.Unit() * 2 - 1;
        const Request request{10, own.Below(2) == 0 ? 1.0F : 0.9F, 0, kRowEnd - 1};
        const std::vector<Hit> hits = seen->Search(query.data(), request, nullptr);
        EXPECT_GE(hits.size(), 10U);
        // The same version gives the same answer, however much was changed in between.
        const std::vector<Hit> again = seen->Search(query.data(), request, nullptr);
        ASSERT_EQ(hits.size(), again.size());
        for (size_t i = 0; i < hits.size(); ++i) EXPECT_EQ(hits[i].row, again[i].row);
        ++searches;
      }
    });
  }
  uint64_t next = kRows;
  for (int round = 0; round < rounds; ++round) {
    const std::vector<float> more = draw(20);
    index.Insert(next, more.data(), 20);
    for (uint64_t i = 0; i < 20; ++i) index.Delete(next - kRows + i);
    next += 20;
    index.Upkeep(4);
    if (round % 3 == 0) index.Sweep();
    if (round % 2 == 0) index.Tend();
    if (round % 10 == 9) index.Open(index.Checkpoint());
    published.Put(index);
  }
  while (searches < 20) std::this_thread::yield();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  std::vector<uint64_t> live;
  for (uint64_t row = next - kRows; row < next; ++row) live.push_back(row);
  EXPECT_EQ(test::Fault(index, live), "");
}

TEST(Concurrency, SearchesOfWholeVectorsSeeTheirVersion) { SearchWhileWriting(8, 60); }
TEST(Concurrency, SearchesOfCodesSeeTheirVersion) { SearchWhileWriting(64, 12); }

}  // namespace
}  // namespace spfresh
