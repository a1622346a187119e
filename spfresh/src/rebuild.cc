#include "spfresh/rebuild.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <string>
#include <unordered_map>

#include "assign.h"
#include "cluster.h"
#include "entries.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

constexpr uint32_t kPartsMax = 16;
constexpr uint32_t kRounds = 10;
// A centroid that is off by less than this share of the mean distance of its members stays: moving
// it would cost reading its neighbours and change hardly an assignment.
constexpr float kDrift = 0.1F;
// A second copy is moved when that makes its loss smaller than this share of what it was.
constexpr float kWorthMoving = 0.9F;

float Distance2(const float* a, const float* b, size_t stride) {
  float distance2;
  L2Squared(a, {b, 1, stride, stride}, &distance2);
  return distance2;
}

}  // namespace

struct Rebuild::Neighbour {
  uint32_t posting;
  Entries members;
  bool changed = false;
  bool added = false;
  uint64_t dead = 0;
};

Rebuild::Rebuild(std::shared_ptr<const Version> version, uint32_t posting)
    : version_(std::move(version)),
      posting_(posting),
      own_(std::make_unique<Entries>(version_->state().codec)) {}

Rebuild::~Rebuild() = default;

Status Rebuild::Begin(std::shared_ptr<const Version> version, uint32_t posting,
                      std::unique_ptr<Rebuild>* out) {
  if (version->posting(posting) == nullptr) {
    return Status::Internal("posting " + std::to_string(posting) + " is not in use");
  }
  out->reset(new Rebuild(std::move(version), posting));
  return {};
}

Status Rebuild::AddOwn(const Chunk& chunk, std::span<const uint8_t> live) {
  const Version::State& state = version_->state();
  if (chunk.kind() != state.KindOf(posting_) || live.size() != chunk.size()) {
    return Status::Internal("a chunk does not fit the rebuild of posting " +
                            std::to_string(posting_));
  }
  counts_.dropped += own_->AddLive(chunk, state.centroids.centroid(posting_).data(), live);
  return {};
}

Status Rebuild::Plan(std::vector<uint32_t>* neighbours) {
  const Version::State& state = version_->state();
  const Options& options = state.options;
  const uint32_t stride = version_->stride();
  const std::vector<float> old_row = state.centroids.centroid(posting_);
  const float* old = old_row.data();
  neighbours->clear();
  own_->DropSecondCopies();

  const size_t live = own_->size();
  const bool alone = state.centroids.count() == 1;
  if (live == 0) return {};
  if (live < options.posting_min && !alone) {
    if (Mergeable()) return {};
    stuck_ = true;
  }

  const Vectors vectors{own_->vectors(), live, stride};
  if (live > options.posting_max) {
    const auto parts = static_cast<uint32_t>(std::clamp<size_t>(
        (live + options.posting_target / 2) / options.posting_target, 2, kPartsMax));
    Random random(options.seed ^ (uint64_t{posting_} << 32) ^ state.entries);
    std::vector<uint32_t> ignored;
    centroids_ = KMeans(vectors, {}, parts, kRounds, &random, &ignored);
    stuck_ = centroids_.size() == stride;
    moved_ = !stuck_;
  }
  if (!moved_) {
    // Of the primaries: spilled copies lie at the rim by their nature.
    std::vector<double> sum(stride);
    double spread = 0;
    size_t primaries = 0;
    for (size_t i = 0; i < live; ++i) {
      if (IsSpilled(own_->word(i))) continue;
      ++primaries;
      for (uint32_t j = 0; j < stride; ++j) sum[j] += static_cast<double>(own_->vector(i)[j]);
      spread += static_cast<double>(Distance2(old, own_->vector(i), stride));
    }
    centroids_.assign(old, old + stride);
    if (primaries > 0) {
      std::vector<float> mean(stride);
      const auto n = static_cast<double>(primaries);
      for (uint32_t j = 0; j < stride; ++j) mean[j] = static_cast<float>(sum[j] / n);
      const float drift2 = Distance2(old, mean.data(), stride);
      moved_ = drift2 > kDrift * kDrift * static_cast<float>(spread / n);
      if (moved_) centroids_ = std::move(mean);
    }
  }
  // Checked against what they will be when they are kept.
  for (size_t c = 0; c < centroids_.size(); c += stride) {
    state.centroids.Round(centroids_.data() + c);
  }
  if (!moved_ || alone) return {};

  // A member v of B can prefer a new centroid A only if |v-A| < |v-B| <= r_B, so |A-B| < 2 r_B.
  struct Reach {
    float distance2;
    uint32_t posting;
  };
  std::vector<Reach> reach;
  for (uint32_t id = 0; id < state.centroids.capacity(); ++id) {
    const Posting& posting = state.centroids.posting(id);
    if (!posting.in_use || id == posting_ || posting.primaries == 0) continue;
    float nearest2 = std::numeric_limits<float>::infinity();
    for (size_t c = 0; c < centroids_.size(); c += stride) {
      nearest2 = std::min(
          nearest2, Distance2(centroids_.data() + c, state.centroids.centroid(id).data(), stride));
    }
    if (nearest2 < 4 * posting.radius * posting.radius) reach.push_back({nearest2, id});
  }
  const size_t most = std::min<size_t>(kNeighboursMax, reach.size());
  std::partial_sort(reach.begin(), reach.begin() + static_cast<ptrdiff_t>(most), reach.end(),
                    [](const Reach& a, const Reach& b) {
                      return a.distance2 < b.distance2 ||
                             (a.distance2 == b.distance2 && a.posting < b.posting);
                    });
  for (size_t i = 0; i < most; ++i) {
    neighbours->push_back(reach[i].posting);
    neighbours_.push_back({reach[i].posting, Entries(state.codec)});
  }
  return {};
}

