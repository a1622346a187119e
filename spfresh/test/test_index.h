// What the Rust side is in production, in a hundred lines: it keeps the chunks of each posting and
// the live rows, and drives the library. For tests and the bench.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "spfresh/build.h"
#include "spfresh/calibrate.h"
#include "spfresh/rebuild.h"
#include "spfresh/search.h"
#include "spfresh/version.h"

namespace spfresh::test {

inline void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::abort();
}

class TestIndex {
 public:
  explicit TestIndex(const Options& options) { Must(Version::Empty(options, &version_)); }

  // Rows 0 to count, as src/index/builder.rs does: centroids from an even sample, slices inserted
  // side by side and merged, then settled.
  void Build(const float* vectors, size_t count, size_t threads = 1, size_t sample_most = 131'072) {
    const Options& options = version_->options();
    const size_t dims = options.dims;
    sample_most = std::min<size_t>(sample_most, Builder::SampleRows(options, count, UINT64_MAX));
    const size_t step = (count + sample_most - 1) / sample_most;
    std::unique_ptr<Builder> builder;
    Must(Builder::Begin(options, count, sample_most, &builder));
    for (size_t row = 0; row < count; row += step) {
      Must(builder->AddSample({vectors + row * dims, dims}));
    }
    builder->Start();
    do {
      InParallel(builder->train_units(), threads,
                 [&](size_t unit) { builder->RunTrainUnit(static_cast<uint32_t>(unit)); });
    } while (builder->Train());
    version_ = builder->version();
    for (size_t from = 0; from < count;) {
      // What has no centroid yet gets one from the first slice alone.
      const size_t most = version_->postings() == 0 ? 1 : threads;
      const size_t slices = std::min(most, (count - from + kSlice - 1) / kSlice);
      std::vector<Change> placed(slices);
      InParallel(slices, threads, [&](size_t slice) {
        std::vector<uint64_t> rows;
        const size_t begin = from + slice * kSlice;
        for (size_t i = begin; i < count && rows.size() < kSlice; ++i) rows.push_back(i);
        Must(version_->Insert(rows, {vectors + begin * dims, rows.size() * dims}, &placed[slice]));
      });
      const std::shared_ptr<const Version> before = version_;
      std::shared_ptr<const Version> all = placed[0].version;
      for (size_t slice = 1; slice < slices; ++slice) {
        Must(all->Merge(*before, *placed[slice].version, &all));
      }
      for (Change& change : placed) Take(std::move(change));
      version_ = std::move(all);
      from += slices * kSlice;
    }
    version_ = version_->Loaded();
    for (uint32_t id = 0; id < by_id_.size(); ++id) Join(id);
    watermark_ = count;
    Upkeep();
    for (uint32_t id = 0; id < by_id_.size(); ++id) Join(id);
    Calibrate();
  }

  void Insert(uint64_t first_row, const float* vectors, size_t count) {
    std::vector<uint64_t> rows;
    for (size_t i = 0; i < count; ++i) rows.push_back(first_row + i);
    Change change;
    Must(version_->Insert(rows, {vectors, count * version_->options().dims}, &change));
    Take(std::move(change));
    watermark_ = first_row + count;
  }

  void Delete(uint64_t row) { dead_.insert(row); }

  // What a checkpoint keeps.
  struct Image {
    struct Stored {
      uint32_t posting;
      std::vector<uint8_t> scan, records;
    };
    std::vector<uint8_t> version;
    std::vector<Stored> chunks;
    std::vector<uint64_t> left_out;
    uint64_t watermark = 0;
  };

  Image Checkpoint() const {
    Image image{version_->Serialize(), {}, left_out_, watermark_};
    const auto bytes = [](std::span<const uint8_t> from) {
      return std::vector<uint8_t>(from.begin(), from.end());
    };
    for (const auto& [id, chunks] : chunks_) {
      for (const auto& chunk : chunks) {
        image.chunks.push_back({id, bytes(chunk->scan_bytes()), bytes(chunk->record_bytes())});
      }
    }
    return image;
  }

  // The index as it was then. Which rows are dead is the table's, and stays.
  void Open(const Image& image) {
    Must(Version::Open(image.version, &version_));
    chunks_.clear();
    for (const Image::Stored& stored : image.chunks) {
      std::shared_ptr<const Chunk> scan, chunk;
      Must(Chunk::Parse(stored.scan, version_->stride(), &scan));
      Must(scan->WithRecords(stored.records, &chunk));
      chunks_[stored.posting].push_back(std::move(chunk));
    }
    left_out_ = image.left_out;
    watermark_ = image.watermark;
    by_id_.clear();
    for (auto& [id, chunks] : chunks_) ById(id) = chunks;
  }
  bool IsLive(uint64_t row) const { return row < watermark_ && !dead_.contains(row); }
  // Rows below exist, whether or not the index was given them.
  void SetWatermark(uint64_t watermark) { watermark_ = watermark; }
  uint64_t live_count() const { return watermark_ - dead_.size(); }

