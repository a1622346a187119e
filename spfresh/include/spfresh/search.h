// One search: which postings to read next, and the best hits of what was read.
//
// Use: Begin; then Next names postings, the caller reads their chunks and hands each to Score,
// until Next names none. The stop rule (src/stop.h) looks at the hits so far, so the fewer postings
// are asked for at once, the fewer are read in vain.
//
// A chunk may be scored in two steps, so that of postings that are far away little is read: by its
// scan part alone (ScoreScan), and by its records when Wanted names it (ScoreRecords).
//
// Thread safety: none; one thread at a time. It keeps the version alive.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "spfresh/version.h"

namespace spfresh {

struct Request {
  uint32_t k = 0;
  // The share of the k nearest that the answer shall hold. 1 = all: then, and before the index was
  // calibrated, only postings that cannot hold a hit are left out.
  float recall_target = 0.95F;
  // At least this many postings are read, when there are as many.
  uint32_t probes_min = 0;
  // Rows from this one on are not seen.
  uint64_t below = 0;
};

// Which rows may be found: row base + 64 w + b is bit b of word w.
struct Allowed {
  uint64_t base = 0;
  std::span<const uint64_t> words;

  bool Contains(uint64_t row) const {
    const uint64_t offset = row - base;
    return row >= base && offset / 64 < words.size() &&
           (words[offset / 64] >> (offset % 64) & 1) != 0;
  }
};

struct Hit {
  uint64_t row;
  // As the metric's SQL operator shows it; where vectors are coded, an estimate.
  float distance;
};

class Candidates;
class CentroidOrder;
class Least;
class QueryCode;

class Search {
 public:
  // Invalid for a query of other dimensions or without a place (Version::HasPlace).
  static Status Begin(std::shared_ptr<const Version> version, std::span<const float> query,
                      const Request& request, std::unique_ptr<Search>* out);
  ~Search();

  // Appends to *postings those to read next, nearest first, at most "most". None: the answer is
  // complete.
  void Next(uint32_t most, std::vector<uint32_t>* postings);
  // The same, but only those that the answer most likely takes, as far as that can be told before
  // anything is scored: for who would rather read at once what he needs. "depth" is where the k-th
  // hit lies among all rows: k, or under a filter k over the share that may be found. Where the
  // index says nothing of it, as many as "most". None does not mean that the answer is complete.
  void NextLikely(float depth, uint32_t most, std::vector<uint32_t>* postings);

  // Scores a chunk of a posting that Next named, with its records. "allowed" is null for all rows;
  // it must be the same set at every call. Corrupt for a chunk of no posting of this version, of
  // other dimensions or other codes: here and below, whatever cannot be scored is told, since its
  // rows would be lost to the search. REQUIRES: chunk.has_records()
  Status Score(const Chunk& chunk, const Allowed* allowed);

  // Instead of Score, for a chunk without records: keeps in mind what they are wanted for, under
  // "number", which is the caller's choice. REQUIRES: no other chunk has this number.
  Status ScoreScan(const Chunk& chunk, uint32_t number, const Allowed* allowed);
  // Instead of either, for so many entries of which the caller knows that none may be found.
  void PassOver(uint32_t entries) { seen_ += entries; }
  // Whether chunks are of no use without their records.
  bool wants_all_records() const;
  // Appends the numbers of the chunks whose records are wanted next, in no order: those of the
  // entries that look nearest, and may be among the k nearest. Again until it names none: then the
  // answer is what Score would have given, but for chance.
  void Wanted(std::vector<uint32_t>* numbers);
  // The chunk of this number, with its records. Corrupt also when it is not the one that was
  // scored.
  Status ScoreRecords(const Chunk& chunk, uint32_t number);

  // The nearest rows, nearest first, ties by row; each row once. Where vectors are kept whole these
  // are k, or all that are allowed. Where they are coded, there may be some more: all that may be
  // among the k as far as their codes tell (certainly all when recall_target is 1), for exact
  // distances to decide. Never fewer than k when as many are allowed.
  std::vector<Hit> Hits() const;
  // Postings that Next named, and entries whose codes or vectors were looked at.
  uint32_t probes() const { return probes_; }
  uint64_t scanned() const { return scanned_; }
  // Entries of the postings scored or passed over so far, and of these, by count or estimate, those
  // that may be found.
  uint64_t seen() const { return seen_; }
  uint64_t visible() const { return visible_count_; }
  // Of these, where vectors are coded, those of which more than one bit for each coordinate was
  // wanted.
  uint64_t refined() const { return refined_; }

 private:
  Search(std::shared_ptr<const Version> version, const Request& request);
  // The share to be found by a search whose k-th hit lies so deep among all rows.
  float Aim(float depth) const;
  bool Done(float next2) const;
  bool LikelyDone(float next2, float depth) const;
  void Name(uint32_t most, const float* depth, std::vector<uint32_t>* postings);
  bool CameLate();
  bool CannotHold(uint32_t posting, float distance2) const;
  float KthDistance2() const;
  bool MayBeFound(uint64_t row, const Allowed* allowed) const;
  void CountVisible(const Chunk& chunk, const Allowed* allowed);
  void ScoreWhole(const Chunk& chunk, const Allowed* allowed);
  // An entry whose record was not there, and a bound of its score.
  struct Open {
    float low;
    uint32_t entry;
  };
  // What is open of a chunk, and how much had been seen with it.
  struct OpenChunk {
    uint32_t posting = 0;
    uint32_t size = 0;
    uint64_t seen = 0;
    std::vector<Open> entries;
  };
  // Notes in *open what it would have refined, where that is not null.
  void ScoreCodes(const Chunk& chunk, const Allowed* allowed, std::vector<Open>* open);

  const std::shared_ptr<const Version> version_;
  const Request request_;
  std::vector<float> query_;
  float query_norm2_ = 0;
  // Null where vectors are kept whole.
  std::unique_ptr<QueryCode> code_;
  std::unique_ptr<CentroidOrder> order_;
  float nearest2_ = 0;
  // The postings that Next named, and the distances of their centroids.
  std::vector<uint32_t> named_;
  std::vector<float> named2_;
  std::unique_ptr<Candidates> candidates_;
  // By the numbers of chunks whose records were not there, what is not refined of them.
  std::unordered_map<uint32_t, OpenChunk> open_;
  // The k least estimates by one bit, which are a first idea of the k-th score, and rather too
  // small.
  std::unique_ptr<Least> guesses_;
  // Entries that are open are refined only if their bound is no greater.
  float open_bound_ = 0;
  uint32_t probes_ = 0;
  uint64_t scanned_ = 0;
  uint64_t refined_ = 0;
  // Of the entries named so far, by count or estimate: all, and those that may be found.
  uint64_t seen_ = 0;
  uint64_t visible_count_ = 0;
  // When so many have been seen, the hits may tell again whether more are to come.
  uint64_t stop_at_ = 0;
  // What the stop rule wants, and at which depth it was last asked: mostly the same.
  struct Limits;
  std::unique_ptr<Limits> limits_;
  // Spare room for Score.
  std::vector<uint32_t> visible_;
  std::vector<float> scores_;
  std::vector<uint32_t> within_;
};

}  // namespace spfresh