// A merge that fills another posting near to its maximum would come back as a split, for ever.
bool Rebuild::Mergeable() const {
  const Version::State& state = version_->state();
  Centroids others = state.centroids;
  others.Remove(posting_);
  others.Encode();
  std::vector<Assignment> assignments;
  Assign(others, own_->vectors(), own_->size(), state.options.spill ? Spill::kYes : Spill::kNo,
         state.options.spill_lambda, &assignments);
  const uint32_t most = (state.options.posting_max + state.options.posting_target) / 2;
  std::unordered_map<uint32_t, uint32_t> arrivals;
  const auto is_full = [&](uint32_t id) {
    return id != kNowhere && others.posting(id).entries + ++arrivals[id] > most;
  };
  return std::none_of(assignments.begin(), assignments.end(), [&](const Assignment& to) {
    return is_full(to.primary) || is_full(to.spill);
  });
}

Status Rebuild::AddNeighbour(uint32_t posting, const Chunk& chunk, std::span<const uint8_t> live) {
  const auto found =
      std::find_if(neighbours_.begin(), neighbours_.end(),
                   [&](const Neighbour& neighbour) { return neighbour.posting == posting; });
  const Version::State& state = version_->state();
  if (found == neighbours_.end() || chunk.kind() != state.KindOf(posting) ||
      live.size() != chunk.size()) {
    return Status::Internal("a chunk does not fit the rebuild of posting " +
                            std::to_string(posting_));
  }
  found->added = true;
  found->dead += found->members.AddLive(chunk, state.centroids.centroid(posting).data(), live);
  return {};
}

