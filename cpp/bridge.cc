#include "bridge.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <new>
#include <span>
#include <thread>
#include <vector>

#include "nearlake/src/index/ffi.rs.h"

namespace nearlake {
namespace {

// Beyond spfresh's own codes.
constexpr uint8_t kOutOfMemory = 4;

template <class T>
std::span<const T> Span(rust::Slice<const T> slice) {
  return {slice.data(), slice.size()};
}

Status Translate(const spfresh::Status& status) {
  return {static_cast<uint8_t>(status.code()), rust::String::lossy(status.message())};
}

// Runs "call", which returns a spfresh::Status, and catches whatever it throws.
template <class Call>
Status Land(Call call) noexcept {
  try {
    return Translate(call());
  } catch (const std::bad_alloc&) {
    return {kOutOfMemory, rust::String("out of memory")};
  } catch (const std::exception& e) {
    return Translate(spfresh::Status::Internal(e.what()));
  } catch (...) {
    return Translate(spfresh::Status::Internal("an unknown exception"));
  }
}

spfresh::Options FromRust(const Options& options) {
  spfresh::Options o;
  o.metric = static_cast<spfresh::Metric>(options.metric);
  o.dims = options.dims;
  o.posting_target = options.posting_target;
  o.posting_max = options.posting_max;
  o.posting_min = options.posting_min;
  o.spill = static_cast<spfresh::Spill>(options.spill);
  o.spill_lambda = options.spill_lambda;
  o.code_bits = options.code_bits;
  o.seed = options.seed;
  return o;
}

// cxx knows no pointers to const. Rust sees these objects by shared reference alone.
template <class T>
std::shared_ptr<T> Shared(std::shared_ptr<const T> pointer) {
  return std::const_pointer_cast<T>(std::move(pointer));
}

template <class T>
void Append(const std::vector<T>& from, rust::Vec<T>& to) {
  to.reserve(to.size() + from.size());
  for (const T& value : from) to.push_back(value);
}

// What "call" makes, and how it went: "call" fills the value's place and returns a spfresh::Status.
template <class Made, class Call>
Made LandMade(Call call) {
  Made made;
  made.status = Land([&] { return call(made.value); });
  return made;
}

// The same for what versions and chunks share: "call" fills a pointer to const.
template <class Made, class T, class Call>
Made LandShared(Call call) {
  return LandMade<Made>([&](std::shared_ptr<T>& value) {
    std::shared_ptr<const T> made;
    spfresh::Status status = call(made);
    value = Shared(std::move(made));
    return status;
  });
}

template <class Call>
MadeChunk LandChunk(Call call) {
  return LandShared<MadeChunk, spfresh::Chunk>(call);
}

template <class Call>
MadeVersion LandVersion(Call call) {
  return LandShared<MadeVersion, spfresh::Version>(call);
}

template <class Call>
MadeChange LandChange(Call call) {
  return LandMade<MadeChange>([&](std::unique_ptr<spfresh::Change>& value) {
    auto change = std::make_unique<spfresh::Change>();
    spfresh::Status status = call(change.get());
    value = std::move(change);
    return status;
  });
}

// Appends to "to" what "call" gives.
template <class T, class Call>
Status LandAppended(rust::Vec<T>& to, Call call) {
  return Land([&] {
    Append(call(), to);
    return spfresh::Status();
  });
}

// Does the units of a step of the training on so many threads. Throws what a unit threw; the
// training is of no use then, since that unit counts as done.
void RunTrainUnits(spfresh::Builder& builder, uint32_t threads) {
  const uint32_t units = builder.train_units();
  std::atomic<uint32_t> next = 0;
  std::vector<std::exception_ptr> failures(std::min(threads, units));
  const auto run = [&](std::exception_ptr& failure) {
    try {
      for (uint32_t unit = next++; unit < units; unit = next++) builder.RunTrainUnit(unit);
    } catch (...) {
      failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::exception_ptr& failure : failures) workers.emplace_back(run, std::ref(failure));
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure != nullptr) std::rethrow_exception(failure);
  }
}

}  // namespace

Status check_options(const Options& options) {
  return Land([&] { return FromRust(options).Check(); });
}

void distances(uint8_t metric, Floats query, Floats vectors, rust::Slice<double> out) {
  const spfresh::Rows rows{vectors.data(), out.size(), query.size(), query.size()};
  spfresh::Distances(static_cast<spfresh::SqlDistance>(metric), query.data(), rows,
                     {out.data(), out.size()});
}

