// Operations drawn at random on an index and on what it must agree with, a flat map: inserts,
// deletes, every step of upkeep, checkpoints, and crashes, between steps and within them, after
// which the index is what its last checkpoint was and gets the rows since then again.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"
#include "random.h"
#include "spfresh/distance.h"
#include "test_index.h"

namespace spfresh::test {

class Model {
 public:
  struct Case {
    Metric metric;
    uint64_t seed;
    Spill spill;
    // 32: of few dimensions, kept whole.
    uint32_t bits;
  };

  explicit Model(const Case& what)
      : random_(what.seed), options_(OptionsOf(what, &random_)), index_(options_) {
    // As long as a hundred of the other operations, and a few changes make it wanted.
    index_.CalibrateEach(16);
    last_ = index_.Checkpoint();
  }

  // Does one operation. Returns what is wrong after it, or nothing. No more than so many rows live.
  std::string Step(size_t live_max = 4000) {
    const uint64_t what = random_.Below(32);
    if (what < 12) {
      Insert(what);
      if (live_.size() > live_max) Delete(live_.size() / 2);
    } else if (what < 17) {
      Delete(random_.Below(what == 16 && random_.Below(4) == 0 ? live_.size() + 1 : 4));
    } else if (what < 20) {
      index_.Upkeep(random_.Below(4));
    } else if (what == 20) {
      index_.Sweep();
    } else if (what == 21) {
      if (random_.Below(32) == 0) index_.Calibrate();
    } else if (what < 25) {
      for (uint64_t steps = random_.Below(4); steps > 0 && index_.Tend(); --steps) {
      }
    } else if (what == 25) {
      AnyTask();
    } else if (what == 26) {
      last_ = index_.Checkpoint();
    } else if (what == 27) {
      if (random_.Below(2) == 0) BreakOff();
      if (random_.Below(4) != 0) Crash();
    } else {
      return Ask(what == 28 ? 12 : 500);
    }
    return "";
  }

  std::string Check() const {
    std::vector<uint64_t> rows;
    for (const auto& [row, vector] : live_) {
      if (!std::binary_search(index_.left_out().begin(), index_.left_out().end(), row)) {
        rows.push_back(row);
      }
    }
    return Fault(index_, rows);
  }

  TestIndex& index() { return index_; }
  const Options& options() const { return options_; }

 private:
  static Options OptionsOf(const Case& what, Random* random) {
    Options options;
    options.metric = what.metric;
    const bool whole = what.bits == kWholeBits;
    options.dims =
        static_cast<uint32_t>(whole ? 1 + random->Below(9) : kCodedDims + random->Below(40));
    if (!whole) options.code_bits = what.bits;
    options.posting_target = 16;
    options.posting_max = 32;
    options.posting_min = 4;
    options.spill = what.spill;
    options.seed = what.seed;
    return options;
  }

  // On a grid, so that vectors are equal now and then, and moving, so that centroids must follow.
  std::vector<float> Draw() {
    std::vector<float> vector(options_.dims);
    for (float& x : vector) x = std::round((random_.Unit() * 2 - 1) * 8) / 4 + 0.1F + shift_;
    return vector;
  }

  void Insert(uint64_t what) {
    if (random_.Below(20) == 0) shift_ = (random_.Unit() * 2 - 1) * 3;
    std::vector<float> batch;
    const uint64_t count = 1 + random_.Below(what == 0 ? 90 : 6);
    const std::vector<float> same = Draw();
    const bool all_same = random_.Below(8) == 0;
    for (uint64_t i = 0; i < count; ++i) {
      const std::vector<float> vector = all_same ? same : Draw();
      batch.insert(batch.end(), vector.begin(), vector.end());
      live_[next_row_ + i] = vector;
    }
    index_.Insert(next_row_, batch.data(), count);
    next_row_ += count;
  }

  void Delete(uint64_t count) {
    for (; count > 0 && !live_.empty(); --count) {
      // One of chance: the first from a row of chance on.
      const uint64_t first = live_.begin()->first;
      auto victim = live_.lower_bound(first + random_.Below(next_row_ - first));
      if (victim == live_.end()) victim = live_.begin();
      index_.Delete(victim->first);
      live_.erase(victim);
    }
  }