Status Rebuild::Finish(Change* out) {
  const Version::State& state = version_->state();
  const uint32_t stride = version_->stride();
  const std::vector<float> old = state.centroids.centroid(posting_);
  for (const Neighbour& neighbour : neighbours_) {
    if (!neighbour.added && state.centroids.posting(neighbour.posting).entries > 0) {
      return Status::Internal("posting " + std::to_string(neighbour.posting) +
                              " was not handed to the rebuild of its neighbour");
    }
  }

  // 1. The new centroids: the first takes the old one's id.
  Version::State next = state;
  std::vector<uint32_t> ids;
  if (centroids_.empty()) {
    next.merge_credit -= std::min(next.merge_credit, next.merge_price());
    next.centroids.Remove(posting_);
  } else {
    if (moved_) next.centroids.Move(posting_, centroids_.data());
    ids.push_back(posting_);
    for (size_t c = stride; c < centroids_.size(); c += stride) {
      ids.push_back(next.centroids.Add(centroids_.data() + c));
    }
  }

  next.centroids.Encode();

  // 2. Who must look for a place among all centroids: own first copies, whose second copy depends
  // on
  //    it (of them, condition 1 says, only those nearer to the old centroid than to a new one can
  //    leave), and first copies of neighbours by condition 2. The others go to the nearest part.
  struct Settler {
    size_t group;  // kOwn, or the number of a neighbour.
    size_t entry;
  };
  constexpr size_t kOwn = std::numeric_limits<size_t>::max();
  std::vector<Settler> settlers;
  Entries settling(state.codec);
  const bool stays_put = !moved_ && !ids.empty();
  for (size_t i = 0; i < own_->size(); ++i) {
    const bool looks = IsSpilled(own_->word(i)) ? ids.empty()
                       : stays_put              ? IsAlone(own_->word(i))
                                                : true;
    if (!looks) continue;
    settlers.push_back({kOwn, i});
    settling.Add(*own_, i, own_->word(i));
  }
  for (size_t n = 0; n < neighbours_.size(); ++n) {
    const Neighbour& neighbour = neighbours_[n];
    const std::vector<float> centroid = state.centroids.centroid(neighbour.posting);
    const size_t count = neighbour.members.size();
    std::vector<float> to_own(count), to_old(count), to_new(count), to_one(count);
    const Rows rows{neighbour.members.vectors(), count, stride, stride};
    L2Squared(centroid.data(), rows, to_own.data());
    L2Squared(old.data(), rows, to_old.data());
    std::fill(to_new.begin(), to_new.end(), std::numeric_limits<float>::infinity());
    for (size_t c = 0; c < centroids_.size(); c += stride) {
      L2Squared(centroids_.data() + c, rows, to_one.data());
      for (size_t i = 0; i < count; ++i) to_new[i] = std::min(to_new[i], to_one[i]);
    }
    counts_.checked += count;
    for (size_t i = 0; i < count; ++i) {
      if (IsSpilled(neighbour.members.word(i))) continue;
      if (!(to_new[i] < to_old[i] && to_new[i] < to_own[i])) continue;
      settlers.push_back({n, i});
      settling.Add(neighbour.members, i, neighbour.members.word(i));
    }
  }
  std::vector<Assignment> places;
  if (settling.size() > 0 && next.centroids.count() > 0) {
    Assign(next.centroids, settling.vectors(), settling.size(),
           state.options.spill ? Spill::kYes : Spill::kNo, state.options.spill_lambda, &places);
  }

  // 3. First copies move. What leaves a neighbour is noted, what arrives anywhere is gathered.
  std::vector<Entries> parts(ids.size(), Entries(state.codec));
  std::unordered_map<uint32_t, Entries> arrivals;
  const auto arrive = [&](uint32_t posting, uint64_t word, size_t settler) {
    const auto part = std::find(ids.begin(), ids.end(), posting);
    if (part != ids.end()) {
      parts[static_cast<size_t>(part - ids.begin())].Add(settling, settler, word);
    } else {
      arrivals.try_emplace(posting, state.codec).first->second.Add(settling, settler, word);
    }
  };
  std::vector<bool> own_left(own_->size());
  std::vector<std::vector<bool>> left(neighbours_.size());
  for (size_t n = 0; n < neighbours_.size(); ++n) left[n].resize(neighbours_[n].members.size());
  const auto leave = [&](const Settler& from) {
    if (from.group == kOwn) {
      own_left[from.entry] = true;
    } else {
      left[from.group][from.entry] = true;
      neighbours_[from.group].changed = true;
    }
  };
  // Where second copies are known to be, by row.
  std::unordered_map<uint64_t, Settler> copies;
  if (state.options.spill && !settlers.empty()) {
    for (size_t i = 0; i < own_->size(); ++i) {
      if (IsSpilled(own_->word(i))) copies.try_emplace(RowOf(own_->word(i)), Settler{kOwn, i});
    }
    for (size_t n = 0; n < neighbours_.size(); ++n) {
      const Entries& members = neighbours_[n].members;
      for (size_t i = 0; i < members.size(); ++i) {
        if (IsSpilled(members.word(i))) copies.try_emplace(RowOf(members.word(i)), Settler{n, i});
      }
    }
  }
  for (size_t s = 0; s < places.size(); ++s) {
    const Settler& settler = settlers[s];
    const uint32_t home = settler.group == kOwn ? posting_ : neighbours_[settler.group].posting;
    const Assignment& to = places[s];
    uint64_t word = settling.word(s);
    const float* vector = settling.vector(s);
    if (IsSpilled(word)) {
      // Of a posting that goes away. Its first copy is unknown here and may be where it arrives.
      leave(settler);
      arrive(to.primary, word, s);
      continue;
    }
    // The second copy follows, if it is at hand and would be clearly better elsewhere.
    const auto copy = copies.find(RowOf(word));
    if (to.spill != kNowhere && (copy != copies.end() || IsAlone(word))) {
      bool moves = true;
      if (copy != copies.end()) {
        const Settler& at = copy->second;
        const uint32_t now = at.group == kOwn ? posting_ : neighbours_[at.group].posting;
        const bool gone = at.group == kOwn && moved_;
        const auto loss_at = [&](uint32_t other) {
          return SpillLoss(vector, next.centroids.centroid(to.primary).data(),
                           next.centroids.centroid(other).data(), stride,
                           state.options.spill_lambda);
        };
        moves = now != to.spill && (gone || now == to.primary || centroids_.empty() ||
                                    loss_at(to.spill) < kWorthMoving * loss_at(now));
        if (moves || gone) leave(at);
        moves = moves || gone;
      }
      if (moves) arrive(to.spill, RowOf(word) | kSpilled, s);
      word = RowOf(word);
    }
    const bool changes = to.primary != home || settler.group == kOwn || word != settling.word(s);
    if (!changes) continue;
    counts_.moved +=
        to.primary == home || (settler.group == kOwn && !ids.empty() &&
                               std::find(ids.begin(), ids.end(), to.primary) != ids.end())
            ? 0
            : 1;
    leave(settler);
    if (settler.group != kOwn && to.primary == home) {
      // It stays, with another mark.
      left[settler.group][settler.entry] = false;
      neighbours_[settler.group].members.set_word(settler.entry, word);
      neighbours_[settler.group].changed = true;
    } else {
      arrive(to.primary, word, s);
    }
  }

  // 4. The other own entries, to the nearest part.
  std::vector<float> to_parts(ids.size());
  for (size_t i = 0; i < own_->size(); ++i) {
    if (own_left[i] || ids.empty()) continue;
    L2Squared(own_->vector(i), {centroids_.data(), ids.size(), stride, stride}, to_parts.data());
    const size_t nearest = std::min_element(to_parts.begin(), to_parts.end()) - to_parts.begin();
    ++counts_.checked;
    parts[nearest].Add(*own_, i, own_->word(i));
  }

  // 5. The chunks. A neighbour that only loses is written anew; one that also gains, with it.
  Change change;
  const auto write = [&](uint32_t id, const Entries& members) {
    return members.ToChunk(id, next.centroids.centroid(id).data(), moved_ && id == posting_);
  };
  const auto replace = [&](uint32_t id, Entries& members) {
    members.DropSecondCopies();
    Posting& posting = next.centroids.Change(id);
    next.entries -= posting.entries;
    members.Describe(next.centroids.centroid(id).data(), &posting);
    posting.added = 0;
    next.entries += posting.entries;
    change.postings.push_back({id, PostingChange::Kind::kReplace, write(id, members)});
  };
  if (ids.empty()) {
    next.entries -= state.centroids.posting(posting_).entries;
    change.postings.push_back({posting_, PostingChange::Kind::kRemove, nullptr});
  }
  for (size_t part = 0; part < ids.size(); ++part) {
    const uint32_t id = ids[part];
    // Centroids that are told apart by rounding alone share no members.
    if (parts[part].size() == 0 && next.centroids.count() > 1) {
      next.entries -= next.centroids.posting(id).entries;
      next.centroids.Remove(id);
      if (id == posting_) {
        change.postings.push_back({id, PostingChange::Kind::kRemove, nullptr});
      }
      continue;
    }
    replace(id, parts[part]);
    Posting& posting = next.centroids.Change(id);
    // A split that took nothing off is of no use again before the posting has grown. A small part
    // of a split is not merged before its size changes: it would only go to and fro.
    const bool whole = ids.size() > 1 && posting.entries >= own_->size();
    const bool small = ids.size() > 1 && posting.entries < state.options.posting_min;
    posting.stuck = stuck_ || whole || small ? posting.entries : 0;
  }
  for (size_t n = 0; n < neighbours_.size(); ++n) {
    Neighbour& neighbour = neighbours_[n];
    if (!neighbour.changed) continue;
    Entries kept(state.codec);
    for (size_t i = 0; i < neighbour.members.size(); ++i) {
      if (!left[n][i]) kept.Add(neighbour.members, i, neighbour.members.word(i));
    }
    if (const auto joins = arrivals.find(neighbour.posting); joins != arrivals.end()) {
      for (size_t i = 0; i < joins->second.size(); ++i) {
        kept.Add(joins->second, i, joins->second.word(i));
      }
      arrivals.erase(joins);
    }
    const uint32_t added = next.centroids.posting(neighbour.posting).added;
    replace(neighbour.posting, kept);
    next.centroids.Change(neighbour.posting).added = added;
    counts_.dropped += neighbour.dead;
  }
  std::vector<uint32_t> targets;
  for (const auto& [id, members] : arrivals) targets.push_back(id);
  std::sort(targets.begin(), targets.end());
  for (const uint32_t id : targets) {
    Entries& members = arrivals.at(id);
    members.DropSecondCopies();
    Posting joined;
    members.Describe(next.centroids.centroid(id).data(), &joined);
    Posting& posting = next.centroids.Change(id);
    posting.entries += joined.entries;
    posting.primaries += joined.primaries;
    posting.added += joined.primaries;
    posting.radius = std::max(posting.radius, joined.radius);
    next.entries += joined.entries;
    change.postings.push_back({id, PostingChange::Kind::kAppend, write(id, members)});
  }
  next.merge_credit += counts_.dropped;
  next.changed += counts_.dropped;
  // A merge of the last posting can only be one without live entries.
  assert(next.centroids.count() > 0 || own_->size() == 0);
  change.version = Seal(std::move(next));
  *out = std::move(change);
  return {};
}

}  // namespace spfresh
