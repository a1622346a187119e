// A chunk's two parts, one behind the other with the length of the first before them; and what a
// version makes of a chunk that is damaged and was not noticed: search, upkeep, verification.
#include <cstring>

#include "sample.h"
#include "spfresh/verify.h"
#include "target.h"

namespace {

const std::vector<spfresh::test::TestIndex>& Indexes() {
  static const auto* indexes = new std::vector<spfresh::test::TestIndex>(spfresh::fuzz::Samples());
  return *indexes;
}

void Use(const std::shared_ptr<const spfresh::Version>& version, const spfresh::Chunk& chunk) {
  using namespace spfresh;
  const uint32_t posting = chunk.kind().posting;
  const std::vector<uint8_t> live(chunk.size(), 1);
  const std::vector<float> query(version->options().dims, 0.25F);
  for (const float target : {0.9F, 1.0F}) {
    std::unique_ptr<Search> search;
    if (!Search::Begin(version, query, {5, target, 0, kRowEnd - 1}, &search).ok()) std::abort();
    std::vector<uint32_t> postings;
    search->Next(3, &postings);
    (void)search->Score(chunk, nullptr);
    search->Next(3, &postings);
    if (search->Hits().size() > chunk.size()) std::abort();
  }
  auto verifier = Verifier::Begin(version);
  (void)verifier->AddChunk(posting, chunk, live);
  (void)verifier->Compare(chunk, 0, query, query);
  (void)verifier->Faults();
  auto calibrator = Calibrator::Begin(version);
  calibrator->AddSample(chunk);
  (void)calibrator->AddPosting(posting, chunk, live);
  (void)calibrator->Finish();
  if (version->posting(posting) == nullptr) return;
  using Begin = Status (*)(std::shared_ptr<const Version>, uint32_t, std::unique_ptr<Rebuild>*);
  for (const Begin begin : {&Rebuild::Begin, &Rebuild::Refine, &Rebuild::Scrub}) {
    std::unique_ptr<Rebuild> rebuild;
    if (!begin(version, posting, &rebuild).ok()) std::abort();
    bool fits = true;
    std::vector<uint32_t> neighbours;
    for (const uint32_t own : rebuild->own()) {
      for (const auto& whole : Indexes()) {
        if (whole.shared() != version) continue;
        for (const auto& given : whole.chunks().at(own)) {
          const Chunk& added = own == posting ? chunk : *given;
          fits = fits && rebuild->AddOwn(added, std::vector<uint8_t>(added.size(), 1)).ok();
        }
      }
    }
    if (!fits || !rebuild->Plan(&neighbours).ok()) continue;
    for (const uint32_t neighbour : neighbours) {
      for (const auto& whole : Indexes()) {
        if (whole.shared() != version) continue;
        for (const auto& given : whole.chunks().at(neighbour)) {
          (void)rebuild->AddNeighbour(neighbour, *given, std::vector<uint8_t>(given->size(), 1));
        }
      }
    }
    Change change;
    (void)rebuild->Finish(&change);
  }
}

}  // namespace

std::vector<std::vector<uint8_t>> Seeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const auto& index : Indexes()) {
    const auto& chunk = index.chunks().begin()->second[0];
    const auto length = static_cast<uint32_t>(chunk->scan_bytes().size());
    std::vector<uint8_t> seed(sizeof(length));
    std::memcpy(seed.data(), &length, sizeof(length));
    seed.insert(seed.end(), chunk->scan_bytes().begin(), chunk->scan_bytes().end());
    seed.insert(seed.end(), chunk->record_bytes().begin(), chunk->record_bytes().end());
    seeds.push_back(std::move(seed));
  }
  return seeds;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spfresh;
  uint32_t length;
  if (size < sizeof(length)) return 0;
  std::memcpy(&length, data, sizeof(length));
  const std::span<const uint8_t> rest(data + sizeof(length), size - sizeof(length));
  const std::span<const uint8_t> first = rest.first(std::min<size_t>(length, rest.size()));
  for (const auto& index : Indexes()) {
    std::shared_ptr<const Chunk> scan, chunk;
    if (!Chunk::Parse(first, index.version().stride(), &scan).ok()) continue;
    if (!scan->WithRecords(rest.subspan(first.size()), &chunk).ok()) continue;
    Use(index.shared(), *chunk);
  }
  return 0;
}
