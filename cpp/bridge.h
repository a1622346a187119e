// The landing between the two languages: types and Status, translated. It decides nothing.
//
// Every function here may be called from any thread; objects follow the promises of spfresh's
// headers. No slice is kept past its call. Whatever C++ throws ends here as a Status.
#pragma once

#include <cstdint>
#include <memory>

#include "rust/cxx.h"
#include "spfresh/build.h"
#include "spfresh/calibrate.h"
#include "spfresh/chunk.h"
#include "spfresh/distance.h"
#include "spfresh/rebuild.h"
#include "spfresh/search.h"
#include "spfresh/verify.h"
#include "spfresh/version.h"
#include "threads.h"

namespace nearlake {

// Defined by cxx from src/index/ffi.rs.
struct Status;
struct Options;
struct Request;
struct Hits;
struct Work;
struct MadeVersion;
struct MadeChunk;
struct MadeChange;
struct MadeRebuild;
struct MadeVerifier;
struct Verified;
enum class Task : uint8_t;
struct RebuildCounts;
struct MadeSearch;
struct MadeBuilder;
struct MadeCalibrator;
struct ChangedPosting;

using Floats = rust::Slice<const float>;
using Words = rust::Slice<const uint64_t>;
using Bytes = rust::Slice<const uint8_t>;

Status check_options(const Options& options);
void distances(uint8_t metric, Floats query, Floats vectors, rust::Slice<double> out);
void distances_at(uint8_t metric, Floats query, Floats vectors, rust::Slice<const uint32_t> at,
                  rust::Slice<double> out);
rust::Str kernel_target();

MadeChunk chunk_parse(Bytes bytes, uint32_t stride);
MadeChunk chunk_with_records(const spfresh::Chunk& chunk, Bytes bytes);
MadeChunk chunk_without_records(const spfresh::Chunk& chunk);
MadeChunk chunk_join(const spfresh::Chunk& first, const spfresh::Chunk& second);
Bytes chunk_scan_bytes(const spfresh::Chunk& chunk);
Bytes chunk_record_bytes(const spfresh::Chunk& chunk);
Status chunk_words(const spfresh::Chunk& chunk, rust::Vec<uint64_t>& out);

MadeVersion version_empty(const Options& options);
MadeVersion version_open(Bytes bytes);
Status version_serialize(const spfresh::Version& version, rust::Vec<uint8_t>& out);
MadeChange version_insert(const spfresh::Version& version, Words rows, Floats vectors);
MadeVersion version_merge(const spfresh::Version& version, const spfresh::Version& base,
                          const spfresh::Version& sibling);
MadeVersion version_loaded(const spfresh::Version& version);
Status version_order(const spfresh::Version& version, rust::Vec<uint32_t>& postings);
Work version_next_work(const spfresh::Version& version);
Work version_next_tending(const spfresh::Version& version);
bool version_has_place(const spfresh::Version& version, Floats vector);
uint32_t version_dims(const spfresh::Version& version);
bool version_in_use(const spfresh::Version& version, uint32_t posting);
uint32_t version_entries_of(const spfresh::Version& version, uint32_t posting);

std::shared_ptr<spfresh::Version> change_version(const spfresh::Change& change);
size_t change_postings(const spfresh::Change& change);
ChangedPosting change_posting(const spfresh::Change& change, size_t at);
Words change_left_out(const spfresh::Change& change);

MadeRebuild rebuild_begin(const std::shared_ptr<spfresh::Version>& version, Task task,
                          uint32_t posting);
Status rebuild_own(const spfresh::Rebuild& rebuild, rust::Vec<uint32_t>& postings);
Status rebuild_add_own(spfresh::Rebuild& rebuild, const spfresh::Chunk& chunk, Bytes live);
Status rebuild_plan(spfresh::Rebuild& rebuild, rust::Vec<uint32_t>& neighbours);
Status rebuild_add_neighbour(spfresh::Rebuild& rebuild, uint32_t posting,
                             const spfresh::Chunk& chunk, Bytes live);
MadeChange rebuild_finish(spfresh::Rebuild& rebuild);
RebuildCounts rebuild_counts(const spfresh::Rebuild& rebuild);

MadeSearch search_begin(const std::shared_ptr<spfresh::Version>& version, Floats query,
                        const Request& request);
Status search_next(spfresh::Search& search, uint32_t most, rust::Vec<uint32_t>& postings);
Status search_next_likely(spfresh::Search& search, float depth, uint32_t most,
                          rust::Vec<uint32_t>& postings);
Status search_score(spfresh::Search& search, const spfresh::Chunk& chunk);
Status search_score_allowed(spfresh::Search& search, const spfresh::Chunk& chunk, uint64_t base,
                            Words words);
Status search_score_scan(spfresh::Search& search, const spfresh::Chunk& chunk, uint32_t number);
Status search_score_scan_allowed(spfresh::Search& search, const spfresh::Chunk& chunk,
                                 uint32_t number, uint64_t base, Words words);
Status search_wanted(spfresh::Search& search, rust::Vec<uint32_t>& numbers);
Status search_score_records(spfresh::Search& search, const spfresh::Chunk& chunk, uint32_t number);
Hits search_hits(const spfresh::Search& search);

uint64_t builder_sample_rows(const Options& options, uint64_t rows, uint64_t bytes);
MadeBuilder builder_begin(const Options& options, uint64_t rows, uint64_t sample_rows);
Status builder_add_sample(spfresh::Builder& builder, Floats vectors);
Status builder_start(spfresh::Builder& builder);
// Does a step of the training, its units on so many threads.
Status builder_train(spfresh::Builder& builder, uint32_t threads, bool& more);
float builder_trained(const spfresh::Builder& builder);
MadeVersion builder_version(const spfresh::Builder& builder);

MadeCalibrator calibrator_begin(const std::shared_ptr<spfresh::Version>& version);
Status calibrator_sample_postings(const spfresh::Calibrator& calibrator,
                                  rust::Vec<uint32_t>& postings);
size_t calibrator_wanted(const spfresh::Calibrator& calibrator);
Status calibrator_add_sample(spfresh::Calibrator& calibrator, const spfresh::Chunk& chunk);
Status calibrator_add_posting(spfresh::Calibrator& calibrator, uint32_t posting,
                              const spfresh::Chunk& chunk, Bytes live);
MadeVersion calibrator_finish(spfresh::Calibrator& calibrator);

MadeVerifier verifier_begin(const std::shared_ptr<spfresh::Version>& version);
Status verifier_add_chunk(spfresh::Verifier& verifier, uint32_t posting,
                          const spfresh::Chunk& chunk, Bytes live);
Status verifier_compare(spfresh::Verifier& verifier, const spfresh::Chunk& chunk, uint32_t entry,
                        Floats vector, Floats query);
Verified verifier_found(const spfresh::Verifier& verifier);

}  // namespace nearlake