void distances_at(uint8_t metric, Floats query, Floats vectors, rust::Slice<const uint32_t> at,
                  rust::Slice<double> out) {
  const spfresh::Rows rows{vectors.data(), vectors.size() / query.size(), query.size(),
                           query.size()};
  spfresh::DistancesAt(static_cast<spfresh::SqlDistance>(metric), query.data(), rows,
                       {at.data(), at.size()}, {out.data(), out.size()});
}

rust::Str kernel_target() { return spfresh::KernelTarget(); }

MadeChunk chunk_parse(Bytes bytes, uint32_t stride) {
  return LandChunk([&](auto& made) { return spfresh::Chunk::Parse(Span(bytes), stride, &made); });
}

MadeChunk chunk_with_records(const spfresh::Chunk& chunk, Bytes bytes) {
  return LandChunk([&](auto& made) { return chunk.WithRecords(Span(bytes), &made); });
}

MadeChunk chunk_without_records(const spfresh::Chunk& chunk) {
  return LandChunk([&](auto& made) {
    made = chunk.WithoutRecords();
    return spfresh::Status();
  });
}

MadeChunk chunk_join(const spfresh::Chunk& first, const spfresh::Chunk& second) {
  return LandChunk([&](auto& made) {
    made = spfresh::Chunk::Join(first, second);
    return spfresh::Status();
  });
}

Bytes chunk_scan_bytes(const spfresh::Chunk& chunk) {
  return {chunk.scan_bytes().data(), chunk.scan_bytes().size()};
}

Bytes chunk_record_bytes(const spfresh::Chunk& chunk) {
  return {chunk.record_bytes().data(), chunk.record_bytes().size()};
}

Status chunk_words(const spfresh::Chunk& chunk, rust::Vec<uint64_t>& out) {
  return Land([&] {
    out.reserve(out.size() + chunk.size());
    for (const uint64_t word : chunk.words()) out.push_back(word);
    return spfresh::Status();
  });
}

MadeVersion version_empty(const Options& options) {
  return LandVersion([&](auto& made) { return spfresh::Version::Empty(FromRust(options), &made); });
}

MadeVersion version_open(Bytes bytes) {
  return LandVersion([&](auto& made) { return spfresh::Version::Open(Span(bytes), &made); });
}

Status version_serialize(const spfresh::Version& version, rust::Vec<uint8_t>& out) {
  return LandAppended(out, [&] { return version.Serialize(); });
}

MadeChange version_insert(const spfresh::Version& version, Words rows, Floats vectors) {
  return LandChange(
      [&](spfresh::Change* change) { return version.Insert(Span(rows), Span(vectors), change); });
}

MadeVersion version_merge(const spfresh::Version& version, const spfresh::Version& base,
                          const spfresh::Version& sibling) {
  return LandVersion([&](auto& made) { return version.Merge(base, sibling, &made); });
}

MadeVersion version_loaded(const spfresh::Version& version) {
  return LandVersion([&](auto& made) {
    made = version.Loaded();
    return spfresh::Status();
  });
}

Status version_order(const spfresh::Version& version, rust::Vec<uint32_t>& postings) {
  return LandAppended(postings, [&] { return version.Order(); });
}

Work version_next_work(const spfresh::Version& version) {
  Work work{};
  const bool wanted = version.NextWork(&work.posting) != spfresh::Work::kNone;
  work.task = wanted ? Task::Rebuild : Task::None;
  return work;
}

Work version_next_tending(const spfresh::Version& version) {
  Work work{};
  work.task = version.NextRefine(&work.posting)  ? Task::Refine
              : version.NextScrub(&work.posting) ? Task::Scrub
                                                 : Task::None;
  return work;
}

bool version_has_place(const spfresh::Version& version, Floats vector) {
  return vector.size() == version.options().dims && version.HasPlace(Span(vector));
}

uint32_t version_dims(const spfresh::Version& version) { return version.options().dims; }

bool version_in_use(const spfresh::Version& version, uint32_t posting) {
  return version.posting(posting) != nullptr;
}

uint32_t version_entries_of(const spfresh::Version& version, uint32_t posting) {
  const spfresh::Posting* p = version.posting(posting);
  return p == nullptr ? 0 : p->entries;
}

std::shared_ptr<spfresh::Version> change_version(const spfresh::Change& change) {
  return Shared(change.version);
}

size_t change_postings(const spfresh::Change& change) { return change.postings.size(); }

