#include "spfresh/version.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "assign.h"
#include "cluster.h"
#include "drift.h"
#include "entries.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// A posting of which one in so many is new to refinements is reason enough for one.
constexpr uint32_t kUnrefinedPart = 4;

// The vectors of an insert that have a place, with their rows.
struct Placed {
  std::vector<uint64_t> rows;
  std::vector<float> vectors;
};

Placed PlaceAll(const Space& space, std::span<const uint64_t> rows, std::span<const float> vectors,
                std::vector<uint64_t>* left_out) {
  Placed placed;
  placed.rows.reserve(rows.size());
  placed.vectors.resize(rows.size() * space.stride());
  float* to = placed.vectors.data();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (space.Place(vectors.data() + i * space.dims(), to)) {
      placed.rows.push_back(rows[i]);
      to += space.stride();
    } else {
      left_out->push_back(rows[i]);
    }
  }
  placed.vectors.resize(placed.rows.size() * space.stride());
  return placed;
}

// Whether re-centring is worth a look. A look that moves nothing counts as one, so that it comes to
// an end: what is asked here is also how much came since.
bool MayHaveDrifted(const Posting& p) {
  if (p.added <= 16) return false;
  if (p.added * 2 > p.primaries) return true;
  return p.added * 8 > p.primaries && DriftShare2(p) > kDrift * kDrift;
}

}  // namespace

Version::Version(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Version::~Version() = default;

const Options& Version::options() const { return state_->options; }
uint32_t Version::stride() const { return state_->space.stride(); }
uint32_t Version::postings() const { return state_->centroids.count(); }
uint32_t Version::capacity() const { return state_->centroids.capacity(); }
uint64_t Version::entries() const { return state_->entries; }
uint64_t Version::calibrated_entries() const { return state_->stop.entries(); }

const Posting* Version::posting(uint32_t id) const {
  return state_->centroids.in_use(id) ? &state_->centroids.posting(id) : nullptr;
}

std::vector<float> Version::centroid(uint32_t id) const { return state_->centroids.centroid(id); }

bool Version::HasPlace(std::span<const float> vector) const {
  std::vector<float> place(stride());
  return state_->space.Place(vector.data(), place.data());
}

bool Version::WantsCalibration() const {
  // A handful of postings is searched by the bound alone at no great cost.
  if (postings() < 8) return false;
  return !state_->stop.Suits(entries()) || state_->changed * 20 > entries();
}

Status Version::Empty(const Options& options, std::shared_ptr<const Version>* out) {
  if (Status status = options.Check(); !status.ok()) return status;
  *out = Seal(State(options));
  return {};
}

Status Version::Insert(std::span<const uint64_t> rows, std::span<const float> vectors,
                       Change* out) const {
  if (vectors.size() != rows.size() * options().dims) {
    return Status::Internal("an insert of " + std::to_string(rows.size()) + " rows has " +
                            std::to_string(vectors.size()) + " floats");
  }
  Change change;
  State next = *state_;
  if (next.centroids.count() == 0) {
    const Rows given{vectors.data(), rows.size(), options().dims, options().dims};
    next.space = Space(options(), Space::NormBound(options(), given));
  }
  const Placed placed = PlaceAll(next.space, rows, vectors, &change.left_out);
  const uint32_t stride = next.space.stride();
  if (!placed.rows.empty()) {
    if (next.centroids.count() == 0) {
      const std::vector<float> mean = MeanOf(placed.vectors, stride);
      if (next.centroids.capacity() == 0) next.centroids.SetOrigin(mean.data());
      next.centroids.Add(mean.data());
      next.centroids.Encode();
    }
    std::vector<Assignment> assignments;
    Assign(next.centroids, placed.vectors.data(), placed.rows.size(), SpillRule::Of(options()),
           &assignments);

    // By posting, then in the order given.
    struct Entry {
      uint32_t posting;
      uint32_t at;
      uint64_t mark;
    };
    std::vector<Entry> entries;
    entries.reserve(2 * placed.rows.size());
    for (uint32_t i = 0; i < placed.rows.size(); ++i) {
      const Assignment& to = assignments[i];
      Posting& primary = next.centroids.Change(to.primary);
      primary.radius = std::max(primary.radius, std::sqrt(to.primary_distance2));
      ++primary.primaries;
      ++primary.added;
      ++primary.unrefined;
      ++primary.entries;
      const bool alone = options().spill != Spill::kNone && to.spill == kNowhere;
      entries.push_back({to.primary, i, alone ? kAlone : 0});
      if (to.spill == kNowhere) continue;
      Posting& spill = next.centroids.Change(to.spill);
      spill.radius = std::max(spill.radius, std::sqrt(to.spill_distance2));
      ++spill.entries;
      entries.push_back({to.spill, i, kSpilled});
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return a.posting < b.posting; });
    std::vector<uint64_t> words;
    std::vector<float> gathered;
    std::vector<float> centroid(stride);
    for (size_t from = 0; from < entries.size();) {
      words.clear();
      gathered.clear();
      const uint32_t id = entries[from].posting;
      next.centroids.Read(id, centroid.data());
      // Summed up by themselves first: it is the same then whether slices come in a row or merge.
      Posting sums;
      size_t to = from;
      for (; to < entries.size() && entries[to].posting == id; ++to) {
        const auto [posting, at, mark] = entries[to];
        words.push_back(placed.rows[at] | mark);
        const float* vector = placed.vectors.data() + size_t{at} * stride;
        gathered.insert(gathered.end(), vector, vector + stride);
        if (IsSpilled(mark)) continue;
        CountIn(vector, centroid.data(), stride, assignments[at].primary_distance2, &sums);
      }
      AddSums(sums, &next.centroids.Change(id));
      change.postings.push_back(
          {id, PostingChange::Kind::kAppend,
           EncodeChunk(next.codec, id, centroid.data(), words, gathered.data())});
      from = to;
    }
    next.entries += entries.size();
    next.merge_credit += placed.rows.size();
    next.changed += entries.size();
  }
  change.version = Seal(std::move(next));
  *out = std::move(change);
  return {};
}

