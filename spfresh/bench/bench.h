// What the benches have in common: flags, raw files, CPU time, exact neighbours.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "spfresh/distance.h"
#include "spfresh/search.h"

namespace spfresh::bench {

inline double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// "--name=value", or "--name" for "1".
inline std::map<std::string, std::string> Flags(int argc, char** argv,
                                                std::map<std::string, std::string> flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const size_t equals = flag.find('=');
    flags[flag.substr(2, equals - 2)] = equals == std::string::npos ? "1" : flag.substr(equals + 1);
  }
  return flags;
}

template <class T>
std::vector<T> ReadFile(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    std::fprintf(stderr, "cannot open %s\n", path.c_str());
    std::exit(1);
  }
  std::fseek(file, 0, SEEK_END);
  std::vector<T> values(static_cast<size_t>(std::ftell(file)) / sizeof(T));
  std::rewind(file);
  const size_t read = std::fread(values.data(), sizeof(T), values.size(), file);
  std::fclose(file);
  values.resize(read);
  return values;
}

inline Metric MetricOf(const std::string& name) {
  return name == "ip" ? Metric::kInnerProduct : name == "cosine" ? Metric::kCosine : Metric::kL2;
}

inline Spill SpillOf(const std::string& name) {
  return name == "none" ? Spill::kNone : name == "closure" ? Spill::kClosure : Spill::kSoar;
}

// The distance of the k-th nearest of the allowed rows to each query.
inline std::vector<double> KthNearest(SqlDistance kind, const std::vector<float>& queries,
                                      const std::vector<float>& base, size_t dims, size_t k,
                                      const Allowed& allowed) {
  // Rows that stay in the cache while all queries are compared with them.
  constexpr size_t kTile = 512;
  const size_t rows = base.size() / dims;
  std::vector<double> kth(queries.size() / dims), distances(kTile);
  // Of each query a heap of the k least.
  std::vector<std::vector<double>> least(kth.size());
  for (size_t from = 0; from < rows; from += kTile) {
    const size_t n = std::min(kTile, rows - from);
    for (size_t q = 0; q < kth.size(); ++q) {
      Distances(kind, queries.data() + q * dims, {base.data() + from * dims, n, dims, dims},
                {distances.data(), n});
      std::vector<double>& heap = least[q];
      for (size_t i = 0; i < n; ++i) {
        if (heap.size() == k && !(distances[i] < heap.front())) continue;
        if (!allowed.Contains(from + i)) continue;
        if (heap.size() == k) {
          std::pop_heap(heap.begin(), heap.end());
          heap.pop_back();
        }
        heap.push_back(distances[i]);
        std::push_heap(heap.begin(), heap.end());
      }
    }
  }
  for (size_t q = 0; q < kth.size(); ++q) kth[q] = least[q].front();
  return kth;
}

}  // namespace spfresh::bench