ChangedPosting change_posting(const spfresh::Change& change, size_t at) {
  const spfresh::PostingChange& posting = change.postings.at(at);
  return {posting.posting, static_cast<uint8_t>(posting.kind), Shared(posting.chunk)};
}

Words change_left_out(const spfresh::Change& change) {
  return {change.left_out.data(), change.left_out.size()};
}

MadeRebuild rebuild_begin(const std::shared_ptr<spfresh::Version>& version, Task task,
                          uint32_t posting) {
  return LandMade<MadeRebuild>([&](auto& made) {
    switch (task) {
      case Task::Rebuild:
        return spfresh::Rebuild::Begin(version, posting, &made);
      case Task::Refine:
        return spfresh::Rebuild::Refine(version, posting, &made);
      case Task::Scrub:
        return spfresh::Rebuild::Scrub(version, posting, &made);
      default:
        return spfresh::Status::Internal("there is no such task");
    }
  });
}

Status rebuild_own(const spfresh::Rebuild& rebuild, rust::Vec<uint32_t>& postings) {
  return LandAppended(postings, [&]() -> decltype(auto) { return rebuild.own(); });
}

Status rebuild_add_own(spfresh::Rebuild& rebuild, const spfresh::Chunk& chunk, Bytes live) {
  return Land([&] { return rebuild.AddOwn(chunk, Span(live)); });
}

Status rebuild_plan(spfresh::Rebuild& rebuild, rust::Vec<uint32_t>& neighbours) {
  return Land([&] {
    std::vector<uint32_t> named;
    spfresh::Status status = rebuild.Plan(&named);
    Append(named, neighbours);
    return status;
  });
}

Status rebuild_add_neighbour(spfresh::Rebuild& rebuild, uint32_t posting,
                             const spfresh::Chunk& chunk, Bytes live) {
  return Land([&] { return rebuild.AddNeighbour(posting, chunk, Span(live)); });
}

MadeChange rebuild_finish(spfresh::Rebuild& rebuild) {
  return LandChange([&](spfresh::Change* change) { return rebuild.Finish(change); });
}

RebuildCounts rebuild_counts(const spfresh::Rebuild& rebuild) {
  return RebuildCounts{rebuild.counts().checked, rebuild.counts().moved};
}

MadeSearch search_begin(const std::shared_ptr<spfresh::Version>& version, Floats query,
                        const Request& request) {
  return LandMade<MadeSearch>([&](auto& made) {
    const spfresh::Request wish{request.k, request.recall_target, request.probes_min,
                                request.below};
    return spfresh::Search::Begin(version, Span(query), wish, &made);
  });
}

Status search_next(spfresh::Search& search, uint32_t most, rust::Vec<uint32_t>& postings) {
  return Land([&] {
    std::vector<uint32_t> named;
    search.Next(most, &named);
    Append(named, postings);
    return spfresh::Status();
  });
}

Status search_next_likely(spfresh::Search& search, float depth, uint32_t most,
                          rust::Vec<uint32_t>& postings) {
  return Land([&] {
    std::vector<uint32_t> named;
    search.NextLikely(depth, most, &named);
    Append(named, postings);
    return spfresh::Status();
  });
}

Status search_score(spfresh::Search& search, const spfresh::Chunk& chunk) {
  return Land([&] { return search.Score(chunk, nullptr); });
}

Status search_score_allowed(spfresh::Search& search, const spfresh::Chunk& chunk, uint64_t base,
                            Words words) {
  return Land([&] {
    const spfresh::Allowed allowed{base, Span(words)};
    return search.Score(chunk, &allowed);
  });
}

Status search_score_scan(spfresh::Search& search, const spfresh::Chunk& chunk, uint32_t number) {
  return Land([&] { return search.ScoreScan(chunk, number, nullptr); });
}

Status search_score_scan_allowed(spfresh::Search& search, const spfresh::Chunk& chunk,
                                 uint32_t number, uint64_t base, Words words) {
  return Land([&] {
    const spfresh::Allowed allowed{base, Span(words)};
    return search.ScoreScan(chunk, number, &allowed);
  });
}

Status search_wanted(spfresh::Search& search, rust::Vec<uint32_t>& numbers) {
  return Land([&] {
    std::vector<uint32_t> wanted;
    search.Wanted(&wanted);
    Append(wanted, numbers);
    return spfresh::Status();
  });
}

Status search_score_records(spfresh::Search& search, const spfresh::Chunk& chunk, uint32_t number) {
  return Land([&] { return search.ScoreRecords(chunk, number); });
}