Status Version::Merge(const Version& base, const Version& sibling,
                      std::shared_ptr<const Version>* out) const {
  const Centroids& before = base.state().centroids;
  const Centroids& after = sibling.state().centroids;
  State next = *state_;
  if (before.count() == 0 || before.count() != after.count() ||
      before.count() != next.centroids.count() || before.capacity() != after.capacity() ||
      before.capacity() != next.centroids.capacity()) {
    return Status::Internal("versions of other centroids do not merge");
  }
  for (uint32_t id = 0; id < before.capacity(); ++id) {
    const Posting& from = before.posting(id);
    const Posting& to = after.posting(id);
    if (to.entries == from.entries) continue;
    Posting& posting = next.centroids.Change(id);
    posting.entries += to.entries - from.entries;
    posting.primaries += to.primaries - from.primaries;
    posting.added += to.added - from.added;
    posting.unrefined += to.unrefined - from.unrefined;
    posting.radius = std::max(posting.radius, to.radius);
    posting.spread += to.spread - from.spread;
    for (size_t i = 0; i < posting.shift.size(); ++i) {
      posting.shift[i] += to.shift[i] - from.shift[i];
    }
  }
  next.entries += sibling.state().entries - base.state().entries;
  next.merge_credit += sibling.state().merge_credit - base.state().merge_credit;
  next.changed += sibling.state().changed - base.state().changed;
  *out = Seal(std::move(next));
  return {};
}

std::shared_ptr<const Version> Version::Loaded() const {
  State next = *state_;
  for (uint32_t id = 0; id < next.centroids.capacity(); ++id) {
    if (!next.centroids.in_use(id)) continue;
    if (next.centroids.posting(id).entries == 0) {
      next.centroids.Remove(id);
      continue;
    }
    Posting& posting = next.centroids.Change(id);
    posting.added = posting.unrefined = 0;
    // Few vectors apart from all others are best left there: merged, they lie far from where a
    // search looks for them (probes for .99 on hard embeddings: 200, with such mergers 580).
    if (posting.entries < next.options.posting_min) posting.stuck = posting.entries;
  }
  return Seal(std::move(next));
}

Work Version::NextWork(uint32_t* posting) const {
  const Centroids& centroids = state_->centroids;
  Work work = Work::kNone;
  uint32_t most = options().posting_max;
  const bool may_merge = centroids.count() > 1 && state_->merge_credit >= state_->merge_price();
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    const Posting& p = centroids.posting(id);
    if (!p.in_use) continue;
    // A posting of equal vectors is tried again when it has doubled.
    if (p.entries > most && p.entries >= 2 * p.stuck) {
      most = p.entries;
      work = Work::kSplit;
      *posting = id;
    } else if (work == Work::kNone && may_merge && p.entries < options().posting_min &&
               p.entries != p.stuck) {
      work = Work::kMerge;
      *posting = id;
    } else if (work == Work::kNone && MayHaveDrifted(p)) {
      work = Work::kRecentre;
      *posting = id;
    }
  }
  return work;
}

// What a refinement would have to do here: the squared distance that is owed to primaries that none
// has seen. At least so great a part of the posting must be of them.
bool Version::NextRefine(uint32_t* posting) const {
  const Centroids& centroids = state_->centroids;
  if (centroids.count() < 2) return false;
  float most = 0;
  for (uint32_t id = 0; id < centroids.capacity(); ++id) {
    const Posting& p = centroids.posting(id);
    if (!p.in_use || p.unrefined * kUnrefinedPart < p.primaries) continue;
    const float owed =
        p.spread * static_cast<float>(p.unrefined) / static_cast<float>(std::max(1U, p.primaries));
    if (owed > most) {
      most = owed;
      *posting = id;
    }
  }
  return most > 0;
}

bool Version::NextScrub(uint32_t* posting) const {
  const Centroids& centroids = state_->centroids;
  if (centroids.count() < 2) return false;
  const auto next = [&](uint32_t from) {
    while (from < centroids.capacity() && !centroids.in_use(from)) ++from;
    *posting = from;
    return from < centroids.capacity();
  };
  return next(state_->scrub_from) || (state_->scrub_again && next(0));
}

std::shared_ptr<const Version> Version::State::Scrubbed(uint32_t posting) const {
  State next = *this;
  // Whoever comes again before where we were has begun another round.
  if (posting < scrub_from) next.scrub_again = false;
  next.scrub_from = posting + 1;
  return Seal(std::move(next));
}

}  // namespace spfresh
