// Builds an index of a raw float file and measures recall and time against exact neighbours.
//
//   search_bench --dims=384 --base=base.f32 --queries=queries.f32 [--k=10] [--metric=l2|ip|cosine]
//                [--allowed=bytes.u8] [--inserts] [--churn] [--bits=8|4|32]
//                [--spill=soar|closure|none] [--closure=0.15]
//                [--targets=0.9,0.95,0.99,32] [--most=queries] [--threads=1] [--grow=0]
//                [--sample=65536]
//
// The index is built as the server builds it: centroids from a sample of so many rows at most.
// "--grow=n" builds of all but the last n rows and inserts these. "--threads" is for the build.
// "--inserts" fills the index by inserts of 256 rows with upkeep in between instead of a bulk
// build;
// "--churn" then deletes a tenth and updates three tenths of the rows, and calibrates when upkeep
// says so.
// "ahead" are the postings that a search would read at once to whom none is in memory, and "short"
// the share of searches that need more of them.
// "--targets=-" reads targets from the standard input, one a line, and answers each at once, so
// that compare.py can take turns with other indexes.
#include <iostream>
#include <sstream>

#include "bench.h"
#include "test_index.h"

namespace {

using spfresh::bench::CpuSeconds;
using spfresh::bench::ReadFile;
using spfresh::test::TestIndex;

// What is asked of an index, and what is right.
struct Questions {
  const std::vector<float>& queries;
  size_t k;
  size_t dims;
  spfresh::SqlDistance kind;
  const std::vector<float>& base;
  // The distance of the k-th nearest to each query.
  const std::vector<double>& kth;
  const spfresh::Allowed& allowed;
};

// How many postings would be read at once.
uint32_t Ahead(const TestIndex& index, const float* query, const spfresh::Request& request) {
  constexpr uint32_t kMost = 512;
  std::unique_ptr<spfresh::Search> search;
  spfresh::test::Must(spfresh::Search::Begin(
      index.shared(), {query, index.version().options().dims}, request, &search));
  std::vector<uint32_t> postings;
  search->NextLikely(static_cast<float>(request.k), kMost, &postings);
  return search->probes();
}

// Asks every question with this target and prints a line. The time holds what the database does
// too: the exact distances of the hits, by which the k nearest are chosen.
void Ask(const TestIndex& index, const Questions& on, const std::string& target) {
  // Above 1, a target is a fixed number of probes.
  const float share = std::stof(target);
  const spfresh::Request request{static_cast<uint32_t>(on.k), share > 1 ? 0.01F : share,
                                 share > 1 ? static_cast<uint32_t>(share) : 0, ~uint64_t{0} >> 1};
  const size_t count = on.queries.size() / on.dims;
  uint64_t probes = 0, scanned = 0, refined = 0, hits = 0, right = 0, ahead = 0, short_of = 0;
  double seconds = 0;
  std::vector<double> distances;
  for (size_t q = 0; q < count; ++q) {
    const float* query = on.queries.data() + q * on.dims;
    const uint64_t named = Ahead(index, query, request), before = probes;
    ahead += named;
    const double start = CpuSeconds();
    const std::vector<spfresh::Hit> found =
        index.Search(query, request, &on.allowed, &probes, &scanned, &refined);
    distances.resize(found.size());
    for (size_t i = 0; i < found.size(); ++i) {
      spfresh::Distances(on.kind, query,
                         {on.base.data() + found[i].row * on.dims, 1, on.dims, on.dims},
                         {&distances[i], 1});
    }
    const size_t k = std::min(on.k, found.size());
    std::partial_sort(distances.begin(), distances.begin() + static_cast<ptrdiff_t>(k),
                      distances.end());
    seconds += CpuSeconds() - start;
    hits += found.size();
    short_of += probes - before > named ? 1 : 0;
    for (size_t i = 0; i < k; ++i) right += distances[i] <= on.kth[q] + 1e-6 ? 1 : 0;
  }
  const auto n = static_cast<double>(count);
  std::printf("%8s %8.4f %8.1f %9.0f %9.1f %9.1f %9.1f %9.1f %8.3f\n", target.c_str(),
              static_cast<double>(right) / (n * static_cast<double>(on.k)),
              static_cast<double>(probes) / n, static_cast<double>(scanned) / n,
              static_cast<double>(refined) / n, static_cast<double>(hits) / n, seconds / n * 1e6,
              static_cast<double>(ahead) / n, static_cast<double>(short_of) / n);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  auto flags = spfresh::bench::Flags(argc, argv,
                                     {{"k", "10"},
                                      {"metric", "l2"},
                                      {"targets", "0.9,0.95,0.99"},
                                      {"dims", "0"},
                                      {"sample", "65536"}});
  spfresh::Options options;
  options.dims = static_cast<uint32_t>(std::stoul(flags["dims"]));
  options.metric = spfresh::bench::MetricOf(flags["metric"]);
  if (flags.contains("target")) options.posting_target = std::stoul(flags["target"]);
  if (flags.contains("min")) options.posting_min = std::stoul(flags["min"]);
  if (flags.contains("max")) options.posting_max = std::stoul(flags["max"]);
  if (flags.contains("bits")) options.code_bits = std::stoul(flags["bits"]);
  if (flags.contains("spill")) options.spill = spfresh::bench::SpillOf(flags.at("spill"));
  if (flags.contains("closure")) options.closure = std::stof(flags.at("closure"));
  const size_t dims = options.dims, k = std::stoul(flags["k"]);
  std::vector<float> base = ReadFile<float>(flags["base"]);
  std::vector<float> queries = ReadFile<float>(flags["queries"]);
  if (flags.contains("most")) {
    queries.resize(std::min(queries.size(), std::stoul(flags["most"]) * dims));
  }
  size_t rows = base.size() / dims;
  std::printf("kernels %s, %zu rows of %zu\n", spfresh::KernelTarget(), rows, dims);

  double start = CpuSeconds();
  TestIndex index(options);
  const auto insert = [&](size_t from, size_t to) {
    for (size_t at = from; at < to; at += 256) {
      const size_t n = std::min<size_t>(256, to - at);
      index.Insert(at, base.data() + at * dims, n);
      index.Upkeep();
    }
  };
  if (flags.contains("inserts")) {
    insert(0, rows);
    index.Calibrate();
  } else {
    const size_t threads = flags.contains("threads") ? std::stoul(flags["threads"]) : 1;
    const size_t built = flags.contains("grow") ? rows - std::stoul(flags["grow"]) : rows;
    index.Build(base.data(), built, threads, std::stoul(flags["sample"]));
    const double seconds = CpuSeconds() - start;
    std::printf("%zu rows built at %.0f a second of CPU\n", built,
                static_cast<double>(built) / seconds);
    std::fflush(stdout);
    if (built < rows) {
      const double begin = CpuSeconds();
      insert(built, rows);
      std::printf("%zu rows inserted at %.0f a second of CPU, upkeep included\n", rows - built,
                  static_cast<double>(rows - built) / (CpuSeconds() - begin));
    }
  }
  uint64_t scans = 0, records = 0;
  for (const auto& [id, chunks] : index.chunks()) {
    for (const auto& chunk : chunks) {
      scans += chunk->scan_bytes().size();
      records += chunk->record_bytes().size();
    }
  }
  const auto each = [&](uint64_t of) {
    return static_cast<double>(of) / static_cast<double>(rows);
  };
  std::printf("built in %.2f s CPU: %u postings, %.2f entries a row\n", CpuSeconds() - start,
              index.version().postings(), each(index.version().entries()));
  std::printf("bytes a row: %.1f scans, %.1f records, %.1f centroids\n", each(scans), each(records),
              each(uint64_t{index.version().postings()} *
                   (index.version().stride() * (options.record_bits() == 32 ? 4 : 1) + 12)));
  if (flags.contains("churn")) {
    start = CpuSeconds();
    const size_t before = rows;
    for (size_t row = 0; row < before; ++row) {
      if (row % 10 == 3) index.Delete(row);
      if (row % 10 > 6) {
        index.Delete(row);
        const std::vector<float> copy(base.begin() + row * dims, base.begin() + (row + 1) * dims);
        base.insert(base.end(), copy.begin(), copy.end());
        ++rows;
      }
    }
    insert(before, rows);
    index.Sweep();
    std::printf(
        "churned in %.2f s CPU: %u postings, %.2f entries a live row, moved %llu of %llu\n",
        CpuSeconds() - start, index.version().postings(),
        static_cast<double>(index.version().entries()) / static_cast<double>(index.live_count()),
        static_cast<unsigned long long>(index.moved),
        static_cast<unsigned long long>(index.checked));
  }

  // What is allowed: given for the first rows, and live.
  std::vector<uint64_t> words((rows + 63) / 64);
  std::vector<uint8_t> bytes;
  if (flags.contains("allowed")) bytes = ReadFile<uint8_t>(flags["allowed"]);
  for (size_t row = 0; row < rows; ++row) {
    if (index.IsLive(row) && (bytes.empty() || bytes[row % bytes.size()] != 0)) {
      words[row / 64] |= uint64_t{1} << (row % 64);
    }
  }
  const spfresh::Allowed allowed{0, words};
  const auto kind = static_cast<spfresh::SqlDistance>(options.metric);
  const std::vector<double> kth = spfresh::bench::KthNearest(kind, queries, base, dims, k, allowed);
  std::printf("%8s %8s %8s %9s %9s %9s %9s %9s %8s\n", "target", "recall", "probes", "scanned",
              "refined", "hits", "us CPU", "ahead", "short");
  std::fflush(stdout);
  const Questions questions{queries, k, dims, kind, base, kth, allowed};
  if (flags["targets"] == "-") {
    for (std::string line; std::getline(std::cin, line);) Ask(index, questions, line);
  } else {
    std::istringstream targets(flags["targets"]);
    for (std::string target; std::getline(targets, target, ',');) Ask(index, questions, target);
  }
  return 0;
}
