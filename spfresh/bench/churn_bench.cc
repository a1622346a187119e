// Replaces all rows of an index by others, little by little, and shows what that does to it.
//
//   churn_bench --dims=384 --base=base.f32 --queries=queries.f32 [--k=10] [--metric=l2|ip|cosine]
//               [--rows=30000] [--steps=100] [--inserts] [--no-refine] [--no-scrub]
//
// The base is put in the order of its first principal direction: the index begins with rows of one
// end, each step deletes a hundredth of them by chance and inserts as many of the other end, so
// that in the end the index holds other rows that lie elsewhere. Every quarter is a line of the
// table, then "idle", when upkeep has come to rest, and "rebuild", an index built of the rows that
// are live then. Columns: entries of dead rows; rows whose first copy is not with the nearest
// centroid (NPA); recall and entries scanned at 16, 32 and 48 probes; recall at targets. The last
// line compares: the recall of the churned index less that of the rebuilt one at as many entries
// scanned.
#include <cmath>
#include <memory>
#include <numeric>

#include "bench.h"
#include "check.h"
#include "random.h"
#include "test_index.h"

namespace {

using namespace spfresh;
using spfresh::test::TestIndex;

constexpr uint32_t kProbes[] = {8, 16, 24, 32, 48, 64};
constexpr float kTargets[] = {0.9F, 0.95F, 0.99F};

// The rows in the order of their place along the direction in which they vary most.
std::vector<float> Shifted(const std::vector<float>& base, size_t dims) {
  const size_t rows = base.size() / dims;
  std::vector<double> mean(dims), direction(dims, 1.0);
  for (size_t i = 0; i < base.size(); ++i) mean[i % dims] += static_cast<double>(base[i]);
  for (double& x : mean) x /= static_cast<double>(rows);
  std::vector<double> along(rows);
  for (int round = 0; round < 30; ++round) {
    std::vector<double> next(dims);
    for (size_t row = 0; row < rows; ++row) {
      along[row] = 0;
      for (size_t j = 0; j < dims; ++j) {
        along[row] += (static_cast<double>(base[row * dims + j]) - mean[j]) * direction[j];
      }
      for (size_t j = 0; j < dims; ++j) {
        next[j] += along[row] * (static_cast<double>(base[row * dims + j]) - mean[j]);
      }
    }
    double norm = 0;
    for (const double x : next) norm += x * x;
    for (size_t j = 0; j < dims; ++j) direction[j] = next[j] / std::sqrt(norm);
  }
  std::vector<size_t> order(rows);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return along[a] < along[b]; });
  std::vector<float> sorted;
  sorted.reserve(base.size());
  for (const size_t row : order) {
    sorted.insert(sorted.end(), base.begin() + static_cast<ptrdiff_t>(row * dims),
                  base.begin() + static_cast<ptrdiff_t>((row + 1) * dims));
  }
  return sorted;
}

void Shuffle(Random* random, float* rows, size_t count, size_t dims) {
  for (size_t i = count; i > 1; --i) {
    std::swap_ranges(rows + (i - 1) * dims, rows + i * dims, rows + random->Below(i) * dims);
  }
}

struct Bench {
  const std::vector<float>& base;
  const std::vector<float>& queries;
  size_t dims, k;
  SqlDistance kind;
};

struct Point {
  double scanned, recall;
};

Point Ask(const Bench& bench, const TestIndex& index, const Request& request,
          const Allowed& allowed, const std::vector<double>& kth) {
  uint64_t right = 0, scanned = 0;
  for (size_t q = 0; q < kth.size(); ++q) {
    const float* query = bench.queries.data() + q * bench.dims;
    std::vector<double> distances;
    for (const Hit& hit : index.Search(query, request, &allowed, nullptr, &scanned)) {
      distances.emplace_back();
      Distances(bench.kind, query,
                {bench.base.data() + hit.row * bench.dims, 1, bench.dims, bench.dims},
                {&distances.back(), 1});
    }
    std::sort(distances.begin(), distances.end());
    for (size_t i = 0; i < std::min(bench.k, distances.size()); ++i) {
      right += distances[i] <= kth[q] + 1e-6 ? 1 : 0;
    }
  }
  const auto n = static_cast<double>(kth.size());
  return {static_cast<double>(scanned) / n,
          static_cast<double>(right) / (n * static_cast<double>(bench.k))};
}

// The recall where this many are scanned, on the line through the points.
double At(const std::vector<Point>& points, double scanned) {
  size_t i = 1;
  while (i + 1 < points.size() && points[i].scanned < scanned) ++i;
  const Point &a = points[i - 1], &b = points[i];
  const double way = std::log(scanned / a.scanned) / std::log(b.scanned / a.scanned);
  return a.recall + way * (b.recall - a.recall);
}

// "place_of": rows of the base by rows of the index.
std::vector<Point> Show(const char* name, const Bench& bench, const TestIndex& index,
                        const std::vector<double>& kth) {
  const size_t rows = bench.base.size() / bench.dims;
  std::vector<uint64_t> words((rows + 63) / 64);
  for (size_t row = 0; row < rows; ++row) {
    if (index.IsLive(row)) words[row / 64] |= uint64_t{1} << (row % 64);
  }
  const Allowed allowed{0, words};
  const test::Health health = test::Examine(index);
  std::printf("%-8s %5u %5.2f %5.1f%% %6.2f%%", name, index.version().postings(), health.fill,
              100 * health.stale, 100 * health.violations);
  std::vector<Point> points;
  for (const uint32_t probes : kProbes) {
    points.push_back(Ask(bench, index, {static_cast<uint32_t>(bench.k), 0.01F, probes, kRowEnd - 1},
                         allowed, kth));
    if (probes % 16 == 0 && probes < 64) {
      std::printf("  %.3f %5.0f", points.back().recall, points.back().scanned);
    }
  }
  for (const float target : kTargets) {
    const Point point =
        Ask(bench, index, {static_cast<uint32_t>(bench.k), target, 0, kRowEnd - 1}, allowed, kth);
    std::printf("  %.3f %5.0f", point.recall, point.scanned);
  }
  std::printf("\n");
  std::fflush(stdout);
  return points;
}

