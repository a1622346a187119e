// Small indexes whose bytes are the seeds.
#pragma once

#include <vector>

#include "random.h"
#include "test_index.h"

namespace spfresh::fuzz {

inline test::TestIndex Sample(Metric metric, uint32_t dims, uint32_t bits) {
  Options options;
  options.metric = metric;
  options.dims = dims;
  if (bits != kWholeBits) options.code_bits = bits;
  options.posting_target = 16;
  options.posting_max = 32;
  options.posting_min = 4;
  Random random(dims);
  std::vector<float> vectors(300 * size_t{dims});
  for (float& x : vectors) x = random.Unit() * 2 - 1;
  test::TestIndex index(options);
  index.Build(vectors.data(), 300);
  return index;
}

inline std::vector<test::TestIndex> Samples() {
  std::vector<test::TestIndex> samples;
  samples.push_back(Sample(Metric::kL2, 6, kWholeBits));
  samples.push_back(Sample(Metric::kInnerProduct, 80, 8));
  samples.push_back(Sample(Metric::kCosine, 64, 4));
  return samples;
}

}  // namespace spfresh::fuzz