  // Upkeep calibrates at each of so many times that it is asked for.
  void CalibrateEach(uint32_t times) { calibrate_each_ = times; }

  // Does what the sizes of postings ask for, and makes one of too many chunks, as
  // src/index/upkeep.rs does. Returns how many steps it took.
  size_t Upkeep(size_t steps_max = ~size_t{0}) {
    size_t steps = 0;
    for (uint32_t posting; steps < steps_max;) {
      if (Scattered(&posting)) {
        Join(posting);
      } else if (version_->NextWork(&posting) != Work::kNone) {
        RebuildOne(posting);
      } else {
        break;
      }
      if (++steps > 10 * (version_->entries() + 1000)) {
        Must(Status::Internal("upkeep does not come to an end"));
      }
    }
    if (version_->WantsCalibration() && ++wanted_ % calibrate_each_ == 0) Calibrate();
    return steps;
  }

  // Makes postings anew where more than 15% are dead, or too few are live.
  void Sweep() {
    for (uint32_t id = 0; id < version_->capacity(); ++id) {
      const Posting* posting = version_->posting(id);
      if (posting == nullptr) continue;
      uint32_t live = 0;
      for (const auto& chunk : chunks_[id]) {
        for (const uint64_t word : chunk->words()) live += IsLive(RowOf(word)) ? 1 : 0;
      }
      if (live * 100 < posting->entries * 85) RebuildOne(id);
    }
    Upkeep();
  }

  void RebuildOne(uint32_t posting) {
    std::unique_ptr<Rebuild> rebuild;
    Must(Rebuild::Begin(version_, posting, &rebuild));
    Run(rebuild.get());
  }

  // What is done when there is nothing else to do: the worst neighbourhood refined, or a posting
  // scrubbed. False when there is nothing of that either.
  bool Tend() {
    uint32_t posting;
    std::unique_ptr<Rebuild> rebuild;
    if (version_->NextRefine(&posting)) {
      Must(Rebuild::Refine(version_, posting, &rebuild));
      ++refined;
    } else if (version_->NextScrub(&posting)) {
      Must(Rebuild::Scrub(version_, posting, &rebuild));
      ++scrubbed;
    } else {
      return false;
    }
    Run(rebuild.get());
    return true;
  }

  // Until there is nothing left to do.
  void Idle() {
    for (size_t steps = 0; Upkeep() > 0 || Tend(); ++steps) {
      if (steps > 100 * (version_->postings() + 1000)) {
        Must(Status::Internal("tending does not come to an end"));
      }
    }
  }

  // How far a step gets; all but the last leave the index as it was.
  enum class Reach : uint8_t { kRead, kPlanned, kMade, kTaken };

  void Run(Rebuild* rebuild, Reach reach = Reach::kTaken) {
    for (const uint32_t own : rebuild->own()) {
      for (const auto& chunk : chunks_[own]) Must(rebuild->AddOwn(*chunk, Live(*chunk)));
    }
    if (reach == Reach::kRead) return;
    std::vector<uint32_t> neighbours;
    Must(rebuild->Plan(&neighbours));
    if (reach == Reach::kPlanned) return;
    for (const uint32_t neighbour : neighbours) {
      for (const auto& chunk : chunks_[neighbour]) {
        Must(rebuild->AddNeighbour(neighbour, *chunk, Live(*chunk)));
      }
    }
    Change change;
    Must(rebuild->Finish(&change));
    if (reach == Reach::kMade) return;
    checked += rebuild->counts().checked;
    moved += rebuild->counts().moved;
    Take(std::move(change));
  }

  void Calibrate() {
    auto calibrator = Calibrator::Begin(version_);
    for (const uint32_t id : calibrator->SamplePostings()) {
      if (calibrator->wanted() == 0) break;
      for (const auto& chunk : chunks_[id]) calibrator->AddSample(*chunk);
    }
    for (const auto& [id, chunks] : chunks_) {
      for (const auto& chunk : chunks) Must(calibrator->AddPosting(id, *chunk, Live(*chunk)));
    }
    version_ = calibrator->Finish();
  }

