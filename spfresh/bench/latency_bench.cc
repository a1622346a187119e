// What upkeep costs searches: their latency while one part in a hundred of the rows is replaced
// each minute, beside that of the same index left alone.
//
//   latency_bench --dims=384 --base=base.f32 --queries=queries.f32 [--k=10] [--rows=60000]
//                 [--percent=1] [--seconds=20] [--rounds=3] [--target=0.95]
//
// One thread searches without a pause. Another replaces rows (a hundredth of what a minute wants at
// a time, with all upkeep that follows) and publishes each version, as the server does. Windows
// with and without it take turns, so that whatever else the machine does meets both. The last line
// gives the ratio of the 99.9th percentiles.
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "bench.h"
#include "random.h"
#include "test_index.h"

namespace {

using namespace spfresh;
using spfresh::test::TestIndex;
using Clock = std::chrono::steady_clock;

double Micros(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

double Percentile(std::vector<double>* times, double share) {
  const auto at = static_cast<size_t>(share * static_cast<double>(times->size() - 1));
  std::nth_element(times->begin(), times->begin() + static_cast<ptrdiff_t>(at), times->end());
  return (*times)[at];
}

void Print(const char* name, std::vector<double>* times) {
  std::printf("%-8s %8zu searches, us: p50 %7.0f  p99 %7.0f  p99.9 %7.0f\n", name, times->size(),
              Percentile(times, 0.5), Percentile(times, 0.99), Percentile(times, 0.999));
}

}  // namespace

int main(int argc, char** argv) {
  auto flags = bench::Flags(argc, argv,
                            {{"k", "10"},
                             {"metric", "l2"},
                             {"rows", "60000"},
                             {"percent", "1"},
                             {"seconds", "20"},
                             {"rounds", "3"},
                             {"target", "0.95"}});
  Options options;
  options.dims = static_cast<uint32_t>(std::stoul(flags["dims"]));
  options.metric = bench::MetricOf(flags["metric"]);
  const size_t dims = options.dims;
  const std::vector<float> base = bench::ReadFile<float>(flags["base"]);
  const std::vector<float> queries = bench::ReadFile<float>(flags["queries"]);
  const size_t rows = std::min<size_t>(std::stoul(flags["rows"]), base.size() / dims);
  const double a_second = static_cast<double>(rows) * std::stod(flags["percent"]) / 100 / 60;
  const auto window = std::chrono::duration<double>(std::stod(flags["seconds"]));
  const Request request{static_cast<uint32_t>(std::stoul(flags["k"])), std::stof(flags["target"]),
                        0, kRowEnd - 1};

  TestIndex index(options);
  index.Build(base.data(), rows);
  std::mutex mutex;
  auto published = std::make_shared<const TestIndex>(index);
  std::atomic<bool> stop = false, writing = false;
  uint64_t replaced = 0;
  std::thread writer([&] {
    Random random(1);
    std::vector<uint64_t> live(rows);
    for (size_t i = 0; i < rows; ++i) live[i] = i;
    uint64_t next = rows;
    const auto batch = static_cast<size_t>(std::max(1.0, std::round(a_second * 0.6)));
    const auto pause = std::chrono::duration<double>(static_cast<double>(batch) / a_second);
    while (!stop) {
      const auto begun = Clock::now();
      if (writing) {
        std::vector<float> more;
        for (size_t i = 0; i < batch; ++i) {
          uint64_t& victim = live[random.Below(rows)];
          index.Delete(victim);
          const auto from = base.begin() + static_cast<ptrdiff_t>(random.Below(rows) * dims);
          more.insert(more.end(), from, from + static_cast<ptrdiff_t>(dims));
          victim = next + i;
        }
        index.Insert(next, more.data(), batch);
        next += batch;
        replaced += batch;
        index.Upkeep();
        auto version = std::make_shared<const TestIndex>(index);
        const std::lock_guard lock(mutex);
        published = std::move(version);
      }
      std::this_thread::sleep_until(begun + std::chrono::duration_cast<Clock::duration>(pause));
    }
  });
  std::vector<double> alone, beside;
  const size_t count = queries.size() / dims;
  size_t q = 0;
  for (size_t round = 0; round < 2 * std::stoul(flags["rounds"]); ++round) {
    writing = round % 2 == 1;
    std::vector<double>& times = writing ? beside : alone;
    const auto end = Clock::now() + window;
    for (auto begun = Clock::now(); begun < end; begun = Clock::now()) {
      std::shared_ptr<const TestIndex> seen;
      {
        const std::lock_guard lock(mutex);
        seen = published;
      }
      (void)seen->Search(queries.data() + q++ % count * dims, request, nullptr);
      times.push_back(Micros(Clock::now() - begun));
    }
  }
  stop = true;
  writer.join();
  std::printf("%zu rows of %zu, %.1f replaced a second, %llu in all\n", rows, dims, a_second,
              static_cast<unsigned long long>(replaced));
  Print("alone", &alone);
  Print("beside", &beside);
  std::printf("p99.9 beside over alone: %.2f\n",
              Percentile(&beside, 0.999) / Percentile(&alone, 0.999));
  return 0;
}
