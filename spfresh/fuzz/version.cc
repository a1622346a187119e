// A version as the directory of a checkpoint has it: opened, searched, written again.
#include "sample.h"
#include "target.h"

std::vector<std::vector<uint8_t>> Seeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const auto& sample : spfresh::fuzz::Samples()) seeds.push_back(sample.version().Serialize());
  return seeds;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spfresh;
  std::shared_ptr<const Version> version;
  if (!Version::Open({data, size}, &version).ok()) return 0;
  // What is accepted comes back as it is.
  std::shared_ptr<const Version> again;
  const std::vector<uint8_t> bytes = version->Serialize();
  if (!Version::Open(bytes, &again).ok() || again->Serialize() != bytes) std::abort();
  const std::vector<float> query(version->options().dims, 0.5F);
  std::unique_ptr<Search> search;
  if (Search::Begin(version, query, {3, 0.9F, 0, kRowEnd - 1}, &search).ok()) {
    std::vector<uint32_t> postings;
    search->Next(100, &postings);
  }
  uint32_t posting;
  (void)version->NextWork(&posting);
  (void)version->NextRefine(&posting);
  (void)version->NextScrub(&posting);
  (void)version->Order();
  const uint64_t row = 5;
  Change change;
  (void)version->Insert({&row, 1}, query, &change);
  return 0;
}