std::vector<double> Truth(const Bench& bench, const TestIndex& index) {
  const size_t rows = bench.base.size() / bench.dims;
  std::vector<uint64_t> words((rows + 63) / 64);
  for (size_t row = 0; row < rows; ++row) {
    if (index.IsLive(row)) words[row / 64] |= uint64_t{1} << (row % 64);
  }
  return bench::KthNearest(bench.kind, bench.queries, bench.base, bench.dims, bench.k, {0, words});
}

}  // namespace

int main(int argc, char** argv) {
  auto flags = bench::Flags(argc, argv,
                            {{"k", "10"}, {"metric", "l2"}, {"rows", "30000"}, {"steps", "100"}});
  Options options;
  options.dims = static_cast<uint32_t>(std::stoul(flags["dims"]));
  options.metric = bench::MetricOf(flags["metric"]);
  if (flags.contains("spill")) options.spill = spfresh::bench::SpillOf(flags.at("spill"));
  const size_t dims = options.dims;
  std::vector<float> base = Shifted(bench::ReadFile<float>(flags["base"]), dims);
  const std::vector<float> queries = bench::ReadFile<float>(flags["queries"]);
  const size_t rows = std::min<size_t>(std::stoul(flags["rows"]), base.size() / dims / 2);
  const size_t steps = std::stoul(flags["steps"]);
  // The first so many, and the last so many, each in an order of chance.
  base.erase(base.begin() + static_cast<ptrdiff_t>(rows * dims),
             base.end() - static_cast<ptrdiff_t>(rows * dims));
  Random random(1);
  Shuffle(&random, base.data(), rows, dims);
  Shuffle(&random, base.data() + rows * dims, rows, dims);
  const Bench bench{base, queries, dims, std::stoul(flags["k"]),
                    static_cast<SqlDistance>(options.metric)};

  TestIndex index(options);
  if (flags.contains("inserts")) {
    for (size_t at = 0; at < rows; at += 256) {
      index.Insert(at, base.data() + at * dims, std::min<size_t>(256, rows - at));
      index.Upkeep();
    }
  } else {
    index.Build(base.data(), rows);
  }
  std::printf("%-8s %5s %5s %6s %7s  %11s  %11s  %11s  %11s  %11s  %11s\n", "", "posts", "fill",
              "stale", "NPA", "16 probes", "32 probes", "48 probes", ".90", ".95", ".99");
  Show("start", bench, index, Truth(bench, index));
  double start = bench::CpuSeconds();
  const bool refines = !flags.contains("no-refine"), scrubs = !flags.contains("no-scrub");
  const auto tend = [&](size_t most) {
    uint32_t posting;
    for (size_t i = 0; i < most; ++i) {
      if (!refines && index.version().NextRefine(&posting)) return false;
      if (!scrubs && !index.version().NextRefine(&posting)) return false;
      if (!index.Tend()) return false;
    }
    return true;
  };
  // What was deleted of the first rows: each step those of one remainder, which is chance enough
  // after the shuffle.
  for (size_t step = 0; step < steps; ++step) {
    for (size_t row = step * rows / steps; row < (step + 1) * rows / steps; ++row) {
      index.Delete(row);
    }
    const size_t from = rows + step * rows / steps, to = rows + (step + 1) * rows / steps;
    for (size_t at = from; at < to; at += 256) {
      index.Insert(at, base.data() + at * dims, std::min<size_t>(256, to - at));
      index.Upkeep();
    }
    index.Sweep();
    if (flags.contains("tend")) tend(std::stoul(flags["tend"]));
    if ((step + 1) * 4 % steps < 4) {
      const double spent = bench::CpuSeconds();
      const std::string name = std::to_string((step + 1) * 100 / steps) + "%";
      Show(name.c_str(), bench, index, Truth(bench, index));
      start += bench::CpuSeconds() - spent;
    }
  }
  std::printf("churned in %.1f s CPU; checked %llu, moved %llu\n", bench::CpuSeconds() - start,
              static_cast<unsigned long long>(index.checked),
              static_cast<unsigned long long>(index.moved));
  const std::vector<double> kth = Truth(bench, index);
  start = bench::CpuSeconds();
  while (index.Upkeep() > 0 || tend(1)) {
  }
  std::printf("idle after %.1f s CPU: %llu refined, %llu scrubbed\n", bench::CpuSeconds() - start,
              static_cast<unsigned long long>(index.refined),
              static_cast<unsigned long long>(index.scrubbed));
  const std::vector<Point> churned = Show("idle", bench, index, kth);

  TestIndex rebuilt(options);
  rebuilt.Build(base.data() + rows * dims, rows);
  std::vector<float> live(base.begin() + static_cast<ptrdiff_t>(rows * dims), base.end());
  const Bench again{live, queries, dims, bench.k, bench.kind};
  const std::vector<Point> fresh = Show("rebuild", again, rebuilt, kth);
  std::printf("recall less that of the rebuild at as many scanned:");
  for (const Point& point : churned) {
    std::printf(" %+.3f at %.0f;", point.recall - At(fresh, point.scanned), point.scanned);
  }
  std::printf("\n");
  return 0;
}