Hits search_hits(const spfresh::Search& search) {
  Hits hits;
  hits.status = Land([&] {
    const std::vector<spfresh::Hit> found = search.Hits();
    hits.hits.reserve(found.size());
    for (const spfresh::Hit& hit : found) hits.hits.push_back({hit.row, hit.distance});
    hits.probes = search.probes();
    hits.scanned = search.scanned();
    return spfresh::Status();
  });
  return hits;
}

uint64_t builder_sample_rows(const Options& options, uint64_t rows, uint64_t bytes) {
  return spfresh::Builder::SampleRows(FromRust(options), rows, bytes);
}

MadeBuilder builder_begin(const Options& options, uint64_t rows, uint64_t sample_rows) {
  return LandMade<MadeBuilder>([&](auto& made) {
    return spfresh::Builder::Begin(FromRust(options), rows, sample_rows, &made);
  });
}

Status builder_add_sample(spfresh::Builder& builder, Floats vectors) {
  return Land([&] { return builder.AddSample(Span(vectors)); });
}

Status builder_start(spfresh::Builder& builder) {
  return Land([&] {
    builder.Start();
    return spfresh::Status();
  });
}

Status builder_train(spfresh::Builder& builder, uint32_t threads, bool& more) {
  return Land([&] {
    if (threads > 1) RunTrainUnits(builder, threads);
    more = builder.Train();
    return spfresh::Status();
  });
}

float builder_trained(const spfresh::Builder& builder) { return builder.trained(); }

MadeVersion builder_version(const spfresh::Builder& builder) {
  return LandVersion([&](auto& made) {
    if (builder.version() == nullptr) return spfresh::Status::Internal("training is not done");
    made = builder.version();
    return spfresh::Status();
  });
}

MadeCalibrator calibrator_begin(const std::shared_ptr<spfresh::Version>& version) {
  return LandMade<MadeCalibrator>([&](auto& made) {
    made = spfresh::Calibrator::Begin(version);
    return spfresh::Status();
  });
}

Status calibrator_sample_postings(const spfresh::Calibrator& calibrator,
                                  rust::Vec<uint32_t>& postings) {
  return LandAppended(postings, [&] { return calibrator.SamplePostings(); });
}

size_t calibrator_wanted(const spfresh::Calibrator& calibrator) { return calibrator.wanted(); }

Status calibrator_add_sample(spfresh::Calibrator& calibrator, const spfresh::Chunk& chunk) {
  return Land([&] {
    calibrator.AddSample(chunk);
    return spfresh::Status();
  });
}

Status calibrator_add_posting(spfresh::Calibrator& calibrator, uint32_t posting,
                              const spfresh::Chunk& chunk, Bytes live) {
  return Land([&] { return calibrator.AddPosting(posting, chunk, Span(live)); });
}

MadeVersion calibrator_finish(spfresh::Calibrator& calibrator) {
  return LandVersion([&](auto& made) {
    made = calibrator.Finish();
    return spfresh::Status();
  });
}

MadeVerifier verifier_begin(const std::shared_ptr<spfresh::Version>& version) {
  return LandMade<MadeVerifier>([&](auto& made) {
    made = spfresh::Verifier::Begin(version);
    return spfresh::Status();
  });
}

Status verifier_add_chunk(spfresh::Verifier& verifier, uint32_t posting,
                          const spfresh::Chunk& chunk, Bytes live) {
  return Land([&] { return verifier.AddChunk(posting, chunk, Span(live)); });
}

Status verifier_compare(spfresh::Verifier& verifier, const spfresh::Chunk& chunk, uint32_t entry,
                        Floats vector, Floats query) {
  return Land([&] { return verifier.Compare(chunk, entry, Span(vector), Span(query)); });
}

Verified verifier_found(const spfresh::Verifier& verifier) {
  Verified verified;
  verified.status = Land([&] {
    const spfresh::Verifier::Found& found = verifier.found();
    verified.entries = found.entries;
    verified.dead = found.dead;
    verified.placed = found.placed;
    verified.misplaced = found.misplaced;
    verified.outside = found.outside;
    verified.compared = found.compared;
    verified.untrue = found.untrue;
    verified.estimates = found.estimates;
    verified.unbounded = found.unbounded;
    verified.largest = found.largest;
    verified.overfull = verifier.Overfull();
    for (const std::string& fault : verifier.Faults()) {
      verified.faults.push_back(rust::String::lossy(fault));
    }
    return spfresh::Status();
  });
  return verified;
}

}  // namespace nearlake
