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

// The distance of the k-th nearest of the allowed rows to each query.
inline std::vector<double> KthNearest(SqlDistance kind, const std::vector<float>& queries,
                                      const std::vector<float>& base, size_t dims, size_t k,
                                      const Allowed& allowed) {
  const size_t rows = base.size() / dims;
  std::vector<double> kth(queries.size() / dims), distances(rows), kept;
  for (size_t q = 0; q < kth.size(); ++q) {
    Distances(kind, queries.data() + q * dims, {base.data(), rows, dims, dims}, distances);
    kept.clear();
    for (size_t row = 0; row < rows; ++row) {
      if (allowed.Contains(row)) kept.push_back(distances[row]);
    }
    std::nth_element(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(k - 1), kept.end());
    kth[q] = kept[k - 1];
  }
  return kth;
}

}  // namespace spfresh::bench
