#include "relocate.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <unordered_set>

#include "code_kernels.h"
#include "spfresh/distance.h"

namespace spfresh {
namespace {

// A second copy is moved when that makes its loss smaller than this share of what it was.
constexpr float kWorthMoving = 0.9F;
constexpr float kFar = std::numeric_limits<float>::infinity();
// How sure codes must be that a member of a neighbour stays.
constexpr float kSure = 0.99F, kDeviations = 3;
// What is stored of an entry's distance from its centroid is a little off.
constexpr float kOwnSlack = 1.001F;

// Of each row, the squared distance to the nearest of some centroids.
std::vector<float> ToNearest(const std::vector<std::vector<float>>& centroids, const Rows& rows) {
  std::vector<float> nearest(rows.count, kFar), to_one(rows.count);
  for (const std::vector<float>& centroid : centroids) {
    L2Squared(centroid.data(), rows, to_one.data());
    for (size_t i = 0; i < rows.count; ++i) nearest[i] = std::min(nearest[i], to_one[i]);
  }
  return nearest;
}

}  // namespace

size_t Source::size() const {
  size_t size = members.size();
  for (const Unread& each : unread) {
    size += static_cast<size_t>(each.live.size()) -
            static_cast<size_t>(std::count(each.live.begin(), each.live.end(), 0));
  }
  return size;
}

void Source::Read(const Version::State& state) {
  const std::vector<float> centroid = state.centroids.centroid(posting);
  for (const Unread& each : unread) members.AddLive(each.chunk, centroid.data(), each.live);
  unread.clear();
}

Relocation::Relocation(const Version& version, const Layout& layout, std::vector<Source>* sources,
                       Rebuild::Counts* counts)
    : state_(version.state()),
      layout_(layout),
      sources_(*sources),
      counts_(*counts),
      stride_(version.stride()),
      next_(version.state()),
      settling_(state_.codec) {
  for (const Source& source : sources_) left_.emplace_back(source.size());
}

void Relocation::MoveCentroids() {
  if (layout_.centroids.empty()) {
    next_.merge_credit -= std::min(next_.merge_credit, next_.merge_price());
  }
  const size_t count = layout_.centroids.size() / stride_;
  for (size_t c = 0; c < count; ++c) {
    const float* centroid = layout_.centroids.data() + c * stride_;
    if (c >= layout_.own) {
      ids_.push_back(next_.centroids.Add(centroid));
      changes_ = true;
      continue;
    }
    ids_.push_back(sources_[c].posting);
    if (!layout_.moved[c]) continue;
    next_.centroids.Move(ids_.back(), centroid);
    changes_ = true;
  }
  // A round that has not begun will see what moved.
  if (changes_ && next_.scrub_from > 0) next_.scrub_again = true;
  for (size_t i = count; i < layout_.own; ++i) {
    next_.centroids.Remove(sources_[i].posting);
    changes_ = true;
  }
  parts_.assign(ids_.size(), Entries(state_.codec));
  next_.centroids.Encode();
}

bool Relocation::IsGone(const At& at) const {
  return IsOwn(at) && (at.source >= ids_.size() || layout_.moved[at.source]);
}

bool Relocation::IsPart(uint32_t posting) const {
  return std::find(ids_.begin(), ids_.end(), posting) != ids_.end();
}

void Relocation::FindSettlers() {
  const bool stays_put = !changes_ && !layout_.all_look;
  for (size_t s = 0; s < layout_.own; ++s) {
    const Entries& members = sources_[s].members;
    for (size_t i = 0; i < members.size(); ++i) {
      const bool looks = IsSpilled(members.word(i)) ? ids_.empty()
                         : stays_put                ? IsAlone(members.word(i))
                                                    : true;
      if (!looks) continue;
      settlers_.push_back({s, i});
      settling_.Add(members, i, members.word(i));
    }
  }
  for (size_t s = 0; s < layout_.own; ++s) {
    before_.push_back(state_.centroids.centroid(sources_[s].posting));
  }
  // An inner product's codes do not tell distances.
  const bool by_codes = state_.codec.coded() && state_.options.metric != Metric::kInnerProduct;
  for (size_t c = 0; c < ids_.size(); ++c) {
    const float* centroid = layout_.centroids.data() + c * stride_;
    after_.emplace_back(centroid, centroid + stride_);
  }
  for (size_t c = 0; c < ids_.size() && by_codes; ++c) {
    if (!layout_.moved[c]) continue;
    codes_.push_back(
        std::make_unique<QueryCode>(state_.codec, Metric::kL2, after_[c].data(), kSure));
  }
  for (size_t s = layout_.own; s < sources_.size(); ++s) {
    counts_.checked += sources_[s].size();
    if (by_codes) {
      FindByCodes(s);
    } else {
      sources_[s].Read(state_);
      FindIn(s);
    }
  }
}

// By condition 2, all members measured.
void Relocation::FindIn(size_t s) {
  const Entries& members = sources_[s].members;
  const Rows rows{members.vectors(), members.size(), stride_, stride_};
  const std::vector<float> to_own =
      ToNearest({state_.centroids.centroid(sources_[s].posting)}, rows);
  const std::vector<float> to_before = ToNearest(before_, rows), to_after = ToNearest(after_, rows);
  for (size_t i = 0; i < members.size(); ++i) {
    if (IsSpilled(members.word(i))) continue;
    if (!(to_after[i] < to_before[i] && to_after[i] < to_own[i])) continue;
    settlers_.push_back({s, i});
    settling_.Add(members, i, members.word(i));
  }
}

// The same: by one bit a coordinate first, which nearly none survives, and then measured.
void Relocation::FindByCodes(size_t s) {
  const Source& source = sources_[s];
  const std::vector<float> own = state_.centroids.centroid(source.posting);
  std::vector<float> vector(stride_);
  const Rows row{vector.data(), 1, stride_, stride_};
  size_t before = 0;
  for (const Source::Unread& unread : source.unread) {
    const Chunk& chunk = unread.chunk;
    const Chunk::Scan scan = chunk.scan();
    const size_t in_blocks = std::min<size_t>(chunk.size(), scan.blocks * kScanBlock);
    std::vector<float> least(chunk.size(), kFar), lows(scan.blocks * kScanBlock);
    std::fill(least.begin() + static_cast<ptrdiff_t>(in_blocks), least.end(), -kFar);
    std::vector<uint32_t> within(scan.blocks);
    for (const auto& code : codes_) {
      code->ScanWithin(kDeviations, code->PlaceBeside(own.data(), 0), scan, 0, lows.data(),
                       within.data());
      for (size_t i = 0; i < in_blocks; ++i) least[i] = std::min(least[i], lows[i]);
    }
    const float radius = state_.centroids.posting(source.posting).radius;
    const Words words = chunk.words();
    for (uint32_t i = 0; i < chunk.size(); ++i) {
      if (unread.live[i] == 0) continue;
      const size_t entry = before++;
      if (least[i] >= radius * radius || IsSpilled(words[i])) continue;
      const Factors factors = Codec::FactorsOf(chunk.record(i));
      if (least[i] >= kOwnSlack * factors.Residual2(stride_)) continue;
      state_.codec.Decode(chunk.record(i), own.data(), vector.data());
      const float to_after = ToNearest(after_, row)[0];
      if (!(to_after < ToNearest(before_, row)[0] && to_after < ToNearest({own}, row)[0])) continue;
      settlers_.push_back({s, entry});
      settling_.AddOne(chunk, i, own.data());
    }
  }
}

void Relocation::Arrive(uint32_t posting, uint64_t word, size_t settler) {
  const auto part = std::find(ids_.begin(), ids_.end(), posting);
  Entries& to = part != ids_.end() ? parts_[static_cast<size_t>(part - ids_.begin())]
                                   : arrivals_.try_emplace(posting, state_.codec).first->second;
  to.Add(settling_, settler, word);
}

void Relocation::Leave(const At& at) {
  left_[at.source][at.entry] = true;
  sources_[at.source].changed = true;
}

void Relocation::FindCopies() {
  if (state_.options.spill == Spill::kNone || settlers_.empty()) return;
  std::unordered_set<uint64_t> rows;
  for (size_t i = 0; i < settling_.size(); ++i) rows.insert(RowOf(settling_.word(i)));
  const auto note = [&](uint64_t word, const At& at) {
    if (IsSpilled(word) && rows.contains(RowOf(word))) copies_.try_emplace(RowOf(word), at);
  };
  for (size_t s = 0; s < sources_.size(); ++s) {
    size_t entry = 0;
    const Entries& members = sources_[s].members;
    for (; entry < members.size(); ++entry) note(members.word(entry), {s, entry});
    for (const Source::Unread& unread : sources_[s].unread) {
      const Words words = unread.chunk.words();
      for (size_t i = 0; i < words.size(); ++i) {
        if (unread.live[i] != 0) note(words[i], {s, entry++});
      }
    }
  }
}

bool Relocation::CopyMoves(const At& copy, const Assignment& to, const float* vector) const {
  const uint32_t now = sources_[copy.source].posting;
  if (now == to.spill) return false;
  // Where the first copy goes, the second one must not be.
  if (now == to.primary) return true;
  const std::vector<float> primary = next_.centroids.centroid(to.primary);
  const auto loss = [&](uint32_t posting) {
    return SpillLoss(vector, primary.data(), next_.centroids.centroid(posting).data(), stride_,
                     SpillRule::Of(state_.options));
  };
  return loss(to.spill) < kWorthMoving * loss(now);
}

void Relocation::Settle() {
  FindCopies();
  std::vector<Assignment> places;
  if (settling_.size() > 0 && next_.centroids.count() > 0) {
    Assign(next_.centroids, settling_.vectors(), settling_.size(), SpillRule::Of(state_.options),
           &places, layout_.all_look ? Care::kSure : Care::kUsual);
  }
  for (size_t s = 0; s < places.size(); ++s) {
    const At& from = settlers_[s];
    const uint32_t home = sources_[from.source].posting;
    const Assignment& to = places[s];
    uint64_t word = settling_.word(s);
    if (IsSpilled(word)) {
      // Of a posting that goes away. Its first copy is unknown here and may be where it arrives.
      Leave(from);
      Arrive(to.primary, word, s);
      continue;
    }
    // The second copy follows, if it is at hand and would be clearly better elsewhere.
    const auto copy = copies_.find(RowOf(word));
    if (to.spill != kNowhere && (copy != copies_.end() || IsAlone(word))) {
      bool moves = true;
      if (copy != copies_.end()) {
        const bool gone = IsGone(copy->second);
        moves = gone || CopyMoves(copy->second, to, settling_.vector(s));
        if (moves) Leave(copy->second);
      }
      if (moves) Arrive(to.spill, RowOf(word) | kSpilled, s);
      word = RowOf(word);
      changes_ = changes_ || moves;
    }
    const bool stays = to.primary == home;
    changes_ = changes_ || !stays || word != settling_.word(s);
    if (IsOwn(from)) {
      counts_.moved += stays || IsPart(to.primary) ? 0 : 1;
      Leave(from);
      Arrive(to.primary, word, s);
    } else if (!stays) {
      ++counts_.moved;
      Leave(from);
      Arrive(to.primary, word, s);
    } else if (word != settling_.word(s)) {
      // It stays, with another mark.
      sources_[from.source].Read(state_);
      sources_[from.source].members.set_word(from.entry, word);
      sources_[from.source].changed = true;
    }
  }
}

void Relocation::GatherRest() {
  if (ids_.empty()) return;
  std::vector<float> to_parts(ids_.size());
  for (size_t s = 0; s < layout_.own; ++s) {
    const Entries& members = sources_[s].members;
    for (size_t i = 0; i < members.size(); ++i) {
      if (left_[s][i]) continue;
      L2Squared(members.vector(i), {layout_.centroids.data(), ids_.size(), stride_, stride_},
                to_parts.data());
      const auto nearest = static_cast<size_t>(std::min_element(to_parts.begin(), to_parts.end()) -
                                               to_parts.begin());
      ++counts_.checked;
      parts_[nearest].Add(members, i, members.word(i));
    }
  }
}

void Relocation::Replace(uint32_t id, Entries& members, bool moved) {
  members.DropSecondCopies();
  Posting& posting = next_.centroids.Change(id);
  const std::vector<float> row = next_.centroids.centroid(id);
  const float* centroid = row.data();
  next_.entries -= posting.entries;
  members.Describe(centroid, &posting);
  next_.entries += posting.entries;
  change_.postings.push_back(
      {id, PostingChange::Kind::kReplace, members.ToChunk(id, centroid, moved)});
}

void Relocation::WriteParts() {
  uint64_t unrefined = 0, primaries = 0, entries = 0;
  for (size_t s = 0; s < layout_.own; ++s) {
    const Posting& before = state_.centroids.posting(sources_[s].posting);
    unrefined += before.unrefined;
    primaries += before.primaries;
    entries += sources_[s].members.size();
    if (s < ids_.size()) continue;
    next_.entries -= before.entries;
    change_.postings.push_back({sources_[s].posting, PostingChange::Kind::kRemove, nullptr});
  }
  for (size_t part = 0; part < ids_.size(); ++part) {
    const uint32_t id = ids_[part];
    const bool is_new = part >= layout_.own;
    // Centroids that are told apart by rounding alone share no members.
    if (parts_[part].size() == 0 && next_.centroids.count() > 1) {
      next_.entries -= next_.centroids.posting(id).entries;
      next_.centroids.Remove(id);
      if (!is_new) change_.postings.push_back({id, PostingChange::Kind::kRemove, nullptr});
      continue;
    }
    Replace(id, parts_[part], is_new || layout_.moved[part]);
    Posting& posting = next_.centroids.Change(id);
    posting.added = 0;
    posting.unrefined = layout_.refined || primaries == 0
                            ? 0
                            : static_cast<uint32_t>(std::min<uint64_t>(
                                  posting.primaries, unrefined * posting.primaries / primaries));
    if (layout_.all_look) continue;
    // A split that took nothing off is of no use again before the posting has grown. A small part
    // of a split is not merged before its size changes: it would only go to and fro.
    const bool split = ids_.size() > layout_.own;
    const bool whole = split && posting.entries >= entries;
    const bool small = split && posting.entries < state_.options.posting_min;
    posting.stuck = layout_.stuck || whole || small ? posting.entries : 0;
  }
}

// A neighbour that only loses is written anew; one that also gains, with it.
void Relocation::WriteNeighbours() {
  for (size_t s = layout_.own; s < sources_.size(); ++s) {
    Source& source = sources_[s];
    if (!source.changed) continue;
    source.Read(state_);
    Entries kept(state_.codec);
    for (size_t i = 0; i < source.members.size(); ++i) {
      if (!left_[s][i]) kept.Add(source.members, i, source.members.word(i));
    }
    if (const auto joins = arrivals_.find(source.posting); joins != arrivals_.end()) {
      for (size_t i = 0; i < joins->second.size(); ++i) {
        kept.Add(joins->second, i, joins->second.word(i));
      }
      arrivals_.erase(joins);
    }
    Replace(source.posting, kept, false);
    Posting& posting = next_.centroids.Change(source.posting);
    posting.unrefined = std::min(posting.unrefined, posting.primaries);
    counts_.dropped += source.dead;
  }
}

void Relocation::WriteArrivals() {
  std::vector<uint32_t> targets;
  for (const auto& [id, members] : arrivals_) targets.push_back(id);
  std::sort(targets.begin(), targets.end());
  for (const uint32_t id : targets) {
    Entries& members = arrivals_.at(id);
    members.DropSecondCopies();
    Posting joined;
    const std::vector<float> row = next_.centroids.centroid(id);
    const float* centroid = row.data();
    members.Describe(centroid, &joined);
    Posting& posting = next_.centroids.Change(id);
    posting.entries += joined.entries;
    posting.primaries += joined.primaries;
    posting.added += joined.primaries;
    posting.radius = std::max(posting.radius, joined.radius);
    posting.spread += joined.spread;
    for (size_t i = 0; i < posting.shift.size(); ++i) posting.shift[i] += joined.shift[i];
    next_.entries += joined.entries;
    change_.postings.push_back(
        {id, PostingChange::Kind::kAppend, members.ToChunk(id, centroid, false)});
  }
}

Change Relocation::Write() {
  WriteParts();
  WriteNeighbours();
  WriteArrivals();
  next_.merge_credit += counts_.dropped;
  next_.changed += counts_.dropped + counts_.moved;
  // A merge of the last posting can only be one without live entries.
  assert(next_.centroids.count() > 0 || sources_[0].members.size() == 0);
  change_.version = Seal(std::move(next_));
  return std::move(change_);
}

}  // namespace spfresh