  std::vector<Hit> Search(const float* query, const Request& request, const Allowed* allowed,
                          uint64_t* probes = nullptr, uint64_t* scanned = nullptr,
                          uint64_t* refined = nullptr) const {
    std::unique_ptr<spfresh::Search> search;
    Must(spfresh::Search::Begin(version_, {query, version_->options().dims}, request, &search));
    std::vector<uint32_t> postings;
    while (true) {
      postings.clear();
      search->Next(2, &postings);
      if (postings.empty()) break;
      for (const uint32_t posting : postings) {
        if (posting >= by_id_.size()) continue;
        for (const auto& chunk : by_id_[posting]) Must(search->Score(*chunk, allowed));
      }
    }
    if (probes != nullptr) *probes += search->probes();
    if (scanned != nullptr) *scanned += search->scanned();
    if (refined != nullptr) *refined += search->refined();
    return search->Hits();
  }

  const Version& version() const { return *version_; }
  const std::shared_ptr<const Version>& shared() const { return version_; }
  const std::map<uint32_t, std::vector<std::shared_ptr<const Chunk>>>& chunks() const {
    return chunks_;
  }
  const std::vector<uint64_t>& left_out() const { return left_out_; }
  std::vector<uint8_t> Live(const Chunk& chunk) const {
    std::vector<uint8_t> live;
    for (const uint64_t word : chunk.words()) live.push_back(IsLive(RowOf(word)) ? 1 : 0);
    return live;
  }

  uint64_t checked = 0;
  uint64_t moved = 0;
  uint64_t refined = 0;
  uint64_t scrubbed = 0;

 private:
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;
  static constexpr size_t kSlice = 4096;
  static constexpr size_t kChunksMax = 4, kJoinMax = 32;

  Chunks& ById(uint32_t posting) {
    if (posting >= by_id_.size()) by_id_.resize(posting + 1);
    return by_id_[posting];
  }

  // Makes the chunks of a posting one.
  void Join(uint32_t posting) {
    const auto found = chunks_.find(posting);
    if (found == chunks_.end() || found->second.empty()) return;
    Chunks& chunks = found->second;
    for (size_t i = 1; i < chunks.size(); ++i) chunks[0] = Chunk::Join(*chunks[0], *chunks[i]);
    chunks.resize(1);
    ById(posting) = chunks;
  }

  // A posting in too many chunks.
  bool Scattered(uint32_t* posting) {
    while (!appended_.empty()) {
      *posting = appended_.back();
      const auto found = chunks_.find(*posting);
      if (found != chunks_.end() && found->second.size() > kChunksMax) return true;
      appended_.pop_back();
    }
    return false;
  }

  // Calls work(i) for each i below "count".
  template <class Work>
  static void InParallel(size_t count, size_t threads, Work work) {
    std::atomic<size_t> next{0};
    const auto run = [&] {
      for (size_t i; (i = next++) < count;) work(i);
    };
    std::vector<std::thread> others;
    for (size_t t = 1; t < threads; ++t) others.emplace_back(run);
    run();
    for (std::thread& other : others) other.join();
  }

  void Take(Change change) {
    version_ = std::move(change.version);
    for (PostingChange& posting : change.postings) {
      auto& chunks = chunks_[posting.posting];
      if (posting.kind == PostingChange::Kind::kAppend) {
        // Small ones are joined, as src/index/posting.rs does.
        if (!chunks.empty() && chunks.back()->size() + posting.chunk->size() <= kJoinMax) {
          posting.chunk = Chunk::Join(*chunks.back(), *posting.chunk);
          chunks.pop_back();
        }
        appended_.push_back(posting.posting);
      }
      if (posting.kind != PostingChange::Kind::kAppend) chunks.clear();
      if (posting.chunk != nullptr) chunks.push_back(std::move(posting.chunk));
      ById(posting.posting) = chunks;
      if (posting.kind == PostingChange::Kind::kRemove) chunks_.erase(posting.posting);
    }
    left_out_.insert(left_out_.end(), change.left_out.begin(), change.left_out.end());
  }

  std::shared_ptr<const Version> version_;
  std::map<uint32_t, Chunks> chunks_;
  // The same by their places, for searches: a map's nodes are far apart.
  std::vector<Chunks> by_id_;
  // Postings that may be in too many chunks.
  std::vector<uint32_t> appended_;
  std::unordered_set<uint64_t> dead_;
  std::vector<uint64_t> left_out_;
  uint64_t watermark_ = 0;
  uint32_t calibrate_each_ = 1, wanted_ = 0;
};

}  // namespace spfresh::test
