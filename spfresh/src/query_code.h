// A query, made ready to be compared with codes: one lookup table for all postings. That one
// suffices although codes are relative to their centroids: <q - c, y> = <q, y> - <c, y>, and the
// second part depends on the entry alone and lies in its factors.
//
// Thread safety: const methods may run concurrently.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "code_kernels.h"
#include "codec.h"
#include "spfresh/chunk.h"

namespace spfresh {

// A score (d^2, or the negative inner product) that is off by at most "error".
struct Estimate {
  float score;
  float error;
};

class QueryCode {
 public:
  // How sure errors are: for a search with a recall target, as sure as that asks for; for an exact
  // one, certain.
  QueryCode(const Codec& codec, Metric metric, const float* place, float recall_target);

  // A query beside one posting.
  struct Beside {
    // |q - c|^2, or -q.c.
    float base;
    // The length by which an error of a residual is multiplied: |q - c|, or |q|.
    float reach;
    float radius;

    // Of a squared distance that is known.
    static Beside At(float distance2, float radius) {
      return {distance2, std::sqrt(distance2), radius};
    }
  };
  Beside PlaceBeside(const float* centroid, float radius) const;

  // By the codes of one bit: low[i] is a lower bound of the score of entry i, for blocks * 32
  // entries, and bit i % 32 of within[i / 32] tells whether it is at most "bound". True for almost
  // all: of a thousand entries that matter some are taken for farther than they are, fewer the
  // higher the recall target. REQUIRES: !certain()
  void Scan(const Beside& beside, const Chunk::Scan& scan, float bound, float* low,
            uint32_t* within) const;
  // The same with bounds of so many standard deviations.
  void ScanWithin(float deviations, const Beside& beside, const Chunk::Scan& scan, float bound,
                  float* low, uint32_t* within) const;

  // By how much the lower bounds of Scan lie below the estimates, each by a share of its own: bound
  // + width(i) is the estimate of entry i, bound + 2 width(i) an upper bound as sure as the lower.
  class Widths {
   public:
    Widths(const Chunk::Scan& scan, float unsure, float slack)
        : scan_(scan), unsure_(unsure), slack_(slack) {}
    float operator()(uint32_t i) const {
      return -scan_.rescale_step * static_cast<float>(scan_.rescale[i]) * unsure_ + scan_.add_step +
             slack_;
    }

   private:
    const Chunk::Scan& scan_;
    float unsure_;
    float slack_;
  };
  Widths WidthsOf(const Beside& beside, const Chunk::Scan& scan) const;

  // By the whole code.
  Estimate Refine(const Beside& beside, const Record& record) const;
  // The same for entries of a chunk, which must outlive it, as the query must.
  struct Refiner {
    Estimate One(uint32_t entry) const { return code.Refine(beside, records[entry]); }
    // At once, which takes half the time of one after the other. REQUIRES: !certain()
    void Four(const uint32_t* entries, float* scores, float* errors) const;

    const QueryCode& code;
    const Beside beside;
    const EstimateLine line;
    const Records& records;
  };
  Refiner RefinerOf(const Beside& beside, const Chunk& chunk) const;

  // Whether errors are to be certain. One bit is of no use then, and all is refined.
  bool certain() const { return certain_; }

 private:
  Estimate EstimateOf(const Beside& beside, const Record& record, float dot) const;
  // What a scan's sums may be off by, times an entry's rescale; and what the rounding of rescale
  // is.
  float Unsure(float deviations, const Beside& beside, const Chunk::Scan& scan) const;
  float Slack(const Chunk::Scan& scan) const;

  const Codec& codec_;
  const bool is_product_;
  const bool certain_;
  // Standard deviations that errors of a scan are taken for.
  float scan_deviations_;
  const float* place_;
  size_t stride_;
  // For Refine: the place in steps, what an estimate's error is of a record's, and what it is
  // because of the steps: of the length of its residual, or if errors are to be certain of its
  // rescale.
  SteppedQuery steps_;
  float refine_share_ = 0;
  float stepped_share_ = 0;
  float norm_;
  // Of a lookup's table: value = low + step * entry.
  std::vector<uint8_t> table_;
  float step_ = 0;
  float lows_ = 0;
  // Of the coordinates.
  float sum_ = 0;
  // Half the sum of the coordinates' sizes: no sum that a scan makes is farther from its middle.
  float most_ = 0;
};

}  // namespace spfresh