  // A task that gets no further than its chunks, its plan, or a change that nobody takes.
  void BreakOff() { AnyTask(static_cast<TestIndex::Reach>(random_.Below(3))); }

  // Any task on any posting, asked for or not.
  void AnyTask(TestIndex::Reach reach = TestIndex::Reach::kTaken) {
    const Version& version = index_.version();
    if (version.postings() == 0) return;
    auto id = static_cast<uint32_t>(random_.Below(version.capacity()));
    while (version.posting(id) == nullptr) id = (id + 1) % version.capacity();
    std::unique_ptr<Rebuild> rebuild;
    const uint64_t task = random_.Below(3);
    Must(task == 0   ? Rebuild::Begin(index_.shared(), id, &rebuild)
         : task == 1 ? Rebuild::Refine(index_.shared(), id, &rebuild)
                     : Rebuild::Scrub(index_.shared(), id, &rebuild));
    index_.Run(rebuild.get(), reach);
  }

  void Crash() {
    index_.Open(last_);
    for (auto row = live_.lower_bound(last_.watermark); row != live_.end(); ++row) {
      index_.Insert(row->first, row->second.data(), 1);
    }
    index_.SetWatermark(next_row_);
  }

  // Nothing is lost, nothing dead or doubled is found, and with recall 1 the answer is exact.
  std::string Ask(uint64_t k_end) {
    const std::vector<float> query = Draw();
    const uint32_t dims = options_.dims;
    const auto kind = static_cast<SqlDistance>(options_.metric);
    const auto k = static_cast<uint32_t>(random_.Below(k_end));
    std::vector<uint64_t> words(next_row_ / 64 + 1);
    const uint64_t keep = 1 + random_.Below(4);
    const uint64_t below = random_.Below(4) == 0 ? random_.Below(next_row_ + 1) : next_row_;
    std::vector<std::pair<double, uint64_t>> truth;
    for (const auto& [row, vector] : live_) {
      if (row % keep != 0) continue;
      words[row / 64] |= uint64_t{1} << (row % 64);
      if (row >= below) continue;
      double distance;
      Distances(kind, query.data(), {vector.data(), 1, dims, dims}, {&distance, 1});
      truth.push_back({distance, row});
    }
    std::sort(truth.begin(), truth.end());
    const Allowed allowed{0, words};
    const size_t wanted = std::min<size_t>(k, truth.size());
    for (const float target : {1.0F, 0.7F}) {
      std::vector<Hit> hits = index_.Search(query.data(), {k, target, 0, below}, &allowed);
      std::ostringstream wrong;
      wrong << "target " << target << ", k " << k << ": ";
      const bool whole = options_.record_bits() == kWholeBits;
      if (hits.size() < wanted || (whole && hits.size() > wanted)) {
        wrong << hits.size() << " hits instead of " << wanted;
        return wrong.str();
      }
      std::map<uint64_t, int> once;
      for (Hit& hit : hits) {
        const auto found = live_.find(hit.row);
        if (found == live_.end() || !allowed.Contains(hit.row) || hit.row >= below) {
          wrong << "row " << hit.row << " may not be found";
          return wrong.str();
        }
        if (++once[hit.row] > 1) {
          wrong << "row " << hit.row << " is found twice";
          return wrong.str();
        }
        double distance;
        Distances(kind, query.data(), {found->second.data(), 1, dims, dims}, {&distance, 1});
        hit.distance = static_cast<float>(distance);
      }
      if (target < 1) continue;
      std::sort(hits.begin(), hits.end(),
                [](const Hit& a, const Hit& b) { return a.distance < b.distance; });
      for (size_t i = 0; i < wanted; ++i) {
        const auto off = std::fabs(static_cast<double>(hits[i].distance) - truth[i].first);
        if (off > 1e-4 * (1 + std::fabs(truth[i].first))) {
          wrong << "hit " << i << " is at " << hits[i].distance << " instead of " << truth[i].first;
          return wrong.str();
        }
      }
    }
    return "";
  }

  Random random_;
  const Options options_;
  TestIndex index_;
  TestIndex::Image last_;
  std::map<uint64_t, std::vector<float>> live_;
  uint64_t next_row_ = 0;
  float shift_ = 0;
};

}  // namespace spfresh::test
