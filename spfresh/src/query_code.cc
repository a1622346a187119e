#include "query_code.h"

#include <algorithm>
#include <cmath>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// What rounding may add to a score, as a share of its parts.
constexpr float kRounding = 1e-6F;
// Errors of a lookup's 8 bits are independent and add up to about this many standard deviations.
constexpr float kTableDeviations = 3;
constexpr float kRefineDeviations = 3;
// Coordinates below this do not count: what is divided by them might not be finite.
constexpr float kNothing = 1e-30F;

// An entry is lost when its score is worse in the estimate than it is by so many deviations and it
// is one of the nearest by so little. Few are, of the miss that the target allows.
float DeviationsFor(float recall_target) {
  const float miss = std::clamp(1 - recall_target, 1e-4F, 0.5F);
  return 1.5F + 0.35F * -std::log10(miss);
}

}  // namespace

QueryCode::QueryCode(const Codec& codec, Metric metric, const float* place, float recall_target)
    : codec_(codec),
      is_product_(metric == Metric::kInnerProduct),
      certain_(recall_target >= 1),
      scan_deviations_(DeviationsFor(recall_target)),
      place_(place),
      stride_(codec.stride()),
      steps_(InSteps(place, stride_, certain_ ? StepBits::k16 : StepBits::k8)) {
  const auto dims = static_cast<float>(stride_);
  const float factor = is_product_ ? 1.0F : 2.0F;
  refine_share_ = factor * kRefineDeviations / std::sqrt(dims);
  // Each coordinate in steps is off by half of one at most, and by chance by the root of a twelfth.
  stepped_share_ = certain_ ? steps_.step * codec_.centre() * dims / 2
                            : factor * kRefineDeviations * steps_.step / std::sqrt(12.0F);
  Dot(place, {place, 1, stride_, stride_}, &norm_);
  norm_ = std::sqrt(norm_);
  if (certain_) return;

  // One step for all tables, so that their entries may be summed.
  const size_t lookups = stride_ / kLookupDims;
  const float widest = WidestLookup(place, stride_);
  step_ = widest / 255;
  const float steps_per_unit = widest > kNothing ? 255 / widest : 0.0F;
  table_.resize(lookups * kLookupBytes);
  const TableSums sums = FillTable(place, stride_, steps_per_unit, table_.data());
  lows_ = sums.low;
  sum_ = sums.abs + 2 * sums.low;
  most_ = sums.abs / 2;
}

QueryCode::Beside QueryCode::PlaceBeside(const float* centroid, float radius) const {
  float value;
  if (is_product_) {
    Dot(place_, {centroid, 1, stride_, stride_}, &value);
    return {-value, norm_, radius};
  }
  L2Squared(place_, {centroid, 1, stride_, stride_}, &value);
  return Beside::At(value, radius);
}

void QueryCode::Scan(const Beside& beside, const Chunk::Scan& scan, float bound, float* low,
                     uint32_t* within) const {
  ScanWithin(scan_deviations_, beside, scan, bound, low, within);
}

float QueryCode::Unsure(float deviations, const Beside& beside, const Chunk::Scan& scan) const {
  // RaBitQ's bound: the estimate of <q - c, r> is off like a normal of deviation
  //   |q - c| * |s y| * sqrt(1 - a^2) / sqrt(dims),
  // and |s y| / sqrt(dims) is the scale, which rescale holds twice or four times.
  const float unsure = deviations * beside.reach * scan.spread / 2;
  const auto lookups = static_cast<float>(stride_ / kLookupDims);
  return unsure + kTableDeviations * step_ * std::sqrt(lookups / 12);
}

float QueryCode::Slack(const Chunk::Scan& scan) const { return -scan.rescale_step / 2 * most_; }

QueryCode::Widths QueryCode::WidthsOf(const Beside& beside, const Chunk::Scan& scan) const {
  return {scan, Unsure(scan_deviations_, beside, scan), Slack(scan)};
}

void QueryCode::ScanWithin(float deviations, const Beside& beside, const Chunk::Scan& scan,
                           float bound, float* low, uint32_t* within) const {
  const float offset = lows_ - sum_ / 2 + Unsure(deviations, beside, scan);
  const ScanLine line{beside.base + scan.add_low - Slack(scan), scan.add_step,
                      scan.rescale_step * step_, scan.rescale_step * offset};
  FastScan({table_.data(), stride_}, line, scan.blocks, scan.planes, scan.add, scan.rescale, bound,
           low, within);
}

Estimate QueryCode::Refine(const Beside& beside, const Record& record) const {
  return EstimateOf(beside, record,
                    codec_.bits() == 8 ? DotBytes(steps_, record.code, stride_, 255)
                                       : DotNibbles(steps_, record.code, stride_, 15));
}

QueryCode::Refiner QueryCode::RefinerOf(const Beside& beside, const Chunk& chunk) const {
  const EstimateLine line{beside.base, steps_.step / 2, 255 * static_cast<int32_t>(steps_.sum),
                          beside.reach * refine_share_, beside.radius * stepped_share_};
  return {*this, beside, line, chunk.records()};
}

void QueryCode::Refiner::Four(const uint32_t* entries, float* scores, float* errors) const {
  if (code.codec_.bits() == 8) {
    EstimateFour(code.steps_, code.stride_, line, records, entries, scores, errors);
    return;
  }
  for (size_t i = 0; i < 4; ++i) {
    const Estimate estimate = One(entries[i]);
    scores[i] = estimate.score;
    errors[i] = estimate.error;
  }
}

Estimate QueryCode::EstimateOf(const Beside& beside, const Record& record, float dot) const {
  const Factors f = Codec::FactorsOf(record);
  const float score = beside.base + f.add + f.rescale * dot;
  if (!certain_) {
    // Independent of each other.
    return {score,
            std::hypot(beside.reach * refine_share_ * f.error, beside.radius * stepped_share_)};
  }
  // |q - c| |e|, or with what earlier codes lost: | |q - x|^2 - |q - x'|^2 | <= e (2 |q - x'| + e).
  const float rounding = std::fabs(f.rescale) * stepped_share_ +
                         kRounding * (std::fabs(beside.base) + std::fabs(f.add) +
                                      std::fabs(f.rescale) * codec_.centre() * norm_ *
                                          std::sqrt(static_cast<float>(stride_)));
  if (is_product_) return {score, beside.reach * f.error + rounding};
  return {score, f.error * (2 * (beside.reach + beside.radius) + f.error) + rounding};
}

}  // namespace spfresh
